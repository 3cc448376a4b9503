"""What a caller says beside its question, in HTTP headers and in fields of the body that do not change the answer."""

from __future__ import annotations

import math
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from .bodies import URGENCY_FIELDS
from .narrow import is_array
from .records import EMPTY, Controls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BYPASS_HEADER: Final = "x-forebay-bypass"
WRONG_HEADER: Final = "x-forebay-wrong"
TAGS_HEADER: Final = "x-forebay-tags"
TTL_HEADER: Final = "x-forebay-ttl"
TAGS: Final = 16
TAG_CHARS: Final = 64
HINT_CHARS: Final = 200
_PLAIN: Final = re.compile(r"[0-9A-Za-z._:@/+-]{1,128}")
_CREDENTIALS: Final = ("key", "token", "secret", "auth", "cookie", "password")


def sounds_secret(name: str) -> bool:
    """Return whether a header of this name (lower case) may hold a credential."""
    return any(word in name for word in _CREDENTIALS)


def controls_in(headers: Mapping[str, str], fields: Mapping[str, Any] = EMPTY) -> Controls:
    """Return what a request asks of the cache; where it says two numbers for one thing, the smaller one counts.

    Numbers that are none are as if they were not there, and so are tags past the first `TAGS`, or that are not plain.

    Args:
        headers: by lower-case name.
        fields: of the body's ``cache`` object, as LiteLLM has them: the directives of ``cache-control``, ``s-maxage`` and
            ``ttl``, and ``tags``.
    """
    said = _directives(headers.get("cache-control", ""))
    ages = (said.get("max-age"), fields.get("s-maxage", fields.get("s-max-age")), fields.get("max-age"))
    wrong = headers.get(WRONG_HEADER, "").strip()
    return Controls(
        bypass=headers.get(BYPASS_HEADER, "").strip().lower() in ("1", "true", "yes"),
        no_cache="no-cache" in said or fields.get("no-cache") is True,
        no_store="no-store" in said or fields.get("no-store") is True,
        ttl_s=_least(headers.get(TTL_HEADER), fields.get("ttl")),
        max_age_s=_least(*ages),
        max_stale_s=_least(said.get("max-stale"), fields.get("max-stale")),
        tags=_tags(headers.get(TAGS_HEADER, "").split(","), fields.get("tags")),
        wrong=wrong if _PLAIN.fullmatch(wrong) else None,
    )


def _directives(header: str) -> dict[str, str]:
    """Return the directives of a ``cache-control`` header and their values, "" where one has none."""
    if not header:
        return {}
    parts = (part.partition("=") for part in header.lower().split(","))
    return {name.strip(): value.strip().strip('"') for name, _, value in parts}


def seconds(value: object) -> float | None:
    """Return a duration in seconds, None for what is none: negative, not finite, or no number."""
    if isinstance(value, str) and value.strip().isascii():  # of a header LiteLLM keeps the text, too
        try:
            value = float(value) if "_" not in value else None
        except ValueError:
            return None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < math.inf else None


def _least(*values: object) -> float | None:
    return min((known for known in map(seconds, values) if known is not None), default=None)


def _tags(named: Sequence[str], given: object) -> tuple[str, ...]:
    """Return the plain ones of some tags, each once, in order."""
    more: Sequence[object] = given if is_array(given) else ()
    plain = (tag for tag in (*(name.strip() for name in named), *more) if isinstance(tag, str) and is_tag(tag))
    return tuple(islice(dict.fromkeys(plain), TAGS))


def is_tag(text: str) -> bool:
    """Return whether a text may be a tag: 1 to `TAG_CHARS` letters, digits or ``._:@/+-``."""
    return len(text) <= TAG_CHARS and _PLAIN.fullmatch(text) is not None


def hints_in(headers: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, str]:
    """Return what rules may look at: the client's own ``x-`` headers, without credentials, and how urgent its body says it is.

    Args:
        headers: by lower-case name.
    """
    hints = {
        f"header.{name}": value[:HINT_CHARS]
        for name, value in headers.items()
        if name.startswith("x-") and not sounds_secret(name)
    }
    return hints | {
        f"body.{name}": str(body[name])[:HINT_CHARS] for name in URGENCY_FIELDS if body.get(name) is not None
    }
