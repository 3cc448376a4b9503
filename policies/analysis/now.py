"""Whether a question asks about now. English."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .gated import Gated, Rules, gated

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAYS: Final = "monday tuesday wednesday thursday friday saturday sunday"
_SPANS: Final = f"second minute hour day week weekend month quarter year season morning afternoon evening night {_DAYS}"
_NEAR: Final = "this next last past coming"
_TRADED: Final = "stock share exchange bitcoin gold oil"
_SINGLE: Final = "today tonight tomorrow yesterday nowadays currently latest newest recently scoreboard"
_STATES: Final = (
    "price rate weather time date day year month temperature version score status state event events news president leader king "
    "queen pope ceo champion population record situation location exchange"
)


def _now(pattern: str, *groups: str, first: str = "", pieces: Sequence[str] = ()) -> Gated:
    # not behind a full stop: `datetime.now`
    return gated("now", rf"\b(?<!\.)(?:{pattern})\b", *groups, first=first, pieces=pieces)


ABOUT_NOW: Final = Rules(
    [
        _now(_SINGLE.replace(" ", "|"), _SINGLE, first=_SINGLE),
        _now(r"now(?!\s*\()", "now", first="now"),
        _now("most recent", "recent", "most", first="most"),
        _now("up[ -]to[ -]date", "date", "up", first="up"),
        _now("at the moment", "moment", first="at"),
        _now("these days", "days", "these", first="these"),
        _now("so far", "far", "so", first="so"),
        _now("(?:breaking|any|in the) news", "news", first="breaking any in"),
        _now("as of", "as", "of", pieces=("as of",)),
        _now(f"(?:{_NEAR.replace(' ', '|')}) (?:{_SPANS.replace(' ', '|')})", _SPANS, _NEAR, first=_NEAR),
        _now(
            "what(?:'s| is|\u2019s) the (?:time|date|day)(?= *(?:\\?|$|in |at |right |there))"
            "|what (?:time|day|date|year) is it",
            "time date day year",
            "what",
            first="what",
        ),
        _now("weather (?:in|for|at|like|there|here)|the weather", "weather", first="weather the"),
        _now("forecast for", "forecast", first="forecast"),
        _now(f"(?:{_TRADED.replace(' ', '|')}) (?:price|rate)", "price rate", _TRADED, first=_TRADED),
        _now("(?:live|final) scores?", "score scores", "live final", first="live final"),
        _now("traffic (?:in|on)", "traffic", first="traffic"),
        _now(
            f"(?:current|present) (?:prime minister|{_STATES.replace(' ', '|')})",
            "current present",
            f"prime {_STATES}",
            first="current present",
        ),
    ]
)
"""Whether a question asks about now."""
