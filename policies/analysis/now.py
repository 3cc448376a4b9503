"""Whether a question asks about now. English."""

from __future__ import annotations

from typing import Final

from .gated import Rules, gated

_DAYS: Final = "monday tuesday wednesday thursday friday saturday sunday"
_SPANS: Final = f"second minute hour day week weekend month quarter year season morning afternoon evening night {_DAYS}"
_SINGLE: Final = "today tonight tomorrow yesterday nowadays currently latest newest recently scoreboard"
_STATES: Final = (
    "price rate weather time date day year month temperature version score status state event events news president leader king "
    "queen pope ceo champion population record situation location exchange"
)

_PATTERNS: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]] = (
    (_SINGLE.replace(" ", "|"), (_SINGLE,), ()),
    (r"now(?!\s*\()", ("now",), ()),
    ("most recent", ("recent", "most"), ()),
    ("up[ -]to[ -]date", ("date", "up"), ()),
    ("at the moment", ("moment",), ()),
    ("these days", ("days", "these"), ()),
    ("so far", ("far", "so"), ()),
    ("(?:breaking|any|in the) news", ("news",), ()),
    ("as of", ("as", "of"), ("as of",)),
    (f"(?:this|next|last|past|coming) (?:{_SPANS.replace(' ', '|')})", (_SPANS, "this next last past coming"), ()),
    (
        "what(?:'s| is|\u2019s) the (?:time|date|day)(?= *(?:\\?|$|in |at |right |there))|what (?:time|day|date|year) is it",
        ("time date day year", "what"),
        (),
    ),
    ("weather (?:in|for|at|like|there|here)|the weather", ("weather",), ()),
    ("forecast for", ("forecast",), ()),
    (
        "(?:stock|share|exchange|bitcoin|gold|oil) (?:price|rate)",
        ("price rate", "stock share exchange bitcoin gold oil"),
        (),
    ),
    ("(?:live|final) scores?", ("score scores", "live final"), ()),
    ("traffic (?:in|on)", ("traffic",), ()),
    (
        f"(?:current|present) (?:prime minister|{_STATES.replace(' ', '|')})",
        ("current present", f"prime {_STATES}"),
        (),
    ),
)
"""What stands between word boundaries, the words it needs, and a text that is there."""

ABOUT_NOW: Final = Rules(
    # not behind a full stop: `datetime.now`
    [gated("now", rf"\b(?<!\.)(?:{pattern})\b", *groups, pieces=pieces) for pattern, groups, pieces in _PATTERNS]
)
"""Whether a question asks about now."""
