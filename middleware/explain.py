"""Keeps every request's decisions, so that they can be explained afterwards by request id."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from .hookspecs import hookimpl

if TYPE_CHECKING:
    from .events import Finished
    from .keys import Keyring
    from .records import JsonObject
    from .state import StateStore


class Explainer:
    """An observer that writes explanations into the state store. Holds numbers and names, no text.

    Args:
        keyring: makes the digest by which a tenant's explanations are found; None leaves it out.
    """

    def __init__(self, state: StateStore, keyring: Keyring | None = None) -> None:
        self._state = state
        self._keyring = keyring

    @hookimpl
    def request_finished(self, finished: Finished) -> None:
        """Keep what was decided about a request."""
        whose = {} if self._keyring is None else {"tenant": self._keyring.digest("tenant", finished.tenant)}
        self._state.explain(finished.request_id, time(), {**explanation_of(finished), **whose})


def explanation_of(finished: Finished) -> JsonObject:
    """Return the explanation of a request as JSON."""
    return {
        "request_id": finished.request_id,
        "model": finished.model,
        "status": finished.status.value,
        "ending": finished.ending.value,
        "miss_reason": finished.miss_reason,
        "duration_s": round(finished.duration_s, 6),
        "input_tokens": finished.input_tokens,
        "output_tokens": finished.output_tokens,
        "decisions": [
            {"stop": d.stop, "choice": d.choice, "reason": d.reason, **dict(d.detail)} for d in finished.decisions
        ],
    }
