"""Every earlier turn is the context: only an identical conversation shares an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...middleware.keys import split_messages
from ...middleware.records import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject


class EveryTurn:
    """Reads nothing: a question with earlier turns is never resolved, so all of them are its context.

    The strictest reader. It serves no wrong answer from another conversation, and hardly any right one.
    """

    def read(self, messages: Sequence[JsonObject]) -> Reading:
        """Return the reading: ``no_earlier_turns``, or ``every_turn`` and not resolved."""
        _, earlier, _ = split_messages(messages)
        return Reading(resolved=False, reason="every_turn") if earlier else Reading()
