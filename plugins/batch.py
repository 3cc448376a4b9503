"""The built-in command ``forebay batch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import COMMAND, Build, NoSettings, Registrar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..middleware.analysis.stream import Arrival, Savings
    from ..middleware.protocols import Acceptance, Command


class _Batch:
    @property
    def help(self) -> str:
        return "Answer a file of requests (OpenAI's batch format) with as few computations as it needs."

    def run(self, args: Sequence[str]) -> int:
        from ..adapters.batch.command import run

        return run(args, _reckoned)


def _reckoned(acceptance: Acceptance, arrivals: Sequence[Arrival]) -> Savings:
    from ..policies.pattern.savings import expected_savings, judged

    return expected_savings(arrivals, judged(acceptance.judge))


def _make_batch(settings: NoSettings, build: Build) -> Command:  # noqa: ARG001
    return _Batch()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "batch"."""
    registry.add(COMMAND, "batch", _make_batch, settings=NoSettings)
