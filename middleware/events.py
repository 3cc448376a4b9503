"""Events: what observers are told, as frozen records. None holds prompt or answer text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .records import EMPTY, CacheStatus, Ending, JsonObject

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one request, for observers and for `explain`.

    Attributes:
        stop: analyze, lookup, admit, run or settle; strategy for the choice of one, predict for what was predicted.
        choice: what was decided.
        reason: bounded label.
        detail: numbers and names only, never prompt or answer text.
    """

    request_id: str
    stop: str
    choice: str
    reason: str = ""
    detail: JsonObject = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Finished:
    """A request is over: what the hook ``request_finished`` gets.

    Attributes:
        labels: `Request.labels`.
        saved_usd: what a hit would have cost, 0 for a miss or where the host knows no prices.
    """

    request_id: str
    model: str
    tenant: str
    status: CacheStatus
    ending: Ending
    duration_s: float
    input_tokens: int = 0
    output_tokens: int = 0
    miss_reason: str = ""
    decisions: tuple[Decision, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    saved_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry was kept: what the hook ``entry_stored`` gets."""

    entry_id: str
    scope: str
    size_bytes: int
    expires_s: float


@dataclass(frozen=True, slots=True)
class Evicted:
    """An entry was dropped: what the hook ``entry_evicted`` gets. Reason: capacity, expired or forgotten."""

    entry_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """forebay is about to take requests: what the hook ``startup`` gets."""

    version: str
    state_dir: str
    components: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Check:
    """A question after readiness: what the hook ``check_ready`` gets.

    Attributes:
        thorough: somebody looks at the result (`forebay doctor`): checks that take seconds are welcome.
    """

    thorough: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """One finding of a readiness check.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        detail: what was found.
        fix: what to do about it, "" where nothing is to be done.
        required: a finding that is not ok and not required is a warning.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True
