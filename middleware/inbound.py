"""What a caller says beside its question, in HTTP headers and in fields of the body that do not change the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .bodies import URGENCY_FIELDS
from .records import Controls

if TYPE_CHECKING:
    from collections.abc import Mapping

BYPASS_HEADER: Final = "x-forebay-bypass"
HINT_CHARS: Final = 200
_CREDENTIALS: Final = ("key", "token", "secret", "auth", "cookie", "password")


def sounds_secret(name: str) -> bool:
    """Return whether a header of this name (lower case) may hold a credential."""
    return any(word in name for word in _CREDENTIALS)


def controls_in(headers: Mapping[str, str]) -> Controls:
    """Return what ``x-forebay-bypass`` and ``cache-control`` ask of the cache."""
    directives = {part.strip() for part in headers.get("cache-control", "").lower().split(",")}
    return Controls(
        bypass=headers.get(BYPASS_HEADER, "").strip().lower() in ("1", "true", "yes"),
        no_cache="no-cache" in directives,
        no_store="no-store" in directives,
    )


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
