"""The built-in command ``forebay vllm``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import COMMAND, Build, NoSettings, Registrar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..middleware.protocols import Command

_USAGE: Final = (
    "usage: forebay vllm serve MODEL [options]\n\nThe options are those of `vllm serve`; see `--help` behind it."
)
_WRONG: Final = 2


class _VLLM:
    @property
    def help(self) -> str:
        return "Run vLLM's server on an engine with forebay in front of it: `serve MODEL`, and vLLM's options."

    def run(self, args: Sequence[str]) -> int:
        if args[:1] != ["serve"]:
            wanted = args[:1] in (["--help"], ["-h"])
            print(_USAGE, file=sys.stdout if wanted else sys.stderr)
            return 0 if wanted else _WRONG
        from ..adapters.vllm.serve.command import run

        return run(args[1:])


def _make_vllm(settings: NoSettings, build: Build) -> Command:  # noqa: ARG001
    return _VLLM()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "vllm"."""
    registry.add(COMMAND, "vllm", _make_vllm, settings=NoSettings, extra="vllm")
