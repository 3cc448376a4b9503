"""The remote embedders and a real LiteLLM proxy: as a client of it, and inside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from forebay.adapters.embedders.openai_http import OpenAIHTTPEmbedder
from forebay.adapters.embedders.remote import Remote
from tests.contract.embedder import norm
from tests.integration.proxy import Plan, Proxy
from tests.integration.upstream import Upstream
from tests.integration.upstream.embeddings import DIMENSIONS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as engine:
        yield engine


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy in which forebay embeds through LiteLLM."""
    settings = {
        "store": {"type": "memory"},
        "embedder": {
            "type": "litellm",
            "model": "openai/tiny",
            "api_base": upstream.url,
            "api_key": "not-needed",
            "dimension": DIMENSIONS,
        },
    }
    with Proxy(tmp_path_factory.mktemp("embedding"), Plan(upstream.url, settings)) as process:
        yield process


def embedded(upstream: Upstream, text: str) -> list[object]:
    """Return the embedding calls that held a text."""
    return [call for call in upstream.calls if call.path == "/v1/embeddings" and text in str(call.body["input"])]


async def test_a_proxy_embeds_for_a_client_and_keeps_nothing_of_it(proxy: Proxy, upstream: Upstream) -> None:
    remote = Remote("tiny", dimension=DIMENSIONS, memo=0, timeout_s=30)
    embedder = OpenAIHTTPEmbedder(remote, base_url=f"{proxy.url}/v1", api_key=proxy.key)
    await embedder.start()
    try:
        for _ in range(2):
            (vector,) = await embedder.embed(["embedded for a client"])
            assert norm(vector) == pytest.approx(1.0)
    finally:
        await embedder.stop()
    assert len(embedded(upstream, "embedded for a client")) == 2
    await proxy.settled()


async def test_inside_the_proxy_a_question_is_embedded_once_and_by_no_flight(proxy: Proxy, upstream: Upstream) -> None:
    client = proxy.client()
    question: Any = [{"role": "user", "content": "Who painted the Mona Lisa?"}]
    statuses: list[str] = []
    for _ in range(2):
        raw = await client.chat.completions.with_raw_response.create(model="tiny", messages=question)
        statuses.append(raw.headers["x-forebay-cache"])
        await proxy.settled()
    await client.close()
    assert statuses == ["miss", "exact"]
    assert len(embedded(upstream, "Who painted the Mona Lisa?")) == 1
