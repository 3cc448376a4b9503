"""Faults and bad input: a clear error where the operator can act, and never a 5xx LiteLLM would not give."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from forebay.adapters.milvus.store import MilvusStore
from forebay.middleware.keys import Keyring
from tests.integration.proxy import Plan, Proxy, free_port
from tests.integration.reading import Seen, ask, question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

SERVING: Final = {
    "cache": {"semantic": "serve", "lookup_deadline_ms": 5000},
    "acceptance": {"type": "threshold"},
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode: serve\ncache:\n  exact: [serve\n", ["forebay.yaml", "line 4"]),
        ("store: {type: milvsu}\n", ["store", "milvsu", "milvus"]),
        ("embedder: {type: minilm, modle: large}\n", ["embedder", "modle"]),
    ],
    ids=["malformed", "unknown_component", "unknown_setting"],
)
async def test_wrong_config_keeps_the_proxy_from_starting(
    upstream: Upstream, tmp_path: Path, text: str, said: list[str]
) -> None:
    proxy = Proxy(tmp_path, Plan(upstream.url, raw=text))
    try:
        assert await asyncio.to_thread(proxy.spawn().wait, 180) != 0
    finally:
        proxy.kill()
    error = [line for line in proxy.log.splitlines() if "Error: " in line]
    assert any(all(word in line for word in said) for line in error), proxy.log[-3000:]


async def test_milvus_cannot_be_reached(upstream: Upstream, tmp_path: Path) -> None:
    text = "Is anybody there?"
    store = {"type": "milvus", "uri": f"http://127.0.0.1:{free_port()}"}
    with Proxy(tmp_path, Plan(upstream.url, forebay={**SERVING, "store": store})) as proxy:
        async with proxy.client() as client:
            seen: list[Seen] = []
            state: dict[str, Any] = {}
            for at in range(8):
                seen.append(await ask(client, question(text, stream=at % 2 == 0)))
                state = await proxy.settled()
        assert {one.status for one in seen} == {"miss"}
        assert len(upstream.of(text)) == 8
        assert state["problems"]
        assert any(name.startswith("forebay.dependency.errors|dependency=store") for name in state["counts"])
        assert proxy.log.count("starting without it") == 1
        assert proxy.log.count("Traceback") == 0


async def test_another_process_has_the_milvus_lite_file(upstream: Upstream, tmp_path: Path) -> None:
    keyring = Keyring.from_secret("the secret of another process")
    path = tmp_path / "shared.db"
    holder = MilvusStore(path, keyring, dimension=384)
    await holder.start()
    try:
        plan = Plan(upstream.url, forebay={**SERVING, "store": {"type": "milvus", "uri": str(path)}})
        proxy = Proxy(tmp_path / "proxy", plan)
        await asyncio.to_thread(proxy.__enter__)
        try:
            async with proxy.client() as client:
                first = await ask(client, question("Who has the file?"))
                await proxy.settled()
                again = await ask(client, question("Who has the file?", stream=True))
        finally:
            proxy.kill()
    finally:
        await holder.stop()
    assert [first.status, again.status] == ["miss", "exact"]
    assert proxy.log.count("keeps its answers in memory only") == 1


async def test_collection_of_another_dimension(upstream: Upstream, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    store = MilvusStore(path, Keyring.from_secret("the secret of another time"), dimension=8)
    await store.start()
    await store.stop()
    plan = Plan(upstream.url, forebay={**SERVING, "store": {"type": "milvus", "uri": str(path)}})
    proxy = Proxy(tmp_path / "proxy", plan)
    await asyncio.to_thread(proxy.__enter__)
    try:
        async with proxy.client() as client:
            seen: list[Seen] = []
            state: dict[str, Any] = {}
            for _ in range(2):
                seen.append(await ask(client, question("How long is a vector?")))
                state = await proxy.settled()
    finally:
        proxy.kill()
    assert [one.status for one in seen] == ["miss", "miss"]
    (problem,) = state["problems"]
    assert "384" in problem
    assert "8" in problem


@pytest.fixture(scope="module")
def ours(fixed: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    plan = Plan(fixed.url, forebay={**SERVING, "store": {"type": "milvus"}})
    with Proxy(tmp_path_factory.mktemp("ours"), plan) as process:
        yield process


def body(messages: Any = None, **more: Any) -> bytes:
    asked = [{"role": "user", "content": "hello"}] if messages is None else messages
    return json.dumps({"model": "tiny", "messages": asked, **more}).encode()


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


IMAGE: Final = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
BAD: Final[dict[str, bytes]] = {
    "oversized": body(user("big " * 500_000)),
    "empty": body(user("")),
    "blank": body(user("  \n ")),
    "no_messages": body([]),
    "messages_text": body("hello"),
    "messages_object": body({"role": "user"}),
    "messages_of_numbers": body([1, None]),
    "messages_missing": b'{"model": "tiny"}',
    "role_missing": body([{"content": "hello"}]),
    "role_number": body([{"role": 7, "content": "hello"}]),
    "content_number": body(user(7)),
    "content_object": body(user({"type": "text"})),
    "content_null": body(user(None)),
    "content_numbers": body(user([1, 2])),
    "image": body(user([{"type": "text", "text": "What is this?"}, IMAGE])),
    "image_only": body(user([IMAGE])),
    "part_without_type": body(user([{"text": "hello"}])),
    "text_part_number": body(user([{"type": "text", "text": 5}])),
    "no_model": b'{"messages": [{"role": "user", "content": "hello"}]}',
    "unknown_model": body(model="nowhere"),
    "model_number": body(model=7),
    "invalid_utf8": b'{"model": "tiny", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "lone_surrogate": rb'{"model": "tiny", "messages": [{"role": "user", "content": "a \ud800 b"}]}',
    "lone_surrogate_in_tools": rb'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "stop": "\udfff"}',
    "nul": body(user("a\x00b")),
    "nan_temperature": b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "temperature": NaN}',
    "infinite_temperature": b'{"model": "tiny", "messages": [{"role": "user", "content": "a"}], "temperature": 1e999}',
    "text_temperature": body(temperature="hot"),
    "n_text": body(n="two"),
    "tools_text": body(tools="all"),
    "stream_text": body(stream="yes"),
    "metadata_text": body(metadata="yes"),
    "metadata_list": body(metadata=[1]),
    "forged_flight": body(metadata={"forebay_id": "fb-0"}),
    "cache_text": body(cache="yes"),
    "cache_null": b'{"model": "tiny", "messages": [{"role": "user", "content": "f"}], "cache": null}',
    "cache_list": body(cache=[1]),
    "cache_of_texts": body(user("g"), cache={"no-cache": "yes", "s-maxage": "x", "ttl": "y", "namespace": {"a": 1}}),
    "caching_text": body(user("h"), caching="yes"),
    "cache_ttl_nan": b'{"model": "tiny", "messages": [{"role": "user", "content": "b"}], "cache": {"ttl": NaN}}',
    "cache_ttl_negative": body(user("c"), cache={"ttl": -5}),
    "deep": body(user("d"), tools=json.loads("[" * 200 + "]" * 200)),
    "very_deep": b'{"model": "tiny", "messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "not_json": b"{model: tiny",
    "no_body": b"",
    "a_list": b"[1, 2]",
    "duplicate_keys": b'{"model": "tiny", "model": "tiny", "messages": [{"role": "user", "content": "e"}]}',
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_answered_as_by_litellm_alone(alone: Proxy, ours: Proxy, name: str) -> None:
    statuses: list[int] = []
    state: dict[str, Any] = {}
    for proxy in (alone, ours, ours):
        async with proxy.http() as client:
            response = await client.post(
                "/v1/chat/completions", content=BAD[name], headers={"content-type": "application/json"}
            )
            statuses.append(response.status_code)
        if proxy is ours:
            state = await ours.settled()
    assert statuses[1:] == [statuses[0]] * 2
    assert not [count for count in state["counts"] if "dependency=litellm" in count], "no hook of ours failed"


@pytest.mark.parametrize("cache", [None, "yes", [1]])
async def test_other_endpoints_with_bad_cache_controls(alone: Proxy, ours: Proxy, cache: Any) -> None:
    """LiteLLM reads them only where a cache is set, and ours is."""
    statuses: list[int] = []
    for proxy in (alone, ours):
        async with proxy.http() as client:
            response = await client.post("/v1/embeddings", json={"model": "tiny", "input": "a", "cache": cache})
            statuses.append(response.status_code)
    assert statuses == [200, 200]


async def test_bad_headers(ours: Proxy) -> None:
    for headers in (
        {"traceparent": "00-nonsense"},
        {"traceparent": "ff-" + "0" * 32 + "-" + "0" * 16 + "-01"},
        {"x-forebay-bypass": "perhaps"},
        {"x-forebay-id": "fb-0"},
    ):
        async with ours.client() as client:
            await ask(client, question("Which header is bad?"), headers=headers)
        await ours.settled()


async def test_damaged_entries(ours: Proxy, fixed: Upstream) -> None:
    async with ours.client() as client:
        first = await ask(client, question("Which entry is damaged?"))
        await ours.settled()
        assert await ours.ask("damage") > 0
        logged = len(ours.log)
        exact = await ask(client, question("Which entry is damaged?"))
        similar = await ask(client, question("Which entry is damaged, please?"))
        await ours.settled()
        again = await ask(client, question("Which entry is damaged?"))
    assert [first.status, exact.status, again.status] == ["miss", "miss", "exact"]
    assert similar.status in ("miss", "semantic")
    assert len(fixed.of("Which entry is damaged?")) == 2
    assert "Traceback" not in ours.log[logged:]
