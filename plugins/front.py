"""The built-in command ``forebay front``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..middleware.errors import MissingExtraError
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import COMMAND, Build, NoSettings, Registrar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..middleware.protocols import Command


class _Front:
    @property
    def help(self) -> str:
        return "Stand in front of one OpenAI-compatible server (llama.cpp, TGI, SGLang, vLLM) as a reverse proxy."

    def run(self, args: Sequence[str]) -> int:
        if find_spec("uvicorn") is None:
            raise MissingExtraError("front", module="uvicorn", extra="front")
        from ..adapters.asgi.command import run

        return run(args)


def _make_front(settings: NoSettings, build: Build) -> Command:  # noqa: ARG001
    return _Front()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "front"."""
    registry.add(COMMAND, "front", _make_front, settings=NoSettings, extra="front")
