"""At most so many tokens inside the engine: what its KV cache holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Load, Ticket

SHARE: Final = 0.95


class TokenLimit:
    """Admit while prompts and predicted outputs fit into the KV cache, so that nothing inside is preempted and computed anew.

    One whose prompt and output are more than that is let in alone: whether it fits is the engine's to say.

    Args:
        kv_tokens: tokens that the engine's KV cache holds.
        share: of those that are given out; the rest is for answers that become longer than predicted.
        max_inflight: requests that may be inside besides, None for any number.

    Raises:
        ValueError: `kv_tokens` or `max_inflight` is below 1, or `share` is not in (0, 1].
    """

    def __init__(self, *, kv_tokens: int, share: float = SHARE, max_inflight: int | None = None) -> None:
        if kv_tokens < 1 or (max_inflight is not None and max_inflight < 1):
            raise ValueError("kv_tokens and max_inflight must be at least 1")
        if not 0 < share <= 1:
            raise ValueError("share must be above 0 and at most 1")
        self._tokens = share * kv_tokens
        self._places = max_inflight

    def admits(self, ticket: Ticket, load: Load) -> bool:
        """Return whether its tokens fit beside those inside."""
        if not load.inflight:
            return True
        if self._places is not None and load.inflight >= self._places:
            return False
        return load.reserved_tokens + ticket.tokens <= self._tokens
