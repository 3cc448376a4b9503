from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from forebay.adapters.demo.sample import KINDS, Ask, batches, load
from forebay.middleware.errors import ForebayError
from forebay.middleware.records import CacheStatus

SAMPLE = load()


def test_the_sample_tests_everything_it_promises() -> None:
    count = Counter(ask.kind for ask in SAMPLE)
    assert set(count) == set(KINDS)
    assert len(SAMPLE) >= 40
    assert count["concurrent"] == 6
    assert sum(ask.trap for ask in SAMPLE) >= 10


def test_every_expectation_is_a_value_of_the_header() -> None:
    known = {status.value for status in CacheStatus}
    assert all(ask.expect and known.issuperset(ask.expect) for ask in SAMPLE)


def test_only_an_earlier_question_of_the_group_can_answer_one() -> None:
    """A label that expects a hit has something to hit; the first of its group expects a miss."""
    seen: set[str] = set()
    for ask in SAMPLE:
        if ask.group not in seen:
            assert "miss" in ask.expect, ask.id
        elif ask.kind != "concurrent":
            assert "miss" not in ask.expect, ask.id
        seen.add(ask.group)


def test_a_trap_is_the_first_of_its_group_and_near_another_question() -> None:
    for index, ask in enumerate(SAMPLE):
        if not ask.trap:
            continue
        words = set(ask.shown.lower().split())
        earlier = SAMPLE[:index]
        assert all(other.group != ask.group for other in earlier), ask.id
        assert any(len(words & set(other.shown.lower().split())) >= len(words) / 2 for other in earlier), ask.id


def test_equal_words_in_one_group_only_where_all_else_is_equal() -> None:
    group_of: dict[str, str] = {}
    for ask in SAMPLE:
        assert group_of.setdefault(json.dumps(list(ask.messages)), ask.group) == ask.group, ask.id


def test_a_stream_answers_a_whole_repeat_and_the_other_way_round() -> None:
    first: dict[str, Ask] = {}
    pairs: set[tuple[bool, bool]] = set()
    for ask in SAMPLE:
        earlier = first.setdefault(json.dumps(list(ask.messages)), ask)
        if ask.expect == ("exact",):
            pairs.add((earlier.stream, ask.stream))
    assert {(True, False), (False, True)} <= pairs


def test_batches_keep_the_order_and_send_twins_together() -> None:
    found = list(batches(SAMPLE))
    assert [ask for batch in found for ask in batch] == SAMPLE
    assert [len(batch) for batch in found if len(batch) > 1] == [6]


def test_two_bursts_are_two_batches() -> None:
    def twin(name: str, group: str) -> Ask:
        return Ask(name, group, "concurrent", (), stream=False, expect=())

    asks = [twin("1", "a"), twin("2", "a"), twin("3", "b"), twin("4", "b")]
    assert [[ask.id for ask in batch] for batch in batches(asks)] == [["1", "2"], ["3", "4"]]


def test_own_questions(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('\n{"id": "a", "group": "g", "kind": "new", "prompt": "Why?"}\n', encoding="utf-8")
    (ask,) = load(path)
    assert (ask.shown, ask.stream, ask.expect) == ("Why?", False, ())
    assert [message["role"] for message in ask.messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one question"),
        ("{", "line 1: not JSON"),
        ("[]", "line 1: must be an object"),
        ('{"id": "a", "group": "g", "kind": "odd", "prompt": "p"}', "kind must be one of"),
        ('{"id": "a", "group": "g", "kind": "new"}', "needs a prompt, or messages"),
        ('{"id": "a", "group": "g", "kind": "new", "messages": ["x"]}', "needs a prompt, or messages"),
        ('{"id": "a", "kind": "new", "prompt": "p"}', "needs an id, a group"),
        ('{"id": "a", "group": "g", "kind": "new", "promt": "p"}', "keys out of"),
        ('{"id": "a", "group": "g", "kind": "new", "prompt": "p"}\n' * 2, "an id of its own"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ForebayError, match=said):
        load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ForebayError, match="cannot be read"):
        load(tmp_path / "nowhere.jsonl")
