"""LiteLLM's client library against a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
import pytest_asyncio
from litellm.caching.caching import Cache
from litellm.integrations.custom_logger import CustomLogger

from forebay.adapters.embedders.litellm import LiteLLMEmbedder
from forebay.adapters.embedders.remote import Remote
from forebay.adapters.litellm.bridge import Bridge
from forebay.adapters.litellm.handler import ForebayHandler
from forebay.middleware.config import parse_config
from forebay.middleware.errors import EmbedderError
from forebay.middleware.runtime import Runtime
from tests.adapters.embedders.embedding_server import DIMENSION, EmbeddingServer, embedding_server
from tests.contract.embedder import EmbedderContract


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as state:
        yield state


def made(server: EmbeddingServer, **settings: Any) -> LiteLLMEmbedder:
    given: dict[str, Any] = {"model": "openai/test-embed", "dimension": DIMENSION, "memo": 0, **settings}
    return LiteLLMEmbedder(Remote(**given), api_base=server.url, api_key="sk-1")


@pytest_asyncio.fixture
async def started(server: EmbeddingServer) -> AsyncIterator[LiteLLMEmbedder]:
    embedder = made(server)
    await embedder.start()
    server.bodies.clear()
    yield embedder
    await embedder.stop()


class TestLiteLLMEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, started: LiteLLMEmbedder) -> LiteLLMEmbedder:
        return started


async def test_what_is_sent(server: EmbeddingServer, started: LiteLLMEmbedder) -> None:
    await started.embed(["one", "two"])
    (body,) = server.bodies
    assert (body["model"], body["input"]) == ("test-embed", ["one", "two"])
    assert "dimensions" not in body
    assert server.headers[-1]["authorization"] == "Bearer sk-1"
    assert started.model_id == f"litellm/openai/test-embed/{DIMENSION}"


async def test_shorter_vectors_of_a_known_model_are_asked_for(server: EmbeddingServer) -> None:
    embedder = made(server, model="openai/text-embedding-3-small", dimension=16)
    await embedder.start()
    await embedder.stop()
    assert server.bodies[-1]["dimensions"] == 16


@pytest.mark.parametrize("status", [401, 500])
async def test_a_failure_is_said_without_the_text(
    server: EmbeddingServer, started: LiteLLMEmbedder, status: int
) -> None:
    server.status = status
    with pytest.raises(EmbedderError, match=r"could not embed with 'openai/test-embed'") as caught:
        await started.embed(["a text that must not be shown"])
    assert "shown" not in str(caught.value)
    server.status = 200
    assert len(await started.embed(["again"])) == 1


async def test_a_server_that_is_silent_is_not_waited_for(server: EmbeddingServer) -> None:
    embedder = made(server, timeout_s=0.3)
    server.hold.clear()
    with pytest.raises(EmbedderError):
        await embedder.start()
    server.hold.set()
    await embedder.stop()


async def test_one_text_that_is_refused_fails_nobody_else(server: EmbeddingServer, started: LiteLLMEmbedder) -> None:
    server.refuses = {"bad"}
    with pytest.raises(EmbedderError):
        await started.embed(["one", "bad", "two"])
    assert len(await started.embed(["one", "two"])) == 2


class Spy(CustomLogger):
    """Another callback of the operator's: notes what it is told of calls."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.heard = asyncio.Event()

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.told.append(kwargs["input"])
        self.heard.set()


@pytest_asyncio.fixture
async def handler(
    server: EmbeddingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ForebayHandler]:
    """forebay inside LiteLLM, with this embedder, around an operator's own cache."""
    kind: Any = "local"
    monkeypatch.setattr(litellm, "cache", Cache(type=kind))
    settings: dict[str, Any] = {
        "state_dir": str(tmp_path),
        "store": {"type": "memory"},
        "acceptance": {"type": "threshold"},
        "audits": {"enabled": False},
        "embedder": {
            "type": "litellm",
            "model": "openai/test-embed",
            "dimension": DIMENSION,
            "api_base": server.url,
            "api_key": "sk-1",
        },
    }
    made = ForebayHandler(Bridge(Runtime(parse_config(settings, environ={}))))
    monkeypatch.setattr(litellm, "callbacks", [made])
    await made.bridge.started()
    assert made.bridge.runtime.problems == []
    server.bodies.clear()
    yield made
    await made.bridge.stop()


@pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")  # LiteLLM's own, where it first logs
async def test_inside_litellm_it_comes_back_to_nobody(
    handler: ForebayHandler, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    monkeypatch.setattr(litellm, "callbacks", [handler, spy])
    taken: list[object] = []

    def take(kwargs: Any, value: object) -> None:
        taken.append(value)

    monkeypatch.setattr(handler.bridge, "take_in", take)
    inner = handler.bridge.cache.inner
    embedder = handler.bridge.runtime.embedder
    assert isinstance(embedder, LiteLLMEmbedder)
    first, again = await embedder.embed(["How do I reset my password?"]), await embedder.embed(["another question"])
    assert first != again
    assert server.asked == [["How do I reset my password?"], ["another question"]]
    assert handler.bridge.runtime.pipeline.inflight == 0
    assert taken == []
    assert inner.cache.cache_dict == {}
    # what the marks are for: without them each of these is told
    plain: Any = litellm.aembedding  # pyright: ignore[reportUnknownMemberType]
    await plain(model="openai/test-embed", input=["plain"], api_base=server.url, api_key="sk-1")
    async with asyncio.timeout(10):
        await spy.heard.wait()
    assert spy.told == [["plain"]]
    assert len(taken) == 1
    assert inner.cache.cache_dict
