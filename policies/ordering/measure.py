"""What the orderings go by: how long a request is, what it costs its tenant, when it must enter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Ticket

UNKNOWN_OUTPUT: Final = 256.0
"""Tokens assumed where no output was predicted: such a request is neither the shortest nor the longest."""
_PROMPT_SHARE: Final = 0.05
"""What a prompt token takes of an engine, compared with an output token: chunked prefill computes many in one iteration."""


def output(ticket: Ticket) -> float:
    """Return the predicted output in tokens, an assumed one where nothing was predicted."""
    return ticket.output_tokens if ticket.output_tokens > 0 else UNKNOWN_OUTPUT


def length(ticket: Ticket) -> float:
    """Return how long a request is, in output tokens."""
    return output(ticket) + _PROMPT_SHARE * ticket.input_tokens


def enter_by_s(ticket: Ticket) -> float:
    """Return when it must enter at the latest so that its objective can still be met, infinite where it has none."""
    by_s = ticket.first_by_s - (ticket.first_s or 0.0)
    total_s = ticket.objective.total_s
    if total_s is None:
        return by_s
    return min(by_s, ticket.enqueued_s + total_s - (ticket.seconds or 0.0))
