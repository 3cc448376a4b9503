"""Audits on a real proxy with MiniLM and Milvus Lite: by the answers that were computed, and by background calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question
from tests.integration.upstream import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

BILLED_TO: Final = "0123456789abcdef" * 4
SETTINGS: Final[dict[str, Any]] = {
    "cache": {"lookup_deadline_ms": 5000},
    "store": {"type": "milvus"},
    "background": {"calls_per_minute": 1000},
}
EAGER: Final = {"type": "verified", "trust": "calibrated", "confidence": 0.7, "budget": 1.0, "steady": 1.0}
OWN_CACHE: Final = {"cache": True, "cache_params": {"type": "local"}}
AROUND: Final = {"x-forebay-bypass": "1"}
CANDIDATES: Final = "forebay.audits|kind=candidate"


def pair(country: str) -> tuple[str, str]:
    return f"What is the capital of {country}?", f"what's the capital city of {country}?"


def agree(engine: Upstream, texts: tuple[str, str], answer: str) -> None:
    """Let the engine say the same to both questions."""
    for text in texts:
        engine.on(text, Reply(text=answer))


@pytest.fixture(scope="module")
def eager(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Serves what is probably right and audits every such hit; LiteLLM has a cache of its own, and fallbacks."""
    settings = {**SETTINGS, "acceptance": EAGER, "litellm": {"billed_to": BILLED_TO}}
    plan = Plan(upstream.url, forebay=settings, first=OWN_CACHE, litellm={"fallbacks": [{"tiny": ["other"]}]})
    with Proxy(tmp_path_factory.mktemp("eager"), plan) as process:
        yield process


async def counted(proxy: Proxy, name: str) -> int:
    found: int = await proxy.ask("counted", name=name, least=0)
    return found


async def repeats(proxy: Proxy) -> int:
    """How often the engine was compared with itself: one background call more."""
    return await counted(proxy, "forebay.audits|kind=repeat")


async def billed_so_far(proxy: Proxy, least: int = 0) -> int:
    """How many calls LiteLLM has logged under the key that background calls are accounted to."""
    found: dict[str, int] = await proxy.ask("billed", key=BILLED_TO, least=least)
    return found.get(BILLED_TO, 0)


async def test_a_served_hit_is_audited_through_the_router_and_billed_to_the_named_key(
    eager: Proxy, upstream: Upstream
) -> None:
    asked, similar = pair("Norway")
    agree(upstream, (asked, similar), "The capital of Norway is Oslo.")
    before = await repeats(eager)
    handled = await counted(eager, "forebay.requests")
    billed = await billed_so_far(eager)
    async with eager.client() as client:
        await ask(client, question(asked))
        await eager.settled()
        served = await ask(client, question(similar))
        await eager.settled()
        calls = 1 + await repeats(eager) - before
        assert len(upstream.of(similar)) == calls
        assert await billed_so_far(eager, least=billed + calls) == billed + calls
        # a flight each, without one that LiteLLM's hooks would have begun
        assert await counted(eager, "forebay.requests") - handled == 2 + calls
        promoted = await ask(client, question(similar))
        await eager.settled()
    assert (served.status, promoted.status) == ("semantic", "exact")
    assert promoted == served
    assert len(upstream.of(asked)) == 1
    assert len(upstream.of(similar)) == calls


async def test_a_background_call_takes_no_part_in_any_cache(eager: Proxy, upstream: Upstream) -> None:
    """LiteLLM's own cache knows the question, and its answer; the audit asks the engine, and is not kept."""
    asked, similar = pair("Sweden")
    upstream.on(asked, Reply(text="The capital of Sweden is Stockholm."))
    upstream.on(similar, Reply(text="It was 1 of 2 then."), Reply(text="The capital of Sweden is Uppsala."))
    before = await repeats(eager)
    async with eager.client() as client:
        around = await ask(client, question(similar), headers=AROUND)
        await ask(client, question(asked))
        await eager.settled()
        kept = await eager.ask("entries")
        served = await ask(client, question(similar))
        await eager.settled()
        assert len(upstream.of(similar)) == 2 + await repeats(eager) - before
        assert await eager.ask("entries") == kept
        from_own = await ask(client, question(similar), headers=AROUND)
    assert served.status == "semantic"
    assert from_own.id == around.id, "LiteLLM's own cache has what it had"


async def test_an_engine_that_fails_is_asked_once_and_says_nothing_of_the_hit(eager: Proxy, upstream: Upstream) -> None:
    asked, similar = pair("Denmark")
    upstream.on(similar, Reply(status=500))
    async with eager.client() as client:
        await ask(client, question(asked))
        await eager.settled()
        skipped = await counted(eager, f"{CANDIDATES}|outcome=skipped")
        audited = await counted(eager, CANDIDATES)
        first = await ask(client, question(similar))
        await eager.settled()
        assert await counted(eager, f"{CANDIDATES}|outcome=skipped") == skipped + 1
        assert await counted(eager, CANDIDATES) == audited + 1
        assert len(upstream.of(similar)) == 1
        again = await ask(client, question(similar))
        await eager.settled()
    assert first.status == again.status == "semantic"


async def test_a_pair_that_was_found_wrong_never_matches_again(eager: Proxy, upstream: Upstream) -> None:
    asked, similar = pair("Finland")
    upstream.on(asked, Reply(text="The capital of Finland is Turku."))
    upstream.on(similar, Reply(text="The capital of Finland is Helsinki."))
    async with eager.client() as client:
        await ask(client, question(asked))
        await eager.settled()
        served = await ask(client, question(similar))
        await eager.settled()
        assert await counted(eager, f"{CANDIDATES}|outcome=different") >= 1
        again = await ask(client, question(similar))
        await eager.settled()
        explained = await eager.ask("explain", request=again.headers["x-forebay-id"])
    assert (served.status, again.status) == ("semantic", "miss")
    assert again.content == "The capital of Finland is Helsinki."
    verify = next(one for one in explained["decisions"] if one["stop"] == "verify")
    assert (verify["choice"], verify["reason"]) == ("reject", "proven_other")


async def test_a_new_install_shadows_and_learns_from_what_was_computed_anyway(
    upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    asked, similar = pair("Iceland")
    agree(upstream, (asked, similar), "The capital of Iceland is Reykjavik.")
    with Proxy(tmp_path_factory.mktemp("new"), Plan(upstream.url, forebay=SETTINGS)) as proxy:
        async with proxy.client() as client:
            first = await ask(client, question(asked))
            await proxy.settled()
            second = await ask(client, question(similar))
            await proxy.settled()
            third = await ask(client, question(similar))
        assert (first.status, second.status, third.status) == ("miss", "shadow", "exact")
        assert await counted(proxy, f"{CANDIDATES}|outcome=same") == 1
        explained = await proxy.ask("explain", request=second.headers["x-forebay-id"])
    verify = next(one for one in explained["decisions"] if one["stop"] == "verify")
    assert verify["choice"] == "unproven"
    assert len(upstream.of(similar)) == 1, "there is no background caller without a key to bill"
