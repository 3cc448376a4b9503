"""Stale answers on a real proxy: served at once, computed anew behind the callers, once; with and without calls behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question
from tests.integration.upstream import Hold, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.integration.reading import Seen
    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

BILLED_TO: Final = "0123456789abcdef" * 4
SETTINGS: Final[dict[str, Any]] = {
    "cache": {"semantic": "off", "lookup_deadline_ms": 5000},
    "store": {"type": "memory"},
    "expiry": {"type": "fixed", "ttl_s": 2.0, "grace_s": 600.0},
}
CROWD: Final = 500


def served(folder: Path, upstream: Upstream, **settings: Any) -> Proxy:
    return Proxy(folder, Plan(upstream.url, forebay={**SETTINGS, **settings}))


@pytest.fixture(scope="module")
def behind(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with served(tmp_path_factory.mktemp("behind"), upstream, litellm={"billed_to": BILLED_TO}) as process:
        yield process


@pytest.fixture(scope="module")
def in_line(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with served(tmp_path_factory.mktemp("in_line"), upstream) as process:
        yield process


async def until(asked: Callable[[], Awaitable[Seen]], **wanted: str) -> Seen:
    """Ask until the answer is as wanted."""
    async with asyncio.timeout(30.0):
        while True:
            seen = await asked()
            if all(getattr(seen, name) == value for name, value in wanted.items()):
                return seen
            await asyncio.sleep(0.1)  # answers expire by the clock of another process


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stale_answer_is_served_at_once_and_computed_anew(
    behind: Proxy, upstream: Upstream, *, stream: bool
) -> None:
    text = f"Who wrote the second book of the archive? stream={stream}"
    upstream.on(text, Reply(text="It is the first."), Reply(text="It is the second."))
    async with behind.client() as client:
        await ask(client, question(text, stream=stream))
        await behind.settled()
        stale = await until(lambda: ask(client, question(text, stream=stream)), status="stale")
        fresh = await until(lambda: ask(client, question(text, stream=stream)), content="It is the second.")
    assert stale.content == "It is the first."
    assert fresh.status in ("exact", "stale")
    assert len(upstream.of(text)) >= 2  # a slow machine may see it expire again


async def test_a_crowd_on_an_entry_that_has_expired_costs_one_call(behind: Proxy, upstream: Upstream) -> None:
    text = "How many of you come at once?"
    hold = Hold()
    upstream.on(text, Reply(text="One."), Reply(text="Two.", hold=hold))
    async with behind.client() as client:
        await ask(client, question(text))
        await behind.settled()
        await asyncio.sleep(SETTINGS["expiry"]["ttl_s"])
        seen = await asyncio.gather(*(ask(client, question(text)) for _ in range(CROWD)))
        await upstream.until_called(text, 2)
        calls = len(upstream.of(text))
        hold.release()
        await until(lambda: ask(client, question(text)), content="Two.")
    assert {each.status for each in seen} == {"stale"}
    assert {each.content for each in seen} == {"One."}
    assert calls == 2


async def test_without_calls_behind_the_first_computes_and_the_others_are_served_meanwhile(
    in_line: Proxy, upstream: Upstream
) -> None:
    text = "Who computes it where nobody calls behind?"
    hold = Hold()
    upstream.on(text, Reply(text="Before."), Reply(text="After.", hold=hold))
    async with in_line.client() as client:
        await ask(client, question(text))
        await in_line.settled()
        await asyncio.sleep(SETTINGS["expiry"]["ttl_s"])
        first = asyncio.create_task(ask(client, question(text)))
        await upstream.until_called(text, 2)
        others = await asyncio.gather(*(ask(client, question(text)) for _ in range(20)))
        hold.release()
        led = await first
    assert {(each.status, each.content) for each in others} == {("stale", "Before.")}
    assert (led.status, led.content) == ("miss", "After.")
    assert len(upstream.of(text)) == 2
