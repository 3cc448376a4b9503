"""``forebay cache warm``, on a real Milvus Lite file."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.milvus.lite import LiteServer
from forebay.middleware.cli.warm import Warmer
from forebay.middleware.config import load_config, parse_config
from forebay.middleware.errors import EngineError
from forebay.middleware.records import Answer, CacheStatus, JsonObject, Request
from forebay.middleware.runtime import Runtime
from forebay.middleware.state import StateStore

Run = Callable[..., Any]
NOW = int(time.time())


def line(question: str, answer: str = "an answer", *, end: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": end}
    body = {"model": "tiny", "messages": [{"role": "user", "content": question}], "temperature": 0}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return {"request": body, "response": {"id": "x", "created": NOW - 60, "choices": [choice], "usage": usage}, **more}


@pytest.fixture
def log(folder: Path) -> Callable[..., str]:
    def write(*lines: object) -> str:
        texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
        (folder / "log.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
        return "log.jsonl"

    return write


class NoEngine:
    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        raise EngineError("there is none")

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncIterator[JsonObject]:
        raise EngineError("there is none")
        yield  # makes it a generator


def ask(config: Path, *questions: str, tenant: str = "default") -> list[str | None]:
    """Ask as a client of the process that serves; return its answers, None where the engine was asked."""

    async def handle() -> list[str | None]:
        runtime = Runtime(load_config(config))
        await runtime.start()
        assert runtime.problems == []
        found: list[str | None] = []
        try:
            for number, question in enumerate(questions):
                request = Request(
                    f"r{number}", "tiny", [{"role": "user", "content": question}], {"temperature": 0}, tenant=tenant
                )
                try:
                    reply = await runtime.pipeline.handle(request, NoEngine())
                except EngineError:
                    found.append(None)
                else:
                    assert reply.status is CacheStatus.EXACT
                    assert reply.body is not None
                    found.append(reply.body["choices"][0]["message"]["content"])
        finally:
            await runtime.stop()
        return found

    return asyncio.run(handle())


def report(outcome: Any) -> tuple[int, dict[str, int]]:
    assert outcome.status == 0, outcome.err
    found: dict[str, Any] = json.loads(outcome.out)
    return found["kept"], {each["reason"]: each["lines"] for each in found["skipped"]}


def test_answers_of_a_log_are_served(forebay: Run, config: Path, log: Any) -> None:
    file = log(line("Who wrote Hamlet?", "Shakespeare"), "", line("Who wrote Faust?", "Goethe", tenant="other"))
    assert report(forebay("cache", "warm", file, "--json")) == (2, {})
    assert ask(config, "Who wrote Hamlet?", "Who wrote Faust?") == ["Shakespeare", None]
    assert ask(config, "Who wrote Faust?", tenant="other") == ["Goethe"]
    stats = json.loads(forebay("cache", "stats", "--json").out)
    assert (stats["entries"], stats["with_vector"]) == (2, 2)


def test_many_lines(forebay: Run, config: Path, log: Any) -> None:
    file = log(*(line(f"What is {number} plus one?", str(number + 1)) for number in range(50)))
    assert report(forebay("cache", "warm", file, "--json")) == (50, {})
    assert ask(config, "What is 7 plus one?") == ["8"]


def test_what_is_not_whole_is_not_kept(forebay: Run, config: Path, log: Any) -> None:
    file = log(
        line("one", end="length"),
        line("two", ""),
        "{cut off",
        {"call_type": "aembedding"},
        line("three", "kept"),
        line("hot", "kept"),
    )
    kept, skipped = report(forebay("cache", "warm", file, "--json"))
    assert kept == 2
    assert skipped.pop("not_json") == 1
    assert skipped.pop("no_chat_completion") == 1
    assert sum(skipped.values()) == 2
    assert ask(config, "one", "two", "three") == [None, None, "kept"]


def test_people_are_told(forebay: Run, config: Path, log: Any) -> None:
    outcome = forebay("cache", "warm", log(line("one"), "nonsense", "nonsense"))
    assert outcome.out.startswith("kept 1 answer of 3 lines\n")
    assert outcome.out.splitlines()[-1].split() == ["2", "not", "JSON", "2"]


def test_what_is_kept_already_stays(forebay: Run, config: Path, log: Any) -> None:
    forebay("cache", "warm", log(line("one", "first")))
    assert report(forebay("cache", "warm", log(line("one", "second"), line("two")), "--json")) == (
        1,
        {"already_kept": 1},
    )
    assert ask(config, "one") == ["first"]


def test_an_old_answer_expires_when_it_would_have(forebay: Run, config: Path, log: Any) -> None:
    config.write_text(config.read_text(encoding="utf-8") + "expiry: {type: fixed, ttl_s: 100000}\n", encoding="utf-8")
    file = log(line("old", created_s=NOW - 100_001), line("young", created_s=NOW - 90_000))
    assert report(forebay("cache", "warm", file, "--json")) == (1, {"expired": 1})
    found = forebay("cache", "export", "all.jsonl", "--json")
    assert found.status == 0
    (entry,) = [json.loads(each)["entry"] for each in Path("all.jsonl").read_text("ascii").splitlines()[1:]]
    assert 0 < entry["expires_s"] - time.time() <= 10_000
    assert entry["created_s"] == NOW - 90_000


def test_a_mode_that_is_off_is_kept_to(forebay: Run, config: Path, log: Any) -> None:
    config.write_text(config.read_text(encoding="utf-8") + "rules: [{model: 'ti*', mode: off}]\n", encoding="utf-8")
    assert report(forebay("cache", "warm", log(line("one")), "--json")) == (0, {"bypass": 1})


def test_lines_of_a_log_are_no_requests(forebay: Run, config: Path, log: Any, folder: Path) -> None:
    forebay("cache", "warm", log(line("one"), line("two")))
    assert json.loads(forebay("savings", "--json").out) == []
    state = StateStore(folder / "state" / "state.db")
    try:
        assert state.saved("model", "2000-01-01") == []
    finally:
        state.close()


def test_neither_engine_nor_limit_holds_it_up(forebay: Run, config: Path, log: Any) -> None:
    more = "engine: {type: openai, base_url: 'http://127.0.0.1:9/v1'}\nlimit: {type: fixed, max_inflight: 1}\n"
    config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert report(forebay("cache", "warm", log(*(line(f"q{n}") for n in range(20))), "--json")) == (20, {})


def test_a_file_that_another_process_holds_is_said(forebay: Run, config: Path, log: Any, folder: Path) -> None:
    forebay("cache", "warm", log(line("one")))
    holder = LiteServer.open(folder / "state" / "cache.db")
    try:
        outcome = forebay("cache", "warm", log(line("two")))
    finally:
        holder.close()
    assert outcome.status == 2
    assert "in use by another process" in outcome.err


def test_a_log_that_is_not_there(forebay: Run, config: Path) -> None:
    outcome = forebay("cache", "warm", "nowhere.jsonl")
    assert outcome.status == 2
    assert "nowhere.jsonl cannot be read" in outcome.err


def test_a_store_inside_the_serving_process_cannot_be_filled(forebay: Run, config: Path, log: Any) -> None:
    config.write_text("store: {type: memory}", encoding="utf-8")
    outcome = forebay("cache", "warm", log(line("one")))
    assert outcome.status == 2
    assert "inside the process that serves" in outcome.err


async def test_a_store_that_fails_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"state_dir": str(tmp_path), "store": {"type": "memory"}, "embedder": {"type": "hashing"}}
    runtime = Runtime(parse_config(settings, environ={}))
    await runtime.start()
    try:
        keep = Warmer(runtime)
        assert await keep.line(json.dumps(line("one")), "t") == "kept"

        async def fail(*_: object) -> None:
            raise TimeoutError

        monkeypatch.setattr(runtime.keeper, "get", fail)
        assert await keep.line(json.dumps(line("two")), "t") == "store_error"
        assert runtime.pipeline.inflight == 0
    finally:
        await runtime.stop()
