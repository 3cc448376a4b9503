"""No limit: for engines and providers that queue for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Load, Ticket


class NoLimit:
    """Admit everything."""

    def admits(self, ticket: Ticket, load: Load) -> bool:  # noqa: ARG002 - the protocol's arguments
        """Return True."""
        return True
