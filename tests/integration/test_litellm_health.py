"""forebay's own routes on LiteLLM's port, and LiteLLM's own health with forebay in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

MEMORY: dict[str, Any] = {"store": {"type": "memory"}, "embedder": {"type": "hashing"}}


@pytest.fixture(scope="module")
def proxy(fixed: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("health"), Plan(fixed.url, forebay=MEMORY)) as process:
        yield process


async def test_readiness_needs_no_key_and_status_does(proxy: Proxy) -> None:
    async with httpx.AsyncClient(base_url=proxy.url, trust_env=False) as stranger:
        ready = await stranger.get("/forebay/ready")
        status = await stranger.get("/forebay/status")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "without": []})
    assert status.status_code >= 400
    assert "findings" not in status.text
    async with proxy.http() as client:
        shown = (await client.get("/forebay/status")).json()
    assert shown["started"]
    assert (shown["inflight"], shown["inside"], shown["queued"]) == (0, 0, 0)
    assert shown["components"]["store"] == "memory"
    assert all(finding["ok"] for finding in shown["findings"]), shown


async def test_litellms_own_health_with_forebay_in_it(proxy: Proxy) -> None:
    async with proxy.http() as client:
        readiness = await client.get("/health/readiness")
        ping = await client.get("/cache/ping")
        flush = await client.post("/cache/flushall")
    assert readiness.status_code == 200
    assert ping.status_code == 200, ping.text
    assert ping.json()["cache_type"] == "forebay"
    assert proxy.key not in ping.text
    assert flush.status_code == 503, "LiteLLM flushes Redis only"


async def test_a_store_that_is_down_is_named_and_requests_go_on(fixed: Upstream, tmp_path: Path) -> None:
    down = {**MEMORY, "store": {"type": "milvus", "uri": "http://127.0.0.1:9"}}
    with Proxy(tmp_path, Plan(fixed.url, forebay=down)) as proxy:
        async with proxy.http() as client:
            ready = await client.get("/forebay/ready")
        async with proxy.client() as client:
            seen = await ask(client, question("Is anybody there?"))
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["without"]
    assert seen.status == "miss"
