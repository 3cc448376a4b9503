"""Whether an answer is in the language that the request asked for in so many words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..profile.language import UNKNOWN, language_of
from .said import asked_texts, texts_of

if TYPE_CHECKING:
    from ...middleware.records import Answer, Request

LANGUAGES: Final = {
    "arabic": "ar",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "vietnamese": "vi",
}
LEAST_CHARS: Final = 80
"""A shorter answer is a name, a number or a word: its language says nothing."""
_LOOKED_AT: Final = 4_000
_ASKED: Final = re.compile(
    r"(?<!not )(?<!n't )(?<!never )\b(?:answer|reply|respond|write)\b(?: (?:me|only|always|back|your answer|the answer|it|everything))*"
    rf" in ({'|'.join(LANGUAGES)})\b(?! (?:or|and)\b)",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"```.*?(?:```|$)", re.DOTALL)


class AskedLanguage:
    """Refuses chat answers in another language than the request names.

    Label: other_language. Only the plain order is read ("answer in French"), in English, from the system's messages and the
    user's last one; where two languages are named nothing is checked, and neither are short answers and code.
    """

    def refuse(self, request: Request, answer: Answer) -> str | None:
        """Return None, or the label where a choice is in another language for certain."""
        if request.endpoint != "chat":
            return None
        named = {
            LANGUAGES[found.lower()] for text in asked_texts(request) for found in _ASKED.findall(text[:_LOOKED_AT])
        }
        if len(named) != 1 or request.params.get("response_format") is not None:
            return None
        (wanted,) = named
        for text in texts_of(request, answer):
            prose = _CODE.sub(" ", text)
            if len(prose) >= LEAST_CHARS and language_of(prose) not in (wanted, UNKNOWN):
                return "other_language"
        return None
