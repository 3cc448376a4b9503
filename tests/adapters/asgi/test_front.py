"""The front before a server: hits, misses byte for byte, twins, and what is never kept."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import CHAT, Client, asked, fronted, runtime_of, settled, stored, until

TEXT = "one two three"
COMPLETIONS = "/v1/completions"


def bodies_of(path: str) -> dict[str, Any]:
    return asked() if path == CHAT else {"model": "tiny", "prompt": "Once upon a time"}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
async def test_the_second_of_two_equal_requests_is_a_hit_in_its_own_form(
    path: str, first: bool, second: bool, tmp_path: Path
) -> None:
    voice = Voice()
    usage = {"stream_options": {"include_usage": True}}
    async with fronted(server(voice), tmp_path) as app:
        one = await Client(app, {**bodies_of(path), **({"stream": True, **usage} if first else {})}, path=path).done()
        await settled(app)
        two = await Client(app, {**bodies_of(path), **({"stream": True, **usage} if second else {})}, path=path).done()
        assert (one.cache, two.cache) == ("miss", "exact")
        assert one.headers["x-forebay-id"] != two.headers["x-forebay-id"]
        assert one.text == two.text == TEXT
        assert voice.calls == 1
        assert two.complete
        if second:
            assert two.chunks[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        else:
            assert two.json["usage"]["total_tokens"] == 10
            assert int(two.headers["content-length"]) == len(two.raw)


async def test_a_stream_that_told_no_usage_answers_only_who_wants_none(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice), tmp_path) as app:
        assert (await Client(app, asked(stream=True)).done()).cache == "miss"
        await settled(app)
        again = await Client(app, asked(stream=True)).done()
        assert (again.cache, again.text) == ("exact", TEXT)
        assert again.headers["x-forebay-saved-tokens"] == "3"  # a piece counts as a token
        whole = await Client(app, asked()).done()
        assert (whole.cache, whole.json["usage"]["total_tokens"]) == ("miss", 10)
        await settled(app)
        assert (await Client(app, asked()).done()).cache == "exact"
        assert voice.calls == 2


async def bare_and_fronted(body: Any, folder: Path, voice: Voice, **how: Any) -> tuple[Client, Client]:
    alone = await Client(server(voice), body, **how).done()
    async with fronted(server(voice), folder) as app:
        behind = await Client(app, body, **how).done()
    return alone, behind


@pytest.mark.parametrize("stream", [False, True])
async def test_a_miss_is_the_servers_own_response(stream: bool, tmp_path: Path) -> None:
    voice = Voice()
    voice.more_headers = {"x-own": "1", "set-cookie": "a=b"}
    alone, behind = await bare_and_fronted(asked(stream=stream), tmp_path, voice)
    given = [(name, value) for name, value in behind.messages[0]["headers"] if not name.startswith(b"x-forebay")]
    assert given == alone.messages[0]["headers"]
    assert [message["body"].replace(b"id-2", b"id-1") for message in behind.bodies] == [
        message["body"] for message in alone.bodies
    ]


async def test_what_is_refused_passes_untouched_and_is_not_kept(tmp_path: Path) -> None:
    voice = Voice()
    said = '{"error": {"message": "no"}}'
    async with fronted(server(voice), tmp_path) as app:
        for status in (400, 422, 429, 500, 503):
            voice.refuses.append((status, said))
            one = await Client(app, asked()).done()
            assert (one.status, one.raw.decode(), one.headers["x-why"]) == (status, said, "policy")
            assert await stored(app) == 0
        assert runtime_of(app).pipeline.inflight == 0


async def test_the_servers_own_exception_is_the_hosts(tmp_path: Path) -> None:
    voice = Voice()
    voice.fails.append(KeyError("theirs"))
    async with fronted(server(voice), tmp_path) as app:
        with pytest.raises(KeyError, match="theirs"):
            await Client(app, asked()).done()
        assert await stored(app) == 0
        assert (await Client(app, asked()).done()).cache == "miss"


@pytest.mark.parametrize("how", ["breaks_after", "error_after"])
async def test_a_stream_that_goes_wrong_is_not_kept(how: str, tmp_path: Path) -> None:
    voice = Voice()
    setattr(voice, how, 2)
    async with fronted(server(voice), tmp_path) as app:
        one = Client(app, asked(stream=True))
        await asyncio.wait([one.task])
        assert (one.task.exception() is None) == (how == "error_after")
        assert one.raw.startswith(b"data: ")
        assert await stored(app) == 0
        assert voice.running == 0


async def test_twins_read_one_call_live(tmp_path: Path) -> None:
    voice = Voice(held=True)
    async with fronted(server(voice), tmp_path) as app:
        clients = [Client(app, asked(stream=True)) for _ in range(4)]
        await until(lambda: voice.running == 1)
        voice.go(1)
        await until(lambda: all(client.bodies for client in clients))
        assert not any(client.complete for client in clients)
        voice.go()
        for client in clients:
            await client.done()
        assert voice.calls == 1
        assert len({client.raw for client in clients}) == 1
        assert sorted(str(client.cache) for client in clients) == ["inflight"] * 3 + ["miss"]
        assert await stored(app) == 1


async def test_twins_in_other_forms_wait_for_the_answer(tmp_path: Path) -> None:
    voice = Voice(held=True)
    async with fronted(server(voice), tmp_path) as app:
        whole = Client(app, asked())
        await until(lambda: voice.running == 1)
        others = [Client(app, asked(stream=True)), Client(app, asked(), headers={"accept-encoding": "gzip"})]
        await until(lambda: runtime_of(app).pipeline.inflight == 3)
        voice.go()
        for client in (whole, *others):
            assert (await client.done()).text == TEXT
        assert voice.calls == 1
        assert [client.cache for client in others] == ["inflight", "inflight"]


async def test_a_twin_is_not_sent_what_is_about_the_first(tmp_path: Path) -> None:
    voice = Voice(held=True)
    voice.more_headers = {"set-cookie": "who=first", "x-request-id": "1"}
    async with fronted(server(voice), tmp_path) as app:
        first = Client(app, asked())
        await until(lambda: voice.running == 1)
        second = Client(app, asked())
        await until(lambda: runtime_of(app).pipeline.inflight == 2)
        voice.go()
        assert (await first.done()).headers["set-cookie"] == "who=first"
        assert not {"set-cookie", "x-request-id"} & (await second.done()).headers.keys()
        assert second.raw == first.raw


async def test_a_refusal_is_no_twins_answer(tmp_path: Path) -> None:
    voice = Voice()
    voice.refuses.append((503, "{}"))
    async with fronted(server(voice), tmp_path) as app:
        clients = [Client(app, asked()) for _ in range(3)]
        for client in clients:
            await client.done()
        assert sorted(client.status for client in clients) == [200, 200, 503]
        assert voice.calls == 3


async def test_bypass_is_asked_for_by_header(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice), tmp_path) as app:
        for _ in range(2):
            client = await Client(app, asked(), headers={"x-forebay-bypass": "1"}).done()
            assert (client.cache, client.text) == ("bypass", TEXT)
        assert await stored(app) == 0
        assert (voice.calls, voice.probes) == (2, 0)
        for _ in range(2):
            await Client(app, asked(), headers={"cache-control": "no-store"}).done()
        assert await stored(app) == 0


async def test_what_would_refuse_is_told_in_the_endpoints_words(tmp_path: Path) -> None:
    voice = Voice(held=True)
    limits: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with fronted(server(voice), tmp_path, **limits) as app:
        first = Client(app, asked("one"))
        await until(lambda: voice.running == 1)
        for stream in (False, True):
            shed = await Client(app, asked("another", stream=stream)).done()
            assert (shed.status, shed.cache) == (429, "shed")
            assert int(shed.headers["retry-after"]) >= 1
            assert shed.json["error"]["type"] == "rate_limit_error"
            assert shed.json["error"]["code"] == "queue_full"
        anthropic = await Client(app, asked("another", max_tokens=5), path="/v1/messages").done()
        assert (anthropic.status, anthropic.json["type"]) == (429, "error")
        voice.go()
        assert (await first.done()).status == 200
        assert runtime_of(app).pipeline.gate.load.inflight == 0


async def test_what_waits_too_long_is_refused(tmp_path: Path) -> None:
    voice = Voice(held=True)
    limits: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"queue_timeout_s": 0.05}}
    async with fronted(server(voice), tmp_path, **limits) as app:
        first = Client(app, asked("one"))
        await until(lambda: voice.running == 1)
        shed = await Client(app, asked("another")).done()
        assert (shed.status in (429, 503), shed.cache) == (True, "shed")
        voice.go()
        await first.done()


@pytest.mark.parametrize(
    ("path", "method", "body", "headers"),
    [
        ("/echo", "POST", b"anything", {}),
        (CHAT, "GET", b"", {}),
        (CHAT, "POST", b"not json", {}),
        (CHAT, "POST", b"[1]", {}),
        (CHAT, "POST", b'{"messages": 3}', {}),
        (CHAT, "POST", b"\x1f\x8b", {"content-encoding": "gzip"}),
        (CHAT, "POST", b"--x", {"content-type": "multipart/form-data; boundary=x"}),
        (CHAT, "POST", b'{"messages": [{"role": "user", "content": "' + b"x" * 300 + b'"}]}', {}),
    ],
)
async def test_what_is_not_ours_passes_with_its_body(
    path: str, method: str, body: bytes, headers: dict[str, str], tmp_path: Path
) -> None:
    seen: list[tuple[Any, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise AssertionError("no such thing")
        whole = b""
        more = True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            whole += message["body"]
            more = message["more_body"]
        seen.append((scope["path"], whole))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"mine"})

    async with fronted(app, tmp_path, front={"body_limit_bytes": 200}) as wrapped:
        for cut in ((), (1, 5, 7)):
            client = await Client(wrapped, body, path=path, method=method, headers=headers, cut=cut).done()
            assert (client.raw, client.cache) == (b"mine", None)
        told = {**headers, "content-length": str(len(body))}
        await Client(wrapped, body, path=path, method=method, headers=told).done()
    assert seen == [(path, body)] * 3


def test_however_a_body_is_cut_the_server_gets_it(tmp_path: Path) -> None:
    voice = Voice()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        app = runner.run(stack.enter_async_context(fronted(server(voice), tmp_path)))

        @given(cuts=st.lists(st.integers(0, 300), max_size=6), stream=st.booleans())
        @settings(max_examples=50, deadline=None)
        def check(cuts: list[int], stream: bool) -> None:
            body = asked(f"What is forebay {voice.calls}, and who says so? Ä", stream=stream)
            assert runner.run(Client.asks(app, body, cut=cuts)).text == TEXT
            assert voice.bodies[-1] == body

        check()
        runner.run(stack.aclose())


def test_however_a_stream_is_cut_its_bytes_pass_and_its_text_is_kept(tmp_path: Path) -> None:
    said: list[bytes] = []
    numbers = itertools.count()

    async def speaks(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        if scope["method"] == "POST":
            kind = (b"content-type", b"text/event-stream")
            await send({"type": "http.response.start", "status": 200, "headers": [kind]})
            for piece in said:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        app = runner.run(stack.enter_async_context(fronted(speaks, tmp_path)))

        @given(
            cuts=st.lists(st.integers(0, 400), max_size=12),
            empty=st.booleans(),
            words=st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=5),
        )
        @settings(max_examples=100, deadline=None)
        def check(cuts: list[int], empty: bool, words: list[str]) -> None:
            body = asked(f"What is forebay {next(numbers)}?", stream=True)
            pieces: list[dict[str, Any]] = [{"index": 0, "delta": {"content": word}} for word in words]
            pieces.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            lines = [json.dumps({"id": "x", "choices": [one]}, ensure_ascii=False) for one in pieces]
            raw = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
            ends = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
            said[:] = [raw[a:b] for a, b in itertools.pairwise(ends) if empty or a < b]
            one = runner.run(Client.asks(app, body))
            assert [message["body"] for message in one.bodies] == [*said, b""]
            runner.run(settled(app))
            two = runner.run(Client.asks(app, body))
            if "".join(words).strip():
                assert (two.cache, two.text) == ("exact", "".join(words))
            else:
                assert two.cache == "miss"  # blank answers are not kept

        check()
        runner.run(stack.aclose())
