"""An event loop whose time stands still unless it is told to pass: hangs, deadlines and rests cost no real time."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable


class StuckError(RuntimeError):
    """Somebody waits for what will never happen."""


class _Instant(selectors.DefaultSelector):
    """Where nothing is ready, time jumps to the next timer instead of passing."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not found and timeout is None:
            raise StuckError("nothing is ready and no timer is set")
        if not found and timeout is not None:
            self.passed_s += max(0.0, timeout)
        return found


class StillLoop(asyncio.SelectorEventLoop):
    """Run it with `settle` and `pass_by`."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        return self._instant.passed_s

    def settle(self) -> None:
        """Run all that is ready, and what becomes ready by it; time does not pass."""
        self.run_until_complete(self._spin())

    def pass_by(self, seconds: float) -> None:
        """Let so much time pass, with all that happens meanwhile."""
        self.run_until_complete(asyncio.sleep(seconds))
        self.settle()

    def run(self, work: Awaitable[Any]) -> Any:
        """Run something to its end, however long it takes, then settle."""
        result = self.run_until_complete(asyncio.ensure_future(work, loop=self))
        self.settle()
        return result

    async def _spin(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]  # the loop's own queue: there is no public way to ask
        while ready:  # noqa: ASYNC110  (nothing tells when a loop has run out of work)
            await asyncio.sleep(0)
