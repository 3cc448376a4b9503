"""What every predictor must do: subclass `PredictorContract` and give it a fixture `make_predictor`, which makes one anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.admission.tickets import Load
from forebay.middleware.analysis.facts import (
    Fingerprint,
    Length,
    Neighbours,
    Outcome,
    Profile,
    RequestFacts,
    Subject,
    Work,
)
from forebay.middleware.analysis.protocols import Predictor
from forebay.middleware.narrow import is_array, is_object
from forebay.middleware.records import Key, Request
from tests.contract.analyzer import JSON, MESSAGES, TEXT

MAX_STATE_BYTES = 1_000_000
SUPPRESSED = [HealthCheck.differing_executors, HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
MANY = 700
DIMENSION = 24
REFUSALS = (ValueError, KeyError, TypeError)
QUESTIONS = (
    "What is the capital of France?",
    "Write a long essay about the sea, in five parts.",
    "Translate to German: the dog sleeps.",
    "Write a Python function that sorts a list of pairs by the second.",
    "List ten things to do in Oslo, with a sentence on each.",
)
_COUNTS = st.integers(0, 2**40)
_TIMES = st.none() | st.floats(0, 1e9)

FACTS: st.SearchStrategy[RequestFacts] = st.builds(
    RequestFacts,
    input_tokens=_COUNTS,
    turns=st.integers(0, 100),
    task=st.sampled_from(["question", "code", "other"]),
    cacheable=st.booleans(),
    semantic=st.just(value=False),
    profile=st.none()
    | st.builds(
        Profile,
        input_tokens=_COUNTS,
        tools=st.integers(0, 9),
        structured=st.booleans(),
        code_share=st.floats(0, 1),
        max_tokens=st.none() | _COUNTS,
        stops=st.integers(0, 9),
    ),
    fingerprint=st.none() | st.builds(Fingerprint, template=TEXT, constant=st.floats(0, 1)),
    neighbours=st.none() | st.builds(Neighbours, inflight_same=_COUNTS),
    length=st.none() | st.floats(0, 1e7).map(lambda tokens: Length(tokens, 2 * tokens)),
    work=st.none() | st.builds(Work, prefill_tokens=_COUNTS, decode_tokens=st.floats(0, 1e7), kv_blocks=_COUNTS),
)
SUBJECTS: st.SearchStrategy[Subject] = st.builds(
    Subject,
    request=st.builds(
        Request,
        id=st.just("r"),
        model=TEXT,
        messages=MESSAGES | JSON,
        params=st.dictionaries(TEXT, JSON, max_size=4)
        | JSON
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["max_tokens", "max_completion_tokens", "stop", "n", "tools"], JSON)
        ),
        tenant=TEXT,
        endpoint=st.sampled_from(["chat", "completions", "responses", "messages"]),
    ),
    facts=FACTS,
    key=st.none() | st.builds(Key, scope=TEXT, context=TEXT, exact=TEXT, text=TEXT),
    vector=st.none() | st.lists(st.floats(), max_size=DIMENSION),
    now_s=st.floats(0, 1e9),
    load=st.none() | st.builds(Load, inflight=_COUNTS, queued=_COUNTS, inflight_tokens=_COUNTS),
)
OUTCOMES: st.SearchStrategy[Outcome] = st.builds(
    Outcome,
    subject=SUBJECTS,
    input_tokens=_COUNTS,
    output_tokens=_COUNTS,
    complete=st.booleans(),
    truncated=st.booleans(),
    lane=TEXT,
    entered_s=_TIMES,
    first_token_s=_TIMES,
    ended_s=_TIMES,
    escalated=st.none() | st.booleans(),
)


def subject(at: int, **changes: Any) -> Subject:
    """Return one of a stream of subjects: five questions, two models, two tenants; every other has a vector."""
    question = changes.pop("question", QUESTIONS[at % len(QUESTIONS)])
    model, tenant = f"model-{at % 2}", f"tenant-{at % 3 % 2}"
    request = Request(f"r{at}", model, ({"role": "user", "content": question},), tenant=tenant)
    facts = RequestFacts(
        input_tokens=10 + at % 7,
        turns=1,
        task="question",
        cacheable=True,
        semantic=True,
        profile=Profile(10 + at % 7),
        fingerprint=Fingerprint(f"template-{at % 2}", 0.5, (1, 2, at)) if at % 3 else None,
        length=Length(100.0, 300.0),
    )
    vector = [((at * 7 + axis * 3) % 11 - 5) / 17 for axis in range(DIMENSION)] if at % 2 else None
    key = Key("scope", "", f"question-{at % len(QUESTIONS)}", question)
    return replace(Subject(request, facts, key, vector, float(at), Load(at % 9, at % 4, 100 * at % 900)), **changes)


def outcome(predictor: Predictor, asked: Subject, at: int) -> Outcome:
    """Return what became of a subject after the predictor said what it expects."""
    told = replace(asked, facts=predictor.predict(asked))
    tokens = 20 + 37 * (at % 5) + at % 13
    return Outcome(
        told,
        input_tokens=asked.facts.input_tokens,
        output_tokens=tokens,
        truncated=at % 17 == 0,
        complete=at % 19 != 0,
        lane=f"lane-{at % 2}",
        entered_s=asked.now_s,
        first_token_s=asked.now_s + 0.1,
        ended_s=asked.now_s + 0.1 + 0.02 * tokens,
        escalated=(None, True, False)[at % 3],
    )


def teach(predictor: Predictor, count: int = 60, start: int = 0) -> Predictor:
    """Let a predictor predict and learn so many requests, and return it."""
    for at in range(start, start + count):
        predictor.learn(outcome(predictor, subject(at), at))
    return predictor


def as_json(predictor: Predictor) -> Any:
    """Return the state as it comes back from a file."""
    return json.loads(json.dumps(predictor.snapshot(), allow_nan=False))


def added(before: RequestFacts, after: RequestFacts) -> list[str]:
    """Return the names of the facts that differ, after every record has checked itself again."""
    for each in fields(after):
        value = getattr(after, each.name)
        if is_dataclass(value) and not isinstance(value, type):
            assert replace(value) == value, f"{each.name} is not equal to itself"
    return [each.name for each in fields(after) if getattr(before, each.name) != getattr(after, each.name)]


def alike(one: Any, other: Any) -> bool:
    """Return whether two values are the same but for the last digits of numbers."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-2, abs=1e-3)
    if is_object(one) and is_object(other):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if is_array(one) and is_array(other):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def facts_of(predictor: Predictor, asked: Subject) -> Any:
    """Return what a predictor says, as plain values."""
    facts = predictor.predict(asked)
    return asdict(replace(facts, labels=dict(facts.labels)))


class PredictorContract:
    """Set `remembers` to False where nothing that was learned outlives the process."""

    remembers: ClassVar[bool] = True

    @pytest.fixture
    def predictor(self, make_predictor: Callable[[], Predictor]) -> Predictor:
        return make_predictor()

    def test_it_is_a_predictor(self, predictor: Predictor) -> None:
        assert isinstance(predictor, Predictor)

    def test_one_fact_is_added_and_the_others_stay(self, predictor: Predictor) -> None:
        for at in range(30):
            asked = subject(at)
            assert len(added(asked.facts, predictor.predict(asked))) <= 1
            predictor.learn(outcome(predictor, asked, at))

    @settings(suppress_health_check=SUPPRESSED, deadline=None, max_examples=60)
    @given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=3))
    def test_no_json_makes_it_raise(self, make_predictor: Callable[[], Predictor], outcomes: Sequence[Outcome]) -> None:
        predictor = make_predictor()
        for each in outcomes:
            facts = predictor.predict(each.subject)
            assert len(added(each.subject.facts, facts)) <= 1
            predictor.learn(replace(each, subject=replace(each.subject, facts=facts)))
            predictor.learn(each)  # one that was not predicted
        assert len(added(subject(0).facts, predictor.predict(subject(0)))) <= 1
        assert as_json(predictor) == as_json(predictor)
        json.dumps(list(predictor.report()), allow_nan=False)

    def test_it_is_deterministic(self, make_predictor: Callable[[], Predictor]) -> None:
        one, other = teach(make_predictor()), teach(make_predictor())
        assert as_json(one) == as_json(other)
        for at in range(10):
            assert one.predict(subject(at)) == other.predict(subject(at))

    def test_predicting_twice_says_the_same(self, make_predictor: Callable[[], Predictor]) -> None:
        predictor = teach(make_predictor())
        assert predictor.predict(subject(3)) == predictor.predict(subject(3))

    def test_the_report_is_flat_rows(self, make_predictor: Callable[[], Predictor]) -> None:
        rows = teach(make_predictor()).report()
        json.dumps(list(rows), allow_nan=False)
        for row in rows:
            assert all(value is None or isinstance(value, str | int | float | bool) for value in row.values())

    def test_a_state_survives_json(self, make_predictor: Callable[[], Predictor]) -> None:
        taught, fresh = teach(make_predictor()), make_predictor()
        state = as_json(taught)
        fresh.restore(state)
        assert as_json(fresh) == state
        if self.remembers:
            for at in range(100, 110):
                assert alike(facts_of(fresh, subject(at)), facts_of(taught, subject(at)))
        assert as_json(teach(fresh, start=60)) is not None

    def test_a_new_one_restores_a_new_ones_state(self, make_predictor: Callable[[], Predictor]) -> None:
        fresh = make_predictor()
        fresh.restore(as_json(make_predictor()))
        assert as_json(fresh) == as_json(make_predictor())

    def test_a_snapshot_does_not_change_afterwards(self, make_predictor: Callable[[], Predictor]) -> None:
        predictor = teach(make_predictor())
        state = predictor.snapshot()
        before = json.dumps(state)
        teach(predictor, start=60)
        assert json.dumps(state) == before
        other = make_predictor()
        other.restore(state)
        teach(other)
        assert json.dumps(state) == before

    @pytest.mark.parametrize(
        "rubbish",
        [{"schema": -1}, {"schema": None}, {"schema": "1"}, {"rubbish": []}, [], None, "x", 1, {"schema": [1]}],
    )
    def test_what_is_not_a_state_is_refused(self, make_predictor: Callable[[], Predictor], rubbish: Any) -> None:
        predictor = teach(make_predictor())
        before, said = as_json(predictor), predictor.predict(subject(4))
        with pytest.raises(REFUSALS):
            predictor.restore(rubbish)
        assert as_json(predictor) == before
        assert predictor.predict(subject(4)) == said

    @settings(suppress_health_check=SUPPRESSED, deadline=None, max_examples=60)
    @given(data=st.data())
    def test_a_damaged_state_is_refused_whole(
        self, make_predictor: Callable[[], Predictor], data: st.DataObject
    ) -> None:
        state = as_json(teach(make_predictor(), 20))
        _damage(state, data)
        predictor = teach(make_predictor(), 10, start=500)
        before = as_json(predictor)
        try:
            predictor.restore(state)
        except REFUSALS:
            assert as_json(predictor) == before
        # where the damage does not show, it goes on working
        assert len(added(subject(7).facts, predictor.predict(subject(7)))) <= 1
        teach(predictor, 3)

    def test_the_state_stays_small_whatever_comes(self, make_predictor: Callable[[], Predictor]) -> None:
        predictor = make_predictor()
        for at in range(MANY):
            asked = subject(at, question=f"question {at} about {at * 7919 % 1009} and {'more ' * (at % 40)}")
            request = replace(asked.request, model=f"{'m' * 200}{at}", tenant=f"{'t' * 200}{at}")
            template = Fingerprint(f"{'f' * 200}{at}", 0.5, tuple(range(at, at + 50)))
            vector = [((at * 31 + axis * 17) % 101 - 50) / 600 for axis in range(384)]
            asked = replace(
                asked, request=request, vector=vector, facts=replace(asked.facts, fingerprint=template, length=None)
            )
            predictor.learn(replace(outcome(predictor, asked, at), lane=f"{'l' * 200}{at}"))
        assert len(json.dumps(predictor.snapshot())) < MAX_STATE_BYTES
        assert len(json.dumps(list(predictor.report()))) < MAX_STATE_BYTES


def _damage(state: Any, data: st.DataObject) -> None:
    """Replace or remove one value anywhere in a state."""
    while True:
        names: list[Any] = list(state) if is_object(state) else list(range(len(state)))
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        inner: Any = state[name]
        if (is_object(inner) or is_array(inner)) and inner and data.draw(st.booleans()):
            state = inner
        elif data.draw(st.booleans()):
            del state[name]
            return
        else:
            state[name] = data.draw(JSON)
            return
