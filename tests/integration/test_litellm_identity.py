"""Who shares answers with whom, who is let through, and what LiteLLM's users see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

MEMORY: dict[str, Any] = {"store": {"type": "memory"}, "embedder": {"type": "hashing"}}


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    plan = Plan(upstream.url, forebay=MEMORY, general={"custom_auth": "auth.authenticate"})
    with Proxy(tmp_path_factory.mktemp("identity"), plan) as process:
        yield process


async def status_of(proxy: Proxy, text: str, key: str, **more: Any) -> str:
    async with proxy.client(f"sk-test-{key}") as client:
        status = (await ask(client, question(text, **more))).status
    await proxy.settled()
    return status


async def test_the_narrowest_identity_shares_answers(proxy: Proxy) -> None:
    text = "Who may share this?"
    assert await status_of(proxy, text, "team=a") == "miss"
    assert await status_of(proxy, text, "team=a") == "exact"
    assert await status_of(proxy, text, "team=a;n=2") == "miss", "another key of the team"
    assert await status_of(proxy, text, "team=b") == "miss"
    assert await status_of(proxy, text, "team=a;end_user=e") == "miss"
    assert await status_of(proxy, text, "team=a") == "exact"


async def test_a_named_end_user_is_a_tenant_of_its_own(proxy: Proxy) -> None:
    text = "What is my name?"
    assert await status_of(proxy, text, "app=1", user="ann") == "miss"
    assert await status_of(proxy, text, "app=1", user="ann") == "exact"
    assert await status_of(proxy, text, "app=1", user="bob") == "miss"


@pytest.mark.parametrize("part", ["team", "organization", "user", "end_user"])
async def test_a_wider_tenant_by_config(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, part: str
) -> None:
    name = {"organization": "org"}.get(part, part)
    plan = Plan(
        upstream.url, forebay={**MEMORY, "litellm": {"tenant": part}}, general={"custom_auth": "auth.authenticate"}
    )
    with Proxy(tmp_path_factory.mktemp(part), plan) as wide:
        text = f"Shared by {part}?"
        assert await status_of(wide, text, f"{name}=a;n=1") == "miss"
        assert await status_of(wide, text, f"{name}=a;n=2") == "exact"
        assert await status_of(wide, text, f"{name}=b;n=3") == "miss"


async def test_a_hit_lets_no_key_through_that_litellm_stops(proxy: Proxy, upstream: Upstream) -> None:
    body = {"model": "tiny", **question("Is this key let through?")}

    async def send(key: str) -> tuple[int, str | None]:
        async with proxy.http() as client:
            headers = {"authorization": f"Bearer sk-test-{key}"}
            answer = await client.post("/v1/chat/completions", json=body, headers=headers)
        await proxy.settled()
        return answer.status_code, answer.headers.get("x-forebay-cache")

    assert await send("rpm=2") == (200, "miss")
    assert await send("rpm=2") == (200, "exact")
    status, _ = await send("rpm=2")
    assert status == 429, "the answer is kept, but the key has used its minute"
    calls = len(upstream.calls)
    assert (await send("blocked=1"))[0] in (401, 403)
    assert len(upstream.calls) == calls


async def test_a_hit_gives_a_limited_keys_place_back(proxy: Proxy) -> None:
    text = "One at a time."
    statuses = [await status_of(proxy, text, "parallel=1") for _ in range(4)]
    assert statuses == ["miss", "exact", "exact", "exact"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_savings_are_seen_in_the_spend_log_and_in_headers(proxy: Proxy, stream: bool) -> None:
    body = question(f"What did it save? {stream}", stream=stream)
    async with proxy.client("sk-test-alias=search;team=ops") as client:
        first = await ask(client, body)
        await proxy.settled()
        hit = await ask(client, body)
    await proxy.settled()
    assert first.usage is not None
    read, written, total = first.usage
    assert "x-forebay-saved-tokens" not in first.headers
    assert hit.headers["x-forebay-saved-tokens"] == str(total)
    saved = 0.001 * read + 0.002 * written
    assert float(hit.headers["x-forebay-saved-usd"]) == pytest.approx(saved)
    assert int(hit.headers["x-forebay-age"]) >= 0
    logged = await proxy.logged(hit.headers)
    assert logged["forebay"]["tier"] == "exact"
    assert logged["forebay"]["saved_tokens"] == total
    assert logged["forebay"]["saved_usd"] == pytest.approx(saved)
    assert logged["forebay"]["request"] == hit.headers["x-forebay-id"]
    assert (await proxy.logged(first.headers))["forebay"] is None
