"""Runs lifecycle and observer hooks.

pluggy calls hooks synchronously: its wrappers would close before a coroutine has run, and one failing
implementation would abort the rest. So the implementations that pluggy validated are compiled here into
plain lists and called directly: order kept, coroutines awaited, each bounded in time, each failure counted
and kept to itself, and an implementation that keeps failing is left out for a while.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from .hookspecs import OBSERVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .telemetry import Telemetry

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Observer:
    plugin: str
    hook: str
    call: Callable[..., Any]
    failures: int = 0
    tripped_until_s: float = 0.0


class ObserverCaller:
    """Calls observers in order and isolates them.

    Args:
        implementations: hook name → (plugin name, function) in the order to call.
        timeout_s: a coroutine that takes longer is cancelled and counted as a failure.
        trip_after: consecutive failures after which an implementation is left out.
        rest_s: how long it is left out.
    """

    def __init__(
        self,
        implementations: Mapping[str, Iterable[tuple[str, Callable[..., Any]]]],
        *,
        telemetry: Telemetry | None = None,
        timeout_s: float = 1.0,
        trip_after: int = 5,
        rest_s: float = 30.0,
    ) -> None:
        self._hooks = {
            hook: [_Observer(plugin, hook, call) for plugin, call in implementations.get(hook, ())]
            for hook in OBSERVERS
        }
        self._telemetry = telemetry
        self._timeout_s = timeout_s
        self._trip_after = trip_after
        self._rest_s = rest_s

    def has(self, hook: str) -> bool:
        """Return whether any plugin implements the hook."""
        return bool(self._hooks[hook])

    async def fire(self, hook: str, record: object = None, *, timeout_s: float | None = None) -> list[Any]:
        """Call every implementation of a hook and return what they returned; failures are left out.

        Raises:
            asyncio.CancelledError: the caller itself was cancelled.
        """
        results: list[Any] = []
        for observer in self._hooks[hook]:
            if observer.tripped_until_s > monotonic():
                continue
            try:
                results.append(await self._call(observer, record, timeout_s or self._timeout_s))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self._failed(observer, "CancelledError")
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # a plugin must not end the host
                self._failed(observer, type(error).__name__)
            else:
                observer.failures = 0
        return results

    def tripped(self) -> Sequence[str]:
        """Return ``plugin.hook`` of each implementation that is left out at the moment."""
        now = monotonic()
        return [f"{o.plugin}.{o.hook}" for each in self._hooks.values() for o in each if o.tripped_until_s > now]

    async def _call(self, observer: _Observer, record: object, timeout_s: float) -> Any:
        made = observer.call() if record is None else observer.call(record)
        if inspect.isawaitable(made):
            async with asyncio.timeout(timeout_s):
                return await made
        return made

    def _failed(self, observer: _Observer, error: str) -> None:
        observer.failures += 1
        if self._telemetry is not None:
            self._telemetry.plugin_error(observer.plugin, observer.hook, error)
        if observer.failures == 1:
            log.warning("plugin %s failed in %s: %s", observer.plugin, observer.hook, error)
        if observer.failures >= self._trip_after:
            observer.failures = 0
            observer.tripped_until_s = monotonic() + self._rest_s
            log.warning(
                "plugin %s is left out of %s for %.0f s: %d failures in a row",
                observer.plugin,
                observer.hook,
                self._rest_s,
                self._trip_after,
            )
