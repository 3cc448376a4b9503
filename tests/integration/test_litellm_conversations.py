"""Conversations and similar requests in flight, on a real proxy with MiniLM and Milvus Lite."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openai
import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import Seen, ask, question
from tests.integration.upstream import Hold, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

SETTINGS: Final[dict[str, Any]] = {
    "cache": {"lookup_deadline_ms": 5000},
    "store": {"type": "milvus"},
    "acceptance": {"type": "verified", "trust": "calibrated", "confidence": 0.7},
    "audits": {"enabled": False},  # they compute a share of the hits instead of serving them
}
DIALOGUES: Final[dict[str, dict[str, Any]]] = {
    dialogue["id"]: dialogue
    for line in (Path(__file__).parents[1] / "policies" / "context" / "dialogues.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
    for dialogue in [json.loads(line)]
}
GYM: Final = ("I pay for a gym membership.", "You can pause it or cancel it whenever you like.")
STREAMING: Final = ("I pay for a streaming plan.", "You can change it or cancel it whenever you like.")
CLIENT: Final = "x-test-client"
SHAPES: Final = {"whole": (False, False), "stream": (True, True), "mixed": (False, True)}


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("conversations"), Plan(upstream.url, forebay=SETTINGS)) as process:
        yield process


def talk(*turns: str, system: str | None = None) -> dict[str, Any]:
    """Return the body of a request with these turns, the user's and the assistant's in turn."""
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": turn} for at, turn in enumerate(turns)]
    return {"messages": [*([{"role": "system", "content": system}] if system is not None else []), *said]}


async def asked(proxy: Proxy, *bodies: dict[str, Any]) -> list[Seen]:
    """Ask one after the other, each after the one before has settled."""
    seen: list[Seen] = []
    async with proxy.client() as client:
        for body in bodies:
            seen.append(await ask(client, body))
            await proxy.settled()
    return seen


def statuses(seen: Iterable[Seen]) -> list[str]:
    return [one.status for one in seen]


async def test_the_same_words_in_another_conversation_are_another_question(proxy: Proxy, upstream: Upstream) -> None:
    text = "cancel it"
    gym, streaming, again = await asked(proxy, talk(*GYM, text), talk(*STREAMING, text), talk(*GYM, text))
    assert statuses([gym, streaming, again]) == ["miss", "miss", "exact"]
    assert again == gym
    assert streaming.content != gym.content
    assert len(upstream.of(text)) == 2


@pytest.mark.parametrize("name", ["travel-01", "health-11", "tech-20", "shopping-33"])
async def test_a_conversation_that_differs_where_it_matters_gets_an_answer_of_its_own(proxy: Proxy, name: str) -> None:
    dialogue = DIALOGUES[name]
    assert not dialogue["same_answer"]
    seen = await asked(proxy, {"messages": dialogue["a"]}, {"messages": dialogue["b"]})
    assert statuses(seen) == ["miss", "miss"]


@pytest.mark.parametrize("name", ["travel-07", "health-15", "tech-23", "cooking-30"])
async def test_a_question_that_stands_alone_is_the_same_in_any_conversation(
    proxy: Proxy, upstream: Upstream, name: str
) -> None:
    one, other = DIALOGUES[name]["a"], DIALOGUES[name]["b"]
    text = one[-1]["content"]
    seen = await asked(proxy, {"messages": one}, {"messages": other}, question(text))
    assert statuses(seen) == ["miss", "exact", "exact"]
    assert seen[0] == seen[1] == seen[2]
    assert len(upstream.of(text)) == 1


@pytest.mark.parametrize("name", ["travel-06", "health-14", "tech-22", "cooking-29", "shopping-34", "housing-42"])
async def test_a_conversation_in_other_words_is_the_same(proxy: Proxy, upstream: Upstream, name: str) -> None:
    one, other = DIALOGUES[name]["a"], DIALOGUES[name]["b"]
    seen = await asked(proxy, {"messages": one}, {"messages": other})
    assert statuses(seen) == ["miss", "semantic"]
    assert seen[0] == seen[1]
    assert sum(len(upstream.of(text)) for text in {one[-1]["content"], other[-1]["content"]}) == 1


async def test_another_system_prompt_is_another_answer(proxy: Proxy, upstream: Upstream) -> None:
    text, similar = "What is the capital of Portugal?", "what's the capital city of Portugal?"
    one, other = "Answer in one word.", "Answer in one sentence."
    seen = await asked(
        proxy,
        talk(text, system=one),
        talk(text, system=other),
        talk(similar, system="Answer at length."),
        talk(text),
        talk(text, system=one),
        talk(similar, system=one),
    )
    assert statuses(seen) == ["miss", "miss", "miss", "miss", "exact", "semantic"]
    assert seen[0] == seen[4] == seen[5]
    assert (len(upstream.of(text)), len(upstream.of(similar))) == (3, 1)


async def until_followed(proxy: Proxy, client: str) -> None:
    """Wait until another request waits for this one's answer."""
    where = await proxy.ask("where", client=client, followers=1)
    assert where == {"at": "inside", "followers": 1}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("known", [False, True], ids=["empty_scope", "known_scope"])
async def test_two_wordings_in_flight_share_one_call(proxy: Proxy, upstream: Upstream, shape: str, known: bool) -> None:
    country = {"whole": "Norway", "stream": "Sweden", "mixed": "Denmark"}[shape]
    text, similar = f"What is the capital of {country}?", f"what's the capital city of {country}?"
    hold, system, leads = Hold(), f"Be brief, {known}.", f"leads {shape} {known}"
    upstream.on(text, Reply(hold=hold))
    if known:
        await asked(proxy, talk("Who invented the zipper?", system=system))
    before = len(upstream.of(text))
    async with proxy.client() as client:
        leader = asyncio.create_task(
            ask(client, {**talk(text, system=system), "stream": SHAPES[shape][0]}, headers={CLIENT: leads})
        )
        await upstream.until_called(text, before + 1)
        follower = asyncio.create_task(ask(client, {**talk(similar, system=system), "stream": SHAPES[shape][1]}))
        await until_followed(proxy, leads)
        hold.release()
        seen = await asyncio.gather(leader, follower)
        await proxy.settled()
        explained = await proxy.ask("explain", request=seen[1].headers["x-forebay-id"])
    assert statuses(seen) == ["miss", "inflight"]
    assert seen[0] == seen[1]
    assert (len(upstream.of(text)) - before, upstream.of(similar)) == (1, [])
    assert "similar_twin" in {one["choice"] for one in explained["decisions"]}


async def test_a_similar_request_whose_leader_fails_is_computed(proxy: Proxy, upstream: Upstream) -> None:
    text, similar, hold = "What is the capital of Finland?", "what's the capital city of Finland?", Hold()
    upstream.on(text, Reply(status=500, hold=hold))
    async with proxy.client() as client:
        leader = asyncio.create_task(ask(client, question(text), headers={CLIENT: "fails"}))
        await upstream.until_called(text)
        follower = asyncio.create_task(ask(client, question(similar)))
        await until_followed(proxy, "fails")
        hold.release()
        with pytest.raises(openai.InternalServerError):
            await leader
        seen = await follower
    await proxy.settled()
    assert seen.status == "miss"
    assert (len(upstream.of(text)), len(upstream.of(similar))) == (1, 1)


async def test_what_only_looks_similar_does_not_wait(proxy: Proxy, upstream: Upstream) -> None:
    text, trap, hold = "How do I enable dark mode?", "How do I disable dark mode?", Hold()
    upstream.on(text, Reply(hold=hold))
    async with proxy.client() as client:
        leader = asyncio.create_task(ask(client, question(text)))
        await upstream.until_called(text)
        other = await ask(client, question(trap))
        assert not leader.done()
        hold.release()
        seen = await leader
    await proxy.settled()
    assert statuses([seen, other]) == ["miss", "miss"]
    assert seen.content != other.content
