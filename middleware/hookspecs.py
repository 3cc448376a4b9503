"""The hooks. Each takes one frozen record, so a field can be added without breaking a plugin.

`register_components` is synchronous and runs once, while plugins load. All others may be plain functions
or coroutine functions; `ObserverCaller` runs them in registration order, bounded in time, and no failure
in one reaches the request or another plugin. Observers cannot change a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Check, Decision, Evicted, Finished, Health, Started, Stored
    from .registry import Registrar

PROJECT: Final = "forebay"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

REGISTRATION: Final = "register_components"
OBSERVERS: Final = (
    "startup",
    "shutdown",
    "check_ready",
    "request_finished",
    "entry_stored",
    "entry_evicted",
    "decision_made",
)


@hookspec
def register_components(registry: Registrar) -> None:
    """Add factories to the registry. Called once, before the config is read; do no other work here."""


@hookspec
def startup(started: Started) -> None:
    """Run once before the first request, inside the event loop."""


@hookspec
def shutdown() -> None:
    """Run once after the last request, in reverse order of registration."""


@hookspec
def check_ready(check: Check) -> Sequence[Health]:  # type: ignore[empty-body]
    """Return findings for readiness and `forebay doctor`."""


@hookspec
def request_finished(finished: Finished) -> None:
    """A request is over, however it ended. Runs after the caller has its answer."""


@hookspec
def entry_stored(stored: Stored) -> None:
    """An answer was kept."""


@hookspec
def entry_evicted(evicted: Evicted) -> None:
    """A kept answer was dropped."""


@hookspec
def decision_made(decision: Decision) -> None:
    """A stop decided something. Runs after the request, in the order the decisions were made."""
