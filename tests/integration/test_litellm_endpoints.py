"""Each endpoint, streamed and whole: a miss, and hits of both kinds from either."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import question

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

PATHS: Final = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}


def body_of(endpoint: str, text: str) -> dict[str, Any]:
    match endpoint:
        case "completions":
            return {"prompt": text}
        case "responses":
            return {"input": text}
        case _:
            return {"max_tokens": 99, **question(text)}


THINGS = iter(
    "the bicycle|opera|sourdough bread|chess clocks|the violin|elevators|telescopes|lighthouses|the zipper|umbrellas|"
    "paper money|the piano|barbed wire|ice skates|the sewing machine|matches".split("|")
)
"""What no two questions are similar about."""


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    settings = {
        "store": {"type": "memory"},
        "cache": {"semantic": "serve", "lookup_deadline_ms": 5000},
        "embedder": {"type": "minilm"},
        "acceptance": {"type": "threshold"},
    }
    with Proxy(tmp_path_factory.mktemp("endpoints"), Plan(upstream.url, forebay=settings)) as process:
        yield process


async def send(proxy: Proxy, endpoint: str, text: str, model: str = "tiny", **more: Any) -> httpx.Response:
    async with proxy.http() as client:
        response = await client.post(PATHS[endpoint], json={"model": model, **body_of(endpoint, text), **more})
    assert response.status_code == 200, response.text
    return response


def said(endpoint: str, response: httpx.Response) -> tuple[str, str]:
    """Return the id and the text of an answer, whole or streamed."""
    if not response.headers["content-type"].startswith("text/event-stream"):
        body = response.json()
        match endpoint:
            case "chat":
                return body["id"], body["choices"][0]["message"]["content"]
            case "completions":
                return body["id"], body["choices"][0]["text"]
            case "responses":
                return body["id"], body["output"][0]["content"][0]["text"]
            case _:
                return body["id"], body["content"][0]["text"]
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ") and line != "data: [DONE]"]
    pieces = [json.loads(line) for line in lines]
    match endpoint:
        case "chat":
            return pieces[0]["id"], "".join(
                p["choices"][0]["delta"].get("content") or "" for p in pieces if p["choices"]
            )
        case "completions":
            return pieces[0]["id"], "".join(p["choices"][0].get("text") or "" for p in pieces if p["choices"])
        case "responses":
            deltas = [p["delta"] for p in pieces if p["type"] == "response.output_text.delta"]
            return pieces[-1]["response"]["id"], "".join(deltas)
        case _:
            deltas = [p["delta"].get("text", "") for p in pieces if p["type"] == "content_block_delta"]
            return pieces[0]["message"]["id"], "".join(deltas)


def is_whole(response: httpx.Response) -> bool:
    return response.headers["content-type"].startswith("application/json")


def usage(body: dict[str, Any]) -> tuple[int, int]:
    """Return prompt and completion tokens: neither may be unknown."""
    counts = body["usage"]
    found = (
        counts.get("prompt_tokens", counts.get("input_tokens")),
        counts.get("completion_tokens", counts.get("output_tokens")),
    )
    assert min(found) > 0, counts
    return found


@pytest.mark.parametrize("model", ["tiny", "claude"])
@pytest.mark.parametrize("first", [False, True], ids=["whole_first", "stream_first"])
@pytest.mark.parametrize("endpoint", PATHS)
async def test_a_kept_answer_is_handed_out_whole_and_streamed(
    proxy: Proxy, upstream: Upstream, endpoint: str, first: bool, model: str
) -> None:
    if model == "claude" and endpoint != "messages":
        model = "other"
    text = f"Who invented {next(THINGS)}?"
    calls = len(upstream.calls)
    made = await send(proxy, endpoint, text, model, stream=first)
    await proxy.settled()
    again = [await send(proxy, endpoint, text, model, stream=stream) for stream in (False, True)]
    await proxy.settled()
    assert made.headers["x-forebay-cache"] == "miss"
    assert [answer.headers["x-forebay-cache"] for answer in again] == ["exact", "exact"]
    assert len(upstream.calls) == calls + 1
    answers = [said(endpoint, answer) for answer in (made, *again)]
    assert len({text for _, text in answers}) == 1, answers
    assert len({usage(answer.json()) for answer in (made, *again) if is_whole(answer)}) == 1
    if endpoint != "responses":  # LiteLLM encrypts these ids anew each time
        assert len({name for name, _ in answers}) == 1, answers
    for answer in again:
        logged = await proxy.logged(answer.headers)
        assert (logged["cache_hit"], logged["cost"]) == (True, 0.0), logged


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("endpoint", "expected"), [("responses", "semantic"), ("messages", "semantic"), ("completions", "miss")]
)
async def test_the_same_question_in_other_words(proxy: Proxy, endpoint: str, expected: str, stream: bool) -> None:
    country = "Norway" if stream else "Portugal"
    first = await send(proxy, endpoint, f"What is the capital of {country}?", stream=stream)
    await proxy.settled()
    second = await send(proxy, endpoint, f"what's the capital city of {country}?", stream=stream)
    await proxy.settled()
    assert [answer.headers["x-forebay-cache"] for answer in (first, second)] == ["miss", expected]
    assert (said(endpoint, first)[1] == said(endpoint, second)[1]) is (expected == "semantic")


async def test_embedding_items_are_looked_up_one_by_one(proxy: Proxy, upstream: Upstream) -> None:
    async def embed(*items: Any, **more: Any) -> httpx.Response:
        async with proxy.http() as client:
            response = await client.post("/v1/embeddings", json={"model": "tiny", "input": list(items), **more})
        assert response.status_code == 200, response.text
        await proxy.settled()
        return response

    first = await embed("a", "b")
    calls = len(upstream.calls)
    whole = await embed("b", "a")
    assert len(upstream.calls) == calls
    part = await embed("c", "a", "d", "b", "c")
    assert upstream.calls[-1].body["input"] == ["c", "d", "c"]
    again = await embed("d", "c")
    other = await embed("a", encoding_format="base64")
    assert len(upstream.calls) == calls + 2
    assert [one.headers["x-forebay-cache"] for one in (first, whole, part, again, other)] == [
        "miss",
        "exact",
        "miss",
        "exact",
        "miss",
    ]
    assert part.headers["x-forebay-cache-items"] == "2/5"
    rows = {
        item: row["embedding"]
        for asked, answer in (("ab", first), ("cadbc", part))
        for item, row in zip(asked, answer.json()["data"], strict=True)
    }
    assert [row["embedding"] for row in whole.json()["data"]] == [rows["b"], rows["a"]]
    assert [row["embedding"] for row in again.json()["data"]] == [rows["d"], rows["c"]]
    assert [row["index"] for row in part.json()["data"]] == [0, 1, 2, 3, 4]
    assert len({str(row) for row in rows.values()}) == 4
    assert whole.json()["usage"] == first.json()["usage"]
