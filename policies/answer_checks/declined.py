"""Whether an answer declines in prose: engines other than OpenAI's have no field for that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .said import texts_of

if TYPE_CHECKING:
    from ...middleware.records import Answer, Request

LONGEST: Final = 400
"""Characters; a longer answer says something else, too."""
_SORRY: Final = r"(?:i(?:['\u2019]?m| am) (?:very |so |really )?(?:sorry|afraid)|sorry|i apologi[sz]e|unfortunately)"
_CANNOT: Final = (
    r"i(?: can['\u2019]?t| can ?not| won['\u2019]?t| will not| must decline to"
    r"|(?: am|['\u2019]?m) (?:not able|unable) to)"
)
_HELP: Final = (
    r"(?:assist|help(?! but\b)|comply|fulfil+|provide|engage|do that|answer (?:that|this)|create|write|discuss|support)"
)
_DECLINES: Final = re.compile(rf"\s*(?:{_SORRY}[,.!]?\s+(?:but\s+)?)?{_CANNOT}\s+{_HELP}\b", re.IGNORECASE)


class Declined:
    """Refuses answers that begin by declining ("I'm sorry, but I can't help with that") and say little more.

    Label: refusal. English only.
    """

    def refuse(self, request: Request, answer: Answer) -> str | None:
        """Return None, or the label where a choice declines."""
        if request.endpoint != "chat":
            return None
        declines = any(len(text) <= LONGEST and _DECLINES.match(text) for text in texts_of(request, answer))
        return "refusal" if declines else None
