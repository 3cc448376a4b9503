from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.demo.asking import Reply
from forebay.adapters.demo.report import as_json, judge, percentile, summarize
from forebay.adapters.demo.sample import Ask


def reply(name: str, group: str, cache: str, made: str, **values: Any) -> Reply:
    kind, expect = values.pop("kind", "new"), values.pop("expect", (cache,))
    ask = Ask(name, group, kind, ({"role": "user", "content": name},), stream=False, expect=expect)
    return Reply(ask, values.pop("status", 200), cache=cache, completion_id=made, **values)


REPLIES = [
    reply("1", "a", "miss", "m1", latency_ms=100.0, input_tokens=5, output_tokens=10),
    reply("2", "b", "miss", "m2", kind="trap_number", latency_ms=300.0, input_tokens=5, output_tokens=20),
    reply("3", "a", "exact", "m1", kind="repeat", latency_ms=10.0, input_tokens=5, output_tokens=10),
    reply("4", "b", "semantic", "m2", kind="paraphrase", latency_ms=20.0, input_tokens=6, output_tokens=20),
    reply("5", "a", "inflight", "m1", kind="concurrent", latency_ms=90.0, input_tokens=5, output_tokens=10),
    reply("6", "c", "semantic", "m1", kind="trap_entity", expect=("miss",), latency_ms=30.0, output_tokens=10),
    reply("7", "d", "", "", status=500, latency_ms=1.0),
]


def test_a_hit_is_wrong_where_its_answer_was_made_for_another_group() -> None:
    judged = judge(REPLIES)
    assert [each.wrong for each in judged] == [False] * 5 + [True, False]
    assert [each.origin for each in judged] == ["1", "2", "1", "2", "1", "1", ""]
    assert [each.hit for each in judged] == [False, False, True, True, True, True, False]


def test_a_follower_may_come_before_its_leader() -> None:
    judged = judge([reply("2", "a", "inflight", "m1"), reply("1", "a", "miss", "m1")])
    assert [each.wrong for each in judged] == [False, False]


def test_a_hit_from_nowhere_counts_as_wrong() -> None:
    (judged,) = judge([reply("1", "a", "exact", "unknown")])
    assert (judged.origin, judged.wrong) == ("", True)


def test_an_error_is_no_origin_and_no_hit() -> None:
    judged = judge([reply("1", "a", "miss", "m1", status=500), reply("2", "a", "exact", "m1")])
    assert [each.wrong for each in judged] == [False, True]
    assert [each.hit for each in judge([reply("1", "a", "exact", "m1", status=500)])] == [False]


def test_summary() -> None:
    summary = summarize(judge(REPLIES), engine_tokens=30)
    wanted = {
        "requests": 7,
        "answered": 6,
        "exact": 1,
        "semantic": 2,
        "inflight": 1,
        "stale": 0,
        "miss": 2,
        "bypass": 0,
        "shed": 0,
        "shadow": 0,
        "hits": 4,
        "hit_rate": 0.6667,
        "wrong_hits": 1,
        "wrong_hit_rate": 0.25,
        "traps": 2,
        "traps_right": 1,
        "paraphrases": 1,
        "paraphrases_served": 1,
        "as_expected": 5,
        "hit_p50_ms": 20.0,
        "hit_p95_ms": 30.0,
        "miss_p50_ms": 100.0,
        "miss_p95_ms": 300.0,
        "miss_over_hit_p50": 5.0,
        "tokens_saved": 15 + 26 + 15 + 10,
        "engine_answers": 2,
        "engine_tokens": 30,
        "missed_tokens": 30,
    }
    assert summary == wanted


def test_summary_of_nothing() -> None:
    summary = summarize([])
    assert (summary["hit_rate"], summary["hit_p50_ms"], summary["miss_over_hit_p50"]) == (0.0, None, None)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.95, 4.0), (0.25, 1.0), (1.0, 4.0), (0.0, 1.0)])
def test_percentile(share: float, value: float) -> None:
    assert percentile([3.0, 1.0, 4.0, 2.0], share) == value


@given(st.lists(st.integers(0, 1000), min_size=1), st.floats(0.01, 1))
def test_percentile_is_the_smallest_that_enough_do_not_exceed(values: list[int], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert all(sum(value <= other for value in values) < share * len(values) for other in values if other < found)


def test_json_is_flat_and_holds_no_answer_text() -> None:
    judged = judge([reply("1", "a", "miss", "m1", text="what was answered", first_ms=1.234)])
    report = json.loads(json.dumps(as_json(judged, summarize(judged))))
    assert set(report) == {"command", "version", "machine", "rows", "summary"}
    (row,) = report["rows"]
    assert all(not isinstance(value, (dict, list)) for value in row.values())
    assert (row["id"], row["cache"], row["origin"], row["wrong"], row["first_token_ms"]) == (
        "1",
        "miss",
        "1",
        False,
        1.23,
    )
    assert "what was answered" not in json.dumps(report)
