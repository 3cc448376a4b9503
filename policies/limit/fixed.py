"""At most so many requests inside the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Load, Ticket


class FixedLimit:
    """Admit while fewer than a fixed number are inside.

    Args:
        max_inflight: how many may be inside, at least 1.

    Attributes:
        places: how many may be inside; several workers divide or share them.

    Raises:
        ValueError: `max_inflight` is below 1, so nothing would ever be let in.
    """

    def __init__(self, *, max_inflight: int) -> None:
        if max_inflight < 1:
            raise ValueError("max_inflight must be at least 1")
        self.places = max_inflight

    def admits(self, ticket: Ticket, load: Load) -> bool:  # noqa: ARG002 - every ticket weighs the same here
        """Return whether there is room for one more."""
        return load.inflight < self.places
