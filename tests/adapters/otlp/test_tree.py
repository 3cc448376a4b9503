from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, RenderableType

from forebay.adapters.otlp.spans import Span
from forebay.adapters.otlp.tree import draw_trace, summary_of


def span(name: str, span_id: str, parent: str = "", start: int = 0, end: int = 100, **attributes: object) -> Span:
    values = {key.replace("__", "."): value for key, value in attributes.items()}
    return Span("t", span_id, parent, name, "internal", "s", start * 10**6, end * 10**6, values)  # type: ignore[arg-type]


def drawn(drawing: RenderableType) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=140).print(drawing)
    return [line.rstrip() for line in out.getvalue().splitlines()]


TRACE: Sequence[Span] = (
    span("search", "4", "3", 20, 30),
    span("root", "1"),
    span("lookup", "3", "2", 10, 40),
    span("wrapper", "2", "1", 5, 90),
    span("chat", "5", "2", 40, 90),
)


def test_children_are_below_their_parent_in_order_of_time() -> None:
    table, hidden = draw_trace(TRACE)
    names = [line.split("  ")[0] if line[0] not in " │├└" else line for line in drawn(table)[1:]]
    assert hidden == 0
    assert names[0].startswith("root")
    assert "└─ wrapper" in names[1]
    assert "   ├─ lookup" in names[2]
    assert "   │  └─ search" in names[3]
    assert "   └─ chat" in names[4]


def test_children_of_what_is_not_shown_move_up() -> None:
    table, hidden = draw_trace(TRACE, shown=lambda each: each.name != "wrapper", bars=False)
    lines = drawn(table)
    assert hidden == 1
    assert "├─ lookup" in lines[2]
    assert "└─ chat" in lines[4]
    assert not any("wrapper" in line or "━" in line for line in lines)


def test_a_parent_that_has_not_arrived_makes_a_root() -> None:
    table, _ = draw_trace([span("late", "9", "8")])
    assert drawn(table)[1].startswith("late")


def test_parents_in_a_circle_do_not_hang() -> None:
    circle = [span("a", "1", "2"), span("b", "2", "1"), span("c", "3", "1")]
    table, hidden = draw_trace(circle, shown=lambda each: each.name == "c")
    assert hidden == 2
    assert drawn(table)[1].startswith("c")


def test_no_spans() -> None:
    table, hidden = draw_trace([])
    assert hidden == 0
    assert len(drawn(table)) == 1


def test_bars_show_when_a_span_ran() -> None:
    table, _ = draw_trace([span("all", "1"), span("first", "2", "1", 0, 50), span("last", "3", "1", 50, 100)])
    bars = ["".join(c for c in line if c in "━╸") for line in drawn(table)[1:]]
    assert [len(bar) for bar in bars] == [24, 12, 12]


def test_summary_says_what_matters() -> None:
    looked = span("x", "1", forebay__cache__decision="miss", forebay__cache__similarity=0.91234, other="unsaid")
    assert summary_of(looked) == "miss, similarity 0.912"
    assert summary_of(span("x", "1", forebay__analyze__reason="ok")) == ""
    assert summary_of(span("x", "1", forebay__cache__similarity="no number")) == "no number"
