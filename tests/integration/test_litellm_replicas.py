"""Several servers behind one model name, on a real proxy: prompts that begin alike meet, and nothing depends on it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question
from tests.integration.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openai import AsyncOpenAI

pytestmark = pytest.mark.slow

SETTINGS: Final[dict[str, Any]] = {"cache": {"semantic": "off"}, "store": {"type": "memory"}}
METRICS: Final = """\
vllm:num_requests_running{engine="0",model_name="tiny"} 0.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.0
vllm:cache_config_info{block_size="16",enable_prefix_caching="True",engine="0",num_gpu_blocks="10000"} 1.0
"""
OTHER: Final = "You are another assistant, and say so whenever somebody asks. " * 40
MODELS: Final = ("replicas", "strangers", "leaving")


def pair(servers: Sequence[Upstream], model: str) -> Sequence[Upstream]:
    """Return the servers of a model."""
    at = 2 * MODELS.index(model)
    return servers[at : at + 2]


def deployments(servers: Sequence[Upstream]) -> list[dict[str, Any]]:
    return [
        {
            "model_name": name,
            "litellm_params": {"model": "openai/tiny", "api_base": server.url, "api_key": f"k{at}"},
        }
        for at, name in enumerate(MODELS)
        for server in pair(servers, name)
    ]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Upstream]]:
    """A pair a model; the strangers do not say what vLLM says."""
    with ExitStack() as stack:
        made = [stack.enter_context(Upstream(fixed=True)) for _ in range(2 * len(MODELS))]
        for server in (*pair(made, "replicas"), *pair(made, "leaving")):
            server.metrics = METRICS
        yield made


@pytest.fixture(scope="module")
def proxy(servers: list[Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    plan = Plan(servers[0].url, forebay=SETTINGS, models=deployments(servers))
    with Proxy(tmp_path_factory.mktemp("replicas"), plan) as process:
        yield process


async def known(proxy: Proxy, client: AsyncOpenAI, model: str) -> list[dict[str, Any]]:
    """Ask until a model's metrics were read, and return what the proxy says of its servers."""
    async with proxy.http() as http:
        before = len((await http.get("/forebay/status")).json()["replicas"])
        for number in range(1_000):
            await ask(client, {"model": model, **question(f"Is anybody there, {number}?")})
            rows: list[dict[str, Any]] = (await http.get("/forebay/status")).json()["replicas"]
            if len(rows) == before + 2:
                return rows[before:]
    raise AssertionError(f"the servers were not read:\n{proxy.log[-4000:]}")


def calls(servers: Sequence[Upstream], about: str) -> list[int]:
    """Return how often each was asked something with these words in it."""
    return [sum(about in str(call.body) for call in server.calls) for server in servers]


async def test_prompts_that_begin_alike_go_to_one_server(proxy: Proxy, servers: list[Upstream]) -> None:
    async with proxy.client() as client:
        rows = await known(proxy, client, "replicas")
        assert all(row["fresh"] and row["kv_tokens"] == 160_000 for row in rows)
        for group in range(8):
            beginning = f"These are the rules of group {group}. " * 60
            for number in range(4):
                body = question(f"{beginning} Question {number} of group {group}?", stream=number % 2 == 0)
                await ask(client, {"model": "replicas", **body})
    await proxy.settled()
    split = [calls(pair(servers, "replicas"), f"of group {group}?") for group in range(8)]
    assert all(sorted(one) == [0, 4] for one in split), split
    assert {one.index(4) for one in split} == {0, 1}, "different beginnings are spread"


async def test_servers_that_are_no_vllm_are_left_to_litellm(proxy: Proxy, servers: list[Upstream]) -> None:
    async with proxy.client() as client:
        for number in range(24):
            await ask(client, {"model": "strangers", **question(f"{OTHER} Question {number}?")})
    assert min(calls(pair(servers, "strangers"), "another assistant")) > 0
    await proxy.settled()


async def test_a_server_that_went_away_is_not_asked_any_more(proxy: Proxy, servers: list[Upstream]) -> None:
    there = pair(servers, "leaving")
    async with proxy.client() as client, proxy.http() as http:
        await known(proxy, client, "leaving")
        body = {"model": "leaving", **question(f"{OTHER} Who are you?")}
        await ask(client, body)
        holder = calls(there, "Who are you?").index(1)
        there[holder].__exit__(None, None, None)
        # until that is known, what begins alike still goes there, and fails
        for number in range(1_000):
            answer = await http.post("/v1/chat/completions", json={**body, **question(f"{OTHER} And you, {number}?")})
            if answer.is_success:
                break
        for number in range(8):
            await ask(client, {"model": "leaving", **question(f"{OTHER} Still there, {number}?")})
    assert calls(there, "Still there")[1 - holder] == 8
    await proxy.settled()
