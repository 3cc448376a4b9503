from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from forebay.adapters.embedders.openai_http import OpenAIHTTPEmbedder
from forebay.adapters.embedders.remote import Remote
from forebay.middleware.errors import ConfigError, EmbedderError
from tests.adapters.embedders.embedding_server import DIMENSION, EmbeddingServer, embedding_server
from tests.contract.embedder import EmbedderContract, norm


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as state:
        yield state


def made(server: EmbeddingServer, *, api_key: str = "", **settings: Any) -> OpenAIHTTPEmbedder:
    given: dict[str, Any] = {"model": "test-embed", "dimension": DIMENSION, "memo": 0, **settings}
    remote = Remote(**given)
    return OpenAIHTTPEmbedder(remote, base_url=server.url, api_key=api_key)


@pytest_asyncio.fixture
async def started(server: EmbeddingServer) -> AsyncIterator[OpenAIHTTPEmbedder]:
    embedder = made(server, api_key="sk-1", memo=100)
    await embedder.start()
    server.bodies.clear()
    yield embedder
    await embedder.stop()


class TestOpenAIHTTPEmbedder(EmbedderContract):
    @pytest_asyncio.fixture
    async def embedder(self, server: EmbeddingServer) -> AsyncIterator[OpenAIHTTPEmbedder]:
        embedder = made(server)
        await embedder.start()
        yield embedder
        await embedder.stop()


async def test_what_is_sent(server: EmbeddingServer, started: OpenAIHTTPEmbedder) -> None:
    await started.embed(["one", "two"])
    assert server.bodies == [{"model": "test-embed", "encoding_format": "float", "input": ["one", "two"]}]
    assert server.headers[-1]["authorization"] == "Bearer sk-1"
    assert server.headers[-1]["x-forebay-bypass"] == "1"
    await started.embed(["two", "one"])
    assert len(server.bodies) == 1


async def test_without_a_key_none_is_sent(server: EmbeddingServer) -> None:
    embedder = made(server)
    await embedder.start()
    await embedder.stop()
    assert "authorization" not in server.headers[-1]


async def test_texts_that_come_while_all_calls_are_out_go_together(
    server: EmbeddingServer, started: OpenAIHTTPEmbedder
) -> None:
    server.hold.clear()
    first = [asyncio.create_task(started.embed([f"first {index}"])) for index in range(4)]
    for _ in range(4):
        await asyncio.sleep(0)
    later = [asyncio.create_task(started.embed([f"later {index}"])) for index in range(10)]
    for _ in range(4):
        await asyncio.sleep(0)
    server.hold.set()
    await asyncio.gather(*first, *later)
    assert sum(map(len, server.asked)) == 14
    assert len(server.asked) <= 8


async def test_prefix_length_and_dimension_are_kept_to(server: EmbeddingServer) -> None:
    embedder = made(server, model="text-embedding-3-small", prefix="query: ", max_chars=4, dimension=32)
    await embedder.start()
    (vector,) = await embedder.embed(["abcdefgh"])
    await embedder.stop()
    assert server.bodies[-1]["input"] == ["query: abcd"]
    assert server.bodies[-1]["dimensions"] == 32
    assert len(vector) == 32
    assert norm(vector) == pytest.approx(1.0)


async def test_one_text_that_is_refused_fails_nobody_else(server: EmbeddingServer, started: OpenAIHTTPEmbedder) -> None:
    server.refuses = {"bad"}
    texts = [f"good {index}" for index in range(7)]
    answers = await asyncio.gather(*(started.embed([text]) for text in (*texts, "bad")), return_exceptions=True)
    assert [isinstance(answer, EmbedderError) for answer in answers] == [False] * 7 + [True]
    assert list(await started.embed(texts)) == [answer[0] for answer in answers[:7] if isinstance(answer, list)]
    (health,) = await started.check_ready()
    assert health.ok


async def test_where_all_is_refused_few_calls_are_made(server: EmbeddingServer, started: OpenAIHTTPEmbedder) -> None:
    server.status = 400
    with pytest.raises(EmbedderError, match="status 400") as caught:
        await started.embed([f"text {index}" for index in range(32)])
    assert "text 1" not in str(caught.value)
    assert len(server.bodies) < 12
    (health,) = await started.check_ready()
    assert (health.ok, health.required) == (False, False)
    assert "status 400" in health.detail


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "check embedder.api_key"), (404, "check embedder.base_url"), (429, "status 429"), (500, "status 500")],
)
async def test_a_failure_is_said_and_asked_once(
    server: EmbeddingServer, started: OpenAIHTTPEmbedder, status: int, said: str
) -> None:
    server.status = status
    with pytest.raises(EmbedderError, match=said) as caught:
        await started.embed(["a text that must not be shown", "another"])
    assert "shown" not in str(caught.value)
    assert len(server.bodies) == 1
    server.status = 200
    assert len(await started.embed(["again"])) == 1


Change = Callable[[dict[str, Any]], Any]


def rows(change: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """Change the rows of an answer."""
    return lambda body: {**body, "data": change(body["data"])}


def each(**fields: Any) -> Change:
    """Set fields of every row of an answer."""
    return rows(lambda found: [{**row, **fields} for row in found])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rows(lambda found: found[1:]), "1 vectors for 2 texts"),
        (rows(lambda _: []), "0 vectors for 2 texts"),
        (rows(lambda _: "x"), "0 vectors for 2 texts"),
        (each(index=0), "1 vectors for 2 texts"),
        (each(index=7), "0 vectors for 2 texts"),
        (each(embedding="AAAA"), "0 vectors for 2 texts"),
        (each(embedding=[1.0]), "set embedder.dimension to 1"),
        (each(embedding=[0.0] * DIMENSION), "direction"),
        (each(embedding=[float("nan")] * DIMENSION), "direction"),
        (each(embedding=["1"] * DIMENSION), "no vector of numbers"),
    ],
)
async def test_an_answer_that_is_none_is_refused(
    server: EmbeddingServer, started: OpenAIHTTPEmbedder, change: Change, said: str
) -> None:
    server.change = change
    with pytest.raises(EmbedderError, match=said):
        await started.embed(["one", "two"])


async def test_a_server_that_is_silent_is_not_waited_for(server: EmbeddingServer) -> None:
    embedder = made(server, timeout_s=0.2)
    server.hold.clear()
    with pytest.raises(EmbedderError, match=r"did not answer within 0\.2 s"):
        await embedder.start()
    server.hold.set()
    assert len(await embedder.embed(["later"])) == 1
    await embedder.stop()


async def test_a_server_that_is_not_there_is_said_and_tried_again(server: EmbeddingServer) -> None:
    gone = OpenAIHTTPEmbedder(Remote("test-embed", dimension=DIMENSION), base_url="http://127.0.0.1:9/v1")
    for attempt in (gone.start(), gone.embed(["x"])):
        with pytest.raises(EmbedderError, match="cannot be reached"):
            await attempt
    await gone.stop()
    with pytest.raises(EmbedderError, match="start"):
        await gone.embed(["x"])


async def test_another_dimension_than_the_configured_one_is_said_at_start(server: EmbeddingServer) -> None:
    embedder = made(server, dimension=128)
    with pytest.raises(EmbedderError, match=r"makes vectors of 64 dimensions.*set embedder\.dimension to 64"):
        await embedder.start()
    await embedder.stop()


def test_the_dimension_of_well_known_models_is_known() -> None:
    def of(**settings: Any) -> OpenAIHTTPEmbedder:
        return OpenAIHTTPEmbedder(Remote(**settings), base_url="http://one.example/v1")

    assert of(model="text-embedding-3-small").dimension == 1536
    assert of(model="openai/text-embedding-3-large").dimension == 3072
    assert of(model="text-embedding-3-large", dimension=256).dimension == 256
    with pytest.raises(ConfigError, match="say it") as caught:
        of(model="my-model")
    assert caught.value.path == "embedder.dimension"


def test_the_name_says_what_makes_the_vectors_but_not_where() -> None:
    def name(host: str = "one", **settings: Any) -> str:
        given: dict[str, Any] = {"model": "m", "dimension": 8, **settings}
        return OpenAIHTTPEmbedder(Remote(**given), base_url=f"http://{host}/v1").model_id

    assert name() == name("two") == name(memo=0) == "openai/m/8"
    assert len({name(), name(model="n"), name(dimension=9), name(prefix="query: "), name(max_chars=100)}) == 5
