"""Taking answers back through a real LiteLLM proxy: by header, and over HTTP by who administers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import Seen, ask, question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

MEMORY: dict[str, Any] = {"store": {"type": "memory"}, "embedder": {"type": "hashing"}}
FORGET, BUMP = "/forebay/cache/forget", "/forebay/cache/bump"


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    plan = Plan(upstream.url, forebay=MEMORY)
    with Proxy(tmp_path_factory.mktemp("invalidation"), plan) as process:
        yield process


@pytest.fixture(scope="module")
def tenants(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    plan = Plan(upstream.url, forebay=MEMORY, general={"custom_auth": "auth.authenticate"})
    with Proxy(tmp_path_factory.mktemp("tenants"), plan) as process:
        yield process


async def asked(proxy: Proxy, text: str, key: str | None = None, **headers: str) -> Seen:
    async with proxy.client(key) as client:
        seen = await ask(
            client, question(text), headers={name.replace("_", "-"): each for name, each in headers.items()}
        )
    await proxy.settled()
    return seen


async def posted(proxy: Proxy, path: str, body: Any, key: str | None = None) -> tuple[int, Any]:
    async with proxy.http() as client:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        answer = await client.post(path, json=body, headers=headers)
    return answer.status_code, answer.json()


async def test_an_administrator_drops_what_was_kept_under_a_tag(proxy: Proxy) -> None:
    text = "What is kept under a tag?"
    assert (await asked(proxy, text, x_forebay_tags="v1,v2")).status == "miss"
    assert (await asked(proxy, text)).status == "exact"
    status, said = await posted(proxy, FORGET, {"tag": "v2", "dry_run": True})
    assert (status, said["matched"]) == (200, 1)
    status, said = await posted(proxy, FORGET, {"tag": "v2"})
    assert (status, said["dropped"]) == (200, 1)
    assert (await asked(proxy, text)).status == "miss"


async def test_a_bump_stops_all_hits_at_once(proxy: Proxy) -> None:
    text = "What was before the bump?"
    assert [(await asked(proxy, text)).status for _ in range(2)] == ["miss", "exact"]
    assert (await posted(proxy, BUMP, {}))[0] == 200
    assert [(await asked(proxy, text)).status for _ in range(2)] == ["miss", "exact"]


async def test_a_call_that_is_not_understood_is_refused(proxy: Proxy) -> None:
    assert (await posted(proxy, FORGET, {"tagg": "v1"}))[0] == 400
    assert (await posted(proxy, FORGET, {}))[0] == 400


@pytest.mark.parametrize("key", ["sk-not-the-master-key", "none"])
async def test_who_has_no_key_is_not_let_in(proxy: Proxy, key: str) -> None:
    for path in (FORGET, BUMP):
        status, _ = await posted(proxy, path, {"tag": "v1"}, key)
        assert status in (400, 401, 403), status


async def test_an_ordinary_key_is_not_let_in(tenants: Proxy) -> None:
    text = "Who may bump?"
    assert (await asked(tenants, text, "sk-test-team=a")).status == "miss"
    for path in (FORGET, BUMP):
        status, _ = await posted(tenants, path, {"tenant": "team=a"}, "sk-test-team=a")
        assert status in (401, 403), status
    assert (await asked(tenants, text, "sk-test-team=a")).status == "exact"


async def test_a_caller_says_that_its_hit_was_wrong(tenants: Proxy) -> None:
    text = "Which answer was wrong?"
    assert (await asked(tenants, text, "sk-test-team=a")).status == "miss"
    hit = await asked(tenants, text, "sk-test-team=a")
    assert hit.status == "exact"
    named = hit.headers["x-forebay-id"]
    # of another tenant it does nothing but compute that one's own
    assert (await asked(tenants, text, "sk-test-team=b", x_forebay_wrong=named)).status == "miss"
    assert (await asked(tenants, text, "sk-test-team=a")).status == "exact"
    anew = await asked(tenants, text, "sk-test-team=a", x_forebay_wrong=named)
    assert anew.status == "miss"
    assert (await asked(tenants, text, "sk-test-team=a")).status == "exact"
