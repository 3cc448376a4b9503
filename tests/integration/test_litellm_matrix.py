"""Every way a chat request may be answered, on a real proxy with MiniLM and Milvus Lite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import Seen, ask, events, question
from tests.integration.upstream import FINGERPRINT, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
SCHEMA: Final = {
    "type": "json_schema",
    "json_schema": {
        "name": "reply",
        "schema": {"type": "object", "properties": {"answer": {"type": "string"}, "sure": {"type": "boolean"}}},
    },
}
EARLIER: Final = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "I like geography."},
    {"role": "assistant", "content": "Ask me anything about it."},
]
KINDS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "tools": {"tools": [WEATHER], "tool_choice": "auto"},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "json_schema": {"response_format": SCHEMA},
    "multi_turn": {},
}
COUNTRIES: Final = {
    ("plain", False): "Norway",
    ("plain", True): "Sweden",
    ("tools", False): "Denmark",
    ("tools", True): "Finland",
    ("logprobs", False): "Iceland",
    ("logprobs", True): "Portugal",
    ("json_schema", False): "Spain",
    ("json_schema", True): "Greece",
    ("multi_turn", False): "Poland",
    ("multi_turn", True): "Hungary",
}


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    settings = {
        "cache": {"semantic": "serve", "lookup_deadline_ms": 5000},
        "embedder": {"type": "minilm"},
        "store": {"type": "milvus"},
        "acceptance": {"type": "verified", "trust": "calibrated", "confidence": 0.7},
        "audits": {"enabled": False},  # they compute a share of the hits instead of serving them
        "limit": {"type": "fixed", "max_inflight": 8},
    }
    plan = Plan(upstream.url, forebay=settings)
    with Proxy(tmp_path_factory.mktemp("matrix"), plan) as process:
        yield process


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
async def test_miss_exact_and_semantic(proxy: Proxy, upstream: Upstream, kind: str, stream: bool) -> None:
    country = COUNTRIES[kind, stream]
    asked, similar = f"What is the capital of {country}?", f"what's the capital city of {country}?"
    body = {**question(asked), **KINDS[kind]}
    if kind == "multi_turn":
        body["messages"] = [*EARLIER, *body["messages"]]
    paraphrase = {**body, "messages": [*body["messages"][:-1], {"role": "user", "content": similar}]}

    async with proxy.client() as client:
        miss = await ask(client, {**body, "stream": stream})
        await proxy.settled()
        exact = await ask(client, {**body, "stream": stream})
        other = await ask(client, {**body, "stream": not stream})
        semantic = await ask(client, {**paraphrase, "stream": stream})

    assert [seen.status for seen in (miss, exact, other, semantic)] == ["miss", "exact", "exact", "semantic"]
    assert (len(upstream.of(asked)), len(upstream.of(similar))) == (1, 0)
    check_answer(miss, kind)
    assert exact == miss
    assert other == miss
    assert semantic == miss
    if not stream:  # LiteLLM gives every stream a time of its own, with and without forebay
        assert exact.created == semantic.created == miss.created

    await check_log(proxy, miss, hit=False)
    for seen in (exact, other, semantic):
        await check_log(proxy, seen, hit=True)
    assert len({seen.headers["x-forebay-id"] for seen in (miss, exact, other, semantic)}) == 4


def check_answer(seen: Seen, kind: str) -> None:
    assert seen.id.startswith("chatcmpl-")
    assert seen.model == "tiny"
    assert seen.system_fingerprint == FINGERPRINT
    assert seen.usage is not None
    assert seen.usage[0] == 11
    assert seen.usage[2] == seen.usage[0] + seen.usage[1]
    if kind == "tools":
        assert seen.finish_reason == "tool_calls"
        assert seen.content is None
        (call,) = seen.tool_calls
        assert call["id"].startswith("call_")
        assert (call["type"], call["name"]) == ("function", "get_weather")
        assert call["arguments"] == '{"city": "Oslo", "days": 3}'
    else:
        assert seen.finish_reason == "stop"
        assert seen.content
        assert seen.tool_calls == []
    assert bool(seen.tokens) is (kind == "logprobs")
    if kind == "logprobs":
        assert "".join(token for token, _ in seen.tokens) == seen.content
        assert {logprob for _, logprob in seen.tokens} == {-0.25}
    assert (seen.content or "").startswith("{") is (kind == "json_schema")


async def check_log(proxy: Proxy, seen: Seen, *, hit: bool) -> None:
    logged = await proxy.logged(seen.headers)
    assert logged["status"] == "success"
    assert ("x-litellm-cache-key" in seen.headers) is hit
    if hit:
        assert (logged["cache_hit"], logged["cost"]) == (True, 0.0)
        assert logged["saved"] > 0
        assert (logged["spend_cache_hit"], logged["spend"]) == ("True", 0.0)
    else:
        assert logged["cache_hit"] in (None, False)
        assert logged["spend_cache_hit"] in ("None", "False")
        assert logged["cost"] == logged["spend"] > 0


@pytest.mark.parametrize("made_by_stream", [False, True])
async def test_server_sent_events_of_a_hit(proxy: Proxy, upstream: Upstream, made_by_stream: bool) -> None:
    body = question(f"List three rivers, please, {made_by_stream}", stream_options={"include_usage": True})
    async with proxy.http() as client:
        if made_by_stream:
            live = await client.post("/v1/chat/completions", json={"model": "tiny", "stream": True, **body})
            assert live.headers["content-type"].startswith("text/event-stream")
            assert events(live.text)[-1]["usage"]["prompt_tokens"] == 11
        else:
            await client.post("/v1/chat/completions", json={"model": "tiny", "messages": body["messages"]})
        await proxy.settled()
        kept = await client.post("/v1/chat/completions", json={"model": "tiny", "stream": True, **body})
    assert kept.headers["x-forebay-cache"] == "exact"
    assert kept.headers["content-type"].startswith("text/event-stream")
    chunks = events(kept.text)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    ends = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice.get("finish_reason")]
    assert ends == ["stop"]
    assert chunks[-1]["usage"]["prompt_tokens"] == 11
    assert len(upstream.of(body["messages"][0]["content"])) == 1


async def test_two_hits_in_a_row_are_the_same(proxy: Proxy, upstream: Upstream) -> None:
    """LiteLLM writes into the objects it gets from a cache; the kept answer must not change by that."""
    body = question("Which planet has rings?", tools=[WEATHER])
    async with proxy.http() as client:
        answers: list[dict[str, Any]] = []
        for _ in range(4):
            response = await client.post("/v1/chat/completions", json={"model": "tiny", **body})
            answers.append(response.json())
            await proxy.settled()
    assert answers[1] == answers[2] == answers[3]
    assert len(upstream.of("Which planet has rings?")) == 1


async def test_parameters_of_the_deployment_are_no_edit(proxy: Proxy, upstream: Upstream) -> None:
    async with proxy.client() as client:
        first = await ask(client, question("Name a prime number.", model="warm"))
        await proxy.settled()
        again = await ask(client, question("Name a prime number.", model="warm"))
        own = await ask(client, question("Name a prime number.", model="warm", temperature=0.1))
    assert [first.status, again.status, own.status] == ["miss", "exact", "miss"]
    assert [call.body["temperature"] for call in upstream.of("Name a prime number.")] == [0.4, 0.1]


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.3},
        {"seed": 7},
        {"max_tokens": 9},
        {"tools": [WEATHER]},
        {"n": 2},
        {"unknown_parameter": 1},
        {"cache": {"namespace": "other"}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_another_parameter_is_another_answer(proxy: Proxy, change: dict[str, Any]) -> None:
    body = question(f"Name a mountain for {sorted(change)}.")
    async with proxy.http() as client:
        first = await client.post("/v1/chat/completions", json={"model": "tiny", **body})
        await proxy.settled()
        changed = await client.post("/v1/chat/completions", json={"model": "tiny", **body, **change})
        again = await client.post("/v1/chat/completions", json={"model": "tiny", **body})
    statuses = [response.headers["x-forebay-cache"] for response in (first, changed, again)]
    assert statuses == ["miss", "miss", "exact"]


async def test_controls_of_the_client(proxy: Proxy, upstream: Upstream) -> None:
    text = "Name a lake."
    async with proxy.client() as client:
        bypassed = await ask(client, question(text), headers={"x-forebay-bypass": "1"})
        unkept = await ask(client, question(text, extra_body={"cache": {"no-store": True}}))
        await proxy.settled()
        first = await ask(client, question(text))
        await proxy.settled()
        uncached = await ask(client, question(text, extra_body={"cache": {"no-cache": True}}))
        await proxy.settled()
        aged = await ask(client, question(text, extra_body={"cache": {"s-maxage": 1000}}))
        too_old = await ask(client, question(text, extra_body={"cache": {"s-maxage": 0}}))
        await proxy.settled()
        around = await ask(client, question(text), headers={"x-forebay-bypass": "1"})
        kept = await ask(client, question(text))
    assert [bypassed.status, unkept.status, first.status] == ["bypass", "miss", "miss"]
    assert [uncached.status, aged.status, too_old.status] == ["miss", "exact", "miss"]
    assert [around.status, kept.status] == ["bypass", "exact"]
    assert len(upstream.of(text)) == 6
    assert kept.id == too_old.id, "the newest answer is the one that is kept"


async def test_edited_after_the_lookup(proxy: Proxy, upstream: Upstream) -> None:
    """A guardrail after forebay edits the request: the hit is withdrawn and the answer is not kept."""
    text, edited = "My number is 555-0100, is it odd?", "My number is [removed], is it odd?"
    async with proxy.client() as client:
        first = await ask(client, question(text))
        await proxy.settled()
        changed = await ask(client, question(text), headers={"x-test-edit": edited})
        streamed = await ask(client, question(text, stream=True), headers={"x-test-edit": edited})
        await proxy.settled()
        again = await ask(client, question(text))
    assert [first.status, changed.status, streamed.status, again.status] == ["miss", "miss", "miss", "exact"]
    assert again == first
    assert (len(upstream.of(text)), len(upstream.of(edited))) == (1, 2)


@pytest.mark.parametrize(
    ("reply", "stream"),
    [
        (Reply(finish_reason="length"), False),
        (Reply(finish_reason="length"), True),
        (Reply(finish_reason="content_filter"), False),
        (Reply(finish_reason="content_filter"), True),
        (Reply(text=""), False),
        (Reply(text=""), True),
        (Reply(finish_reason=None), False),
        (Reply(finish_reason=None), True),
    ],
)
async def test_incomplete_answers_are_not_kept(proxy: Proxy, upstream: Upstream, reply: Reply, stream: bool) -> None:
    text = f"Say something {reply.finish_reason} {reply.text} {stream}."
    upstream.on(text, reply)
    async with proxy.client() as client:
        statuses: list[str] = []
        for _ in range(2):
            statuses.append((await ask(client, question(text, stream=stream))).status)
            await proxy.settled()
    assert statuses == ["miss", "miss"]
    assert len(upstream.of(text)) == 2


async def test_other_endpoints_pass_through(proxy: Proxy) -> None:
    before = await proxy.settled()
    async with proxy.http() as client:
        response = await client.post("/v1/moderations", json={"model": "tiny", "input": "hello"})
    assert response.status_code >= 400, "the engine has no such endpoint"
    assert not [name for name in response.headers if name.startswith("x-forebay")]
    assert (await proxy.settled())["counts"] == before["counts"]
