"""The built-in command ``forebay demo``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ..middleware.errors import MissingExtraError
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import COMMAND, Build, NoSettings, Registrar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..middleware.protocols import Command

# asked for before anything starts: some of them are needed in child processes only
_NEEDED: Final = ("litellm", "milvus_lite", "onnxruntime", "openai", "xllamacpp")


class _Demo:
    @property
    def help(self) -> str:
        return "Run a small model behind LiteLLM with forebay in it, and show who answers what."

    def run(self, args: Sequence[str]) -> int:
        for module in _NEEDED:
            if find_spec(module) is None:
                raise MissingExtraError("demo", module=module, extra="demo")
        from ..adapters.demo.command import run

        return run(args)


def _make_demo(settings: NoSettings, build: Build) -> Command:  # noqa: ARG001
    return _Demo()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "demo"."""
    registry.add(COMMAND, "demo", _make_demo, settings=NoSettings, extra="demo")
