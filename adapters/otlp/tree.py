"""Draws a trace for a terminal: names as a tree, durations, when each span ran, and what it decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from ...middleware import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .spans import Span

BAR: Final = 24
NARROW: Final = 40
KEY_ATTRIBUTES: Final[Mapping[str, str]] = {
    semconv.OUTCOME: "{}",
    semconv.ANALYZE_TASK: "{}",
    semconv.ANALYZE_REASON: "{}",
    semconv.CACHE_DECISION: "{}",
    semconv.CACHE_MODE: "{}",
    semconv.CACHE_MISS_REASON: "{}",
    semconv.CACHE_SIMILARITY: "similarity {:.3f}",
    semconv.CACHE_TOPK: "top {}",
    semconv.VERIFY_RESULT: "{}",
    semconv.VERIFY_REASON: "{}",
    semconv.ADMISSION_OUTCOME: "{}",
    semconv.QUEUE_WAIT: "waited {:.3f} s",
    semconv.SHED_REASON: "{}",
    semconv.USAGE_INPUT: "{} tokens in",
    semconv.USAGE_OUTPUT: "{} out",
    semconv.WRITE_OUTCOME: "{}",
    semconv.WRITE_SKIP_REASON: "{}",
    semconv.WRITE_TTL: "for {:g} s",
    semconv.ERROR_TYPE: "error {}",
}
"""What is shown of a span's attributes, in this order, and how."""


def draw_trace(
    spans: Sequence[Span], *, shown: Callable[[Span], bool] | None = None, bars: bool = True
) -> tuple[Table, int]:
    """Draw one trace.

    Args:
        spans: of one trace, in any order.
        shown: which spans to show, all by default; children of one that is not shown move up to its parent.
        bars: whether to draw when each span ran; without them names are cut, too, to fit 80 columns.

    Returns:
        The drawing, and how many spans it leaves out.
    """
    visible = [span for span in spans if shown is None or shown(span)]
    children = _children(spans, {span.span_id for span in visible})
    begin = min((span.start_ns for span in visible), default=0)
    end = max((span.end_ns for span in visible), default=0)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("span", no_wrap=True, overflow="ellipsis", min_width=34, max_width=None if bars else NARROW)
    table.add_column("ms", justify="right", no_wrap=True)
    if bars:
        table.add_column(f"{(end - begin) / 1e6:,.0f} ms from left to right", no_wrap=True, min_width=BAR)
    table.add_column("", overflow="fold", style="dim")

    def add(span: Span, lead: str, below: str) -> None:
        style = "red" if span.error else "bold" if span.name.startswith(("forebay.", "chat ")) else ""
        cells: list[Text | str] = [Text.assemble((lead, "dim"), (span.name, style)), f"{span.duration_ms:,.1f}"]
        if bars:
            cells.append(_bar(span, begin, end))
        table.add_row(*cells, summary_of(span))
        found = children.get(span.span_id, [])
        for index, child in enumerate(found):
            last = index == len(found) - 1
            add(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))

    for root in children.get("", []):
        add(root, "", "")
    return table, len(spans) - len(visible)


def summary_of(span: Span) -> str:
    """Return a span's key attributes as a few words; a reason "ok" says nothing and is left out."""
    parts: list[str] = []
    for name, form in KEY_ATTRIBUTES.items():
        value = span.attributes.get(name)
        if value is None or value == "ok":
            continue
        try:
            parts.append(form.format(value))
        except ValueError:  # an attribute of another type than expected, from another version
            parts.append(str(value))
    return ", ".join(parts)


def _children(spans: Sequence[Span], visible: set[str]) -> dict[str, list[Span]]:
    """Return visible children by visible parent ("" for roots), each list in order of time."""
    parent_of = {span.span_id: span.parent_id for span in spans}
    found: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)):
        if span.span_id not in visible:
            continue
        parent, seen = span.parent_id, {span.span_id}
        while parent and parent not in visible:
            # a parent that has not arrived, or a loop, makes it a root
            parent = "" if parent in seen else parent_of.get(parent, "")
            seen.add(parent)
        found.setdefault(parent, []).append(span)
    return found


def _bar(span: Span, begin: int, end: int) -> Text:
    whole = max(1, end - begin)
    left = min(BAR - 1, int((span.start_ns - begin) / whole * BAR))
    width = min(BAR - left, round((span.end_ns - span.start_ns) / whole * BAR))
    style = "red" if span.error else "cyan" if span.name.startswith("forebay.") else "blue"
    return Text.assemble(" " * left, ("━" * width or "╸", style))
