"""What a stopped run had computed is in the cache when the batch goes on: what is clean, as old as it is, and once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from forebay.adapters.batch.journal import Done, Journal
from forebay.adapters.batch.reading import Reading, check
from forebay.adapters.batch.refill import AT_ONCE, refill
from forebay.middleware.config import load_config
from forebay.middleware.records import EVERYTHING, Selector
from forebay.middleware.runtime import Runtime
from tests.adapters.batch.rig import CHAT, Place, line, read, serving, texts, write
from tests.adapters.batch.served import answer
from tests.middleware.parts import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
    from pathlib import Path

    from forebay.middleware.pipeline import Pipeline
    from forebay.middleware.records import Answer, Entry, Request
    from tests.adapters.batch.rig import Served

NOW = time.time()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


def stopped(place: Place, lines: Sequence[Mapping[str, Any]], *done: Done) -> None:
    """Write a batch file and the journal of a run that was stopped."""
    write(place.source, lines)
    digest = hashlib.sha256(place.source.read_bytes()).hexdigest()
    settings = {"--model": "", "--tenant": "default"}
    journal = Journal(place.journal, digest=digest, settings=settings, lines=len(lines))
    for each in done:
        journal.add(each)
    journal.close()


def done(index: int, asked: Mapping[str, Any], *, end: str = "stop", **fields: Any) -> Done:
    """Return a line that the server answered a minute ago."""
    body = answer(str(asked["url"]), asked["body"])
    for choice in body.get("choices", ()):
        choice["finish_reason"] = end
    response = {"status_code": 200, "request_id": "r", "body": body}
    told = {"id": "x", "custom_id": asked["custom_id"], "response": response, "error": None}
    known: dict[str, Any] = {"ok": True, "status": "miss", "number": index + 1, "done_s": NOW - 60, **fields}
    return Done(index, told, **known)


def questions(served: Served) -> list[str]:
    return [str(each["messages"][-1]["content"]) for each in served.asked]


def test_repeats_of_what_was_computed_are_hits_and_counted_as_such(tmp_path: Path, served: Served) -> None:
    place = Place(tmp_path)
    asked = [line(f"id{at}", f"question {at % 3}") for at in range(9)]
    stopped(place, asked, done(1, asked[1]), done(0, asked[0]))
    assert place.run("--url", served.url) == 0
    assert questions(served) == ["question 2"]
    assert texts(place.out) == [f"to question {at % 3}" for at in range(9)]
    assert "2 answers of these in the cache again" in place.said
    assert "computed   3" in place.said
    assert "cache      6 (67%)" in place.said
    assert "60 tokens saved" in place.said  # ten for each of the six; none for the two that were kept again


def test_of_many_answers_the_last_are_kept_again(
    tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forebay.adapters.batch.command.MOST", 2)
    place = Place(tmp_path)
    asked = [line(f"id{at}", f"question {at % 4}") for at in range(8)]
    stopped(place, asked, *(done(at, asked[at]) for at in range(4)))
    assert place.run("--url", served.url) == 0
    assert sorted(questions(served)) == ["question 0", "question 1"]


def test_what_is_not_clean_is_asked_again(tmp_path: Path, served: Served) -> None:
    place = Place(tmp_path)
    names = ("failed", "warned", "cut", "semantic", "exact", "inflight", "bypass")
    asked = [line(f"{name} {at}", f"question {name}") for at in range(2) for name in names]
    stopped(
        place,
        asked,
        done(0, asked[0], ok=False, status="", reason="status_500"),
        done(1, asked[1], reason="finish_reason_length"),
        done(2, asked[2], end="length"),  # by the write gate alone
        *(done(at, asked[at], status=names[at]) for at in range(3, len(names))),
    )
    assert place.run("--url", served.url) == 1
    assert sorted(questions(served)) == sorted(f"question {name}" for name in names)
    assert "0 answers of these" in place.said


@pytest.mark.parametrize(
    ("done_s", "calls"),
    [(NOW - 200_000.0, 1), (NOW - 60.0, 0), (NOW + 900.0, 0), (None, 0)],
    ids=["expired", "a minute", "another clock", "not known"],
)
def test_an_answer_is_as_old_as_its_line(tmp_path: Path, served: Served, done_s: float | None, calls: int) -> None:
    place = Place(tmp_path)
    asked = [line("a", "one"), line("b", "one")]
    stopped(place, asked, done(0, asked[0], done_s=done_s))
    assert place.run("--url", served.url) == 0
    assert len(served.asked) == calls


def test_a_journal_without_times_goes_on(tmp_path: Path, served: Served) -> None:
    place = Place(tmp_path)
    asked = [line("a", "one"), line("b", "one")]
    stopped(place, asked, done(0, asked[0], done_s=None))
    kept = place.journal.read_text(encoding="utf-8").replace(', "done_s": null', "")
    place.journal.write_text(kept, encoding="utf-8")
    assert place.run("--url", served.url) == 0
    assert not served.asked


def test_other_wordings_are_hits_where_they_are_served(tmp_path: Path, served: Served) -> None:
    place = Place(tmp_path, cache={"semantic": "serve"}, acceptance={"type": "threshold", "threshold": 0.5})
    question = "What is the forebay of a power plant on a river good for"
    asked = [line("a", f"{question}?"), line("b", f"{question}, please?")]
    stopped(place, asked, done(0, asked[0]))
    assert place.run("--url", served.url) == 0
    assert not served.asked
    assert "1 in other words" in place.said


def test_other_endpoints_are_kept_as_they_are_asked(tmp_path: Path, served: Served) -> None:
    def other(name: str, url: str, **body: object) -> dict[str, Any]:
        return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "small", **body}}

    place = Place(tmp_path)
    asked = [
        other("text", "/v1/completions", prompt="once"),
        other("one", "/v1/embeddings", input=["abc"]),
        other("two", "/v1/embeddings", input=["abcd", "ab"]),
        other("text again", "/v1/completions", prompt="once"),
        other("one again", "/v1/embeddings", input="abc"),
        other("of both", "/v1/embeddings", input=["ab", "abc", "abcd"]),
        other("and chat", CHAT, messages=[{"role": "user", "content": "once"}]),
    ]
    stopped(place, asked, *(done(at, asked[at]) for at in range(3)))
    assert place.run("--url", served.url) == 0
    assert [each["messages"][0]["content"] for each in served.asked] == ["once"]
    bodies = [each["response"]["body"] for each in read(place.out)]
    assert bodies[3]["choices"][0]["text"] == "after once"
    assert [row["embedding"][0] for body in bodies[4:6] for row in body["data"]] == [3.0, 2.0, 3.0, 4.0]


class Busy:
    """A pipeline that keeps what it is given until it is told to go on."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.inside = self.most = 0
        self.asked: list[str] = []

    async def remember(self, request: Request, answer: Answer, *, age_s: float) -> str:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.asked.append(str(request.messages[-1]["content"]))
        await self.gate.wait()
        self.inside -= 1
        return ""


async def test_few_lines_are_in_memory_at_a_time(tmp_path: Path) -> None:
    place, busy = Place(tmp_path), Busy()
    asked = [line(f"id{at}", f"question {at}") for at in range(5 * AT_ONCE)]
    number = len(asked) - 7
    stopped(place, asked, *(done(at, asked[at]) for at in range(number)))
    reading = Reading(place.source, None, "default", frozenset({"chat"}))
    checked = check(reading, lambda _: None)
    settings = {"--model": "", "--tenant": "default"}
    journal = Journal(place.journal, digest=checked.digest, settings=settings, lines=checked.lines)
    task = asyncio.ensure_future(refill(cast("Pipeline", busy), reading, checked, journal))
    await until(lambda: busy.inside == AT_ONCE)
    busy.gate.set()
    assert await task == number
    assert busy.most == AT_ONCE
    assert busy.asked == [f"question {at}" for at in range(number)]
    journal.close()


@asynccontextmanager
async def opened(place: Place) -> AsyncGenerator[Runtime]:
    runtime = Runtime(load_config(place.config), serves=False)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


async def entries(place: Place) -> dict[str, Entry]:
    async with opened(place) as runtime:
        return {each.question: each async for each in runtime.keeper.scan(EVERYTHING)}


async def forget(place: Place, entry: Entry) -> None:
    async with opened(place) as runtime:
        await runtime.keeper.forget(Selector(id=entry.id))


@pytest.mark.slow
def test_a_store_that_outlives_the_run_is_as_it_was(tmp_path: Path, served: Served) -> None:
    place = Place(tmp_path, store={"type": "milvus"})
    asked = [line(f"id{at}", f"question {at % 4}") for at in range(8)]
    write(place.source, asked[:4])
    assert place.run("--url", served.url) == 0
    before = asyncio.run(entries(place))
    assert len(before) == 4
    gone = next(name for name in before if "question 2" in name)
    asyncio.run(forget(place, before[gone]))
    place.out.unlink()
    stopped(place, asked, *(done(at, asked[at]) for at in range(4)))
    assert place.run("--url", served.url) == 0
    assert questions(served)[4:] == ["question 2"]  # what was forgotten stays forgotten
    after = asyncio.run(entries(place))
    assert {name: each for name, each in after.items() if name != gone} == {
        name: each for name, each in before.items() if name != gone
    }
    assert len(after) == 4
