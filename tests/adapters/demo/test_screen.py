from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from forebay.adapters.demo.asking import Reply
from forebay.adapters.demo.report import judge, summarize
from forebay.adapters.demo.sample import Ask
from forebay.adapters.demo.screen import Screen
from forebay.adapters.otlp.spans import Span

Shown = Callable[[], str]


def reply(name: str, group: str, cache: str, made: str, **values: Any) -> Reply:
    ask = Ask(
        name, group, values.pop("kind", "new"), ({"role": "user", "content": f"question {name} [b]?"},), False, ()
    )
    return Reply(ask, values.pop("status", 200), cache=cache, completion_id=made, **values)


def span(name: str, span_id: str, parent: str, kind: str = "internal") -> Span:
    return Span("t", span_id, parent, name, kind, "litellm", 0, 1000)


def test_a_row_says_who_answered(screen: Screen, shown: Shown) -> None:
    replies = [
        reply("1", "a", "miss", "m1", latency_ms=1234.4, text="the answer"),
        reply("2", "a", "semantic", "m1", kind="paraphrase", similarity=0.9512, output_tokens=7, input_tokens=3),
        reply("3", "b", "exact", "m1", kind="trap_number"),
        reply("4", "c", "", "", status=503),
    ]
    screen.header()
    for each in judge(replies):
        screen.row(each)
    rows = shown().splitlines()[2:]
    assert rows[0].split()[:2] == ["miss", "1,234"]
    assert "question 1 [b]?" in rows[0]
    assert rows[0].endswith("the answer")
    assert rows[1].split()[:4] == ["semantic", "0", "0.951", "10"]
    assert rows[2].startswith("WRONG HIT")
    assert "trap: number" in rows[2]
    assert rows[3].startswith("error 503")


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    out = io.StringIO()
    narrow = Screen(Console(file=out, width=width, highlight=False))
    long = "many words and 漢字 " * 20
    judged = judge([reply(long, "a", "miss", "m1", text=long, latency_ms=99999.0, kind="trap_negation")])
    narrow.header()
    narrow.row(judged[0])
    narrow.summary({**summarize(judged, engine_tokens=1), "engine_calls": 1}, judged)
    narrow.trace([span("forebay.request", "1", ""), span(f"forebay.{'x' * 80}", "2", "1")], "about")
    lines = out.getvalue().splitlines()
    row = next(line for line in lines if line.startswith("miss"))
    assert "many words" in row
    assert all(Console(width=1000).measure(line).maximum <= width for line in lines)


def test_the_summary_says_what_is_wrong(screen: Screen, shown: Shown) -> None:
    judged = judge([reply("1", "a", "miss", "m1", output_tokens=5), reply("2", "b", "exact", "m1", kind="trap_number")])
    screen.summary({**summarize(judged, engine_tokens=9), "engine_calls": 1}, judged)
    lines = shown().splitlines()
    assert any(line.startswith("ok  2 of 2 requests") for line in lines)
    assert any(line.startswith("no  1 of 1 hits were wrong") for line in lines)
    assert any(line.startswith("no  0 of 1 traps") for line in lines)
    assert any(line.startswith("no  the model was asked 1 time for") and "9 generated" in line for line in lines)


def test_the_trace_shows_forebay_and_the_servers_above(screen: Screen, shown: Shown) -> None:
    spans = [
        span("POST /v1/chat/completions", "1", "", "server"),
        span("fastapi.dependencies", "2", "1"),
        span("forebay.request", "3", "2"),
        span("chat smollm2", "4", "3", "client"),
        span("router", "5", "1"),
    ]
    screen.trace(spans, "The trace of something")
    assert "POST /v1/chat/completions" in shown()
    assert "└─ forebay.request" in shown()
    assert "   └─ chat smollm2" in shown()
    assert "router" not in shown()
    assert "2 of LiteLLM's own spans are not shown" in shown()


def test_waiting_ends_when_it_is_ready_or_too_late(screen: Screen, shown: Shown) -> None:
    asked: list[None] = []

    def ready() -> bool:
        asked.append(None)
        return len(asked) == 2

    assert screen.wait("thing", ready, lambda: None, 10)
    assert "waiting for the thing" in shown()
    assert "ready  the thing, after" in shown()
    assert not screen.wait("other", lambda: False, lambda: None, 0)


def test_waiting_ends_when_a_check_fails(screen: Screen) -> None:
    def check() -> None:
        raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        screen.wait("thing", lambda: False, check, 10)
