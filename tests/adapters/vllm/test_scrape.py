"""Reading vLLM's metrics: what is made of them, who is asked how often, and that nobody is kept waiting."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.vllm.scrape import AWAY_S, MOST, STRANGER_S, WANTED_S, Scraper, Server, parse

TEXT = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
vllm:num_requests_running{engine="1",model_name="tiny"} 1.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting{engine="1",model_name="tiny"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="tiny"} 0.1
vllm:prefix_cache_queries_total{engine="0",model_name="tiny"} 1200.0
vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} 1.0e+02
vllm:external_prefix_cache_queries_total{engine="0",model_name="tiny"} 9.0
vllm:num_preemptions_total{engine="0",model_name="tiny"} 4.0
vllm:cache_config_info{block_size="16",enable_prefix_caching="True",engine="0",num_gpu_blocks="100"} 1.0
vllm:cache_config_info{block_size="16",enable_prefix_caching="True",engine="1",num_gpu_blocks="50"} 1.0
process_start_time_seconds 1.7e+09
"""
HERE = "http://here/metrics"


def test_the_engines_of_a_server_are_added_up() -> None:
    found = parse(TEXT, 5.0)
    assert found is not None
    engine = found.engine
    assert (engine.running, engine.waiting) == (4, 2)
    assert engine.kv_usage == pytest.approx(0.3)
    assert (engine.prefix_queries, engine.prefix_hits, engine.preemptions, engine.now_s) == (1200, 100, 4, 5.0)
    assert (found.kv_tokens, found.started_s) == (150 * 16, 1.7e9)


def test_what_a_server_does_not_say_is_not_made_up() -> None:
    bare = parse("vllm:num_requests_running 0.0\n", 0.0)
    assert bare is not None
    assert (bare.kv_tokens, bare.started_s, bare.engine.kv_usage) == (None, 0.0, 0.0)
    none = parse(TEXT.replace('num_gpu_blocks="50"', 'num_gpu_blocks="None"'), 0.0)
    assert none is not None
    assert none.kv_tokens is None
    off = parse(TEXT.replace('caching="True"', 'caching="False"'), 0.0)
    assert off is not None
    assert off.kv_tokens == 0


@pytest.mark.parametrize(
    "text", ["", "<html>", 'sglang:num_running_reqs{model_name="x"} 1.0\n', "process_start_time_seconds 1\n"]
)
def test_others_are_no_vllm(text: str) -> None:
    assert parse(text, 0.0) is None


@given(st.text(), st.integers(0, len(TEXT)))
def test_any_text_is_read_or_refused(noise: str, at: int) -> None:
    try:
        found = parse(TEXT[:at] + noise + TEXT[at:], 0.0)
    except (ValueError, OverflowError):
        return
    assert found is None or found.engine.running >= 0 or "-" in noise


class Rig:
    """A scraper on a clock of its own; `answers` says what is at each address."""

    def __init__(self, answers: dict[str, Callable[[httpx.Request], httpx.Response]]) -> None:
        self.now_s = 100.0
        self.answers = answers
        self.asked: list[str] = []
        self.heard: list[Server] = []
        self.changed = asyncio.Event()
        transport = httpx.MockTransport(self.answer)
        self.scraper = Scraper(self.hear, every_s=0.001, transport=transport, clock=lambda: self.now_s)

    def hear(self, server: Server) -> None:
        self.heard.append(server)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        self.changed.set()
        return self.answers[str(request.url)](request)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.changed.clear()
                await self.changed.wait()
                await asyncio.sleep(0)

    async def asked_again(self, url: str) -> None:
        """Wait until a server was asked twice more: by then what the first brought was taken in."""
        before = self.asked.count(url)
        await self.until(lambda: self.asked.count(url) >= before + 2)


def says(text: str, status: int = 200, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, text=text, headers=headers)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig({HERE: says(TEXT)})
    yield made
    await made.scraper.stop()


async def test_a_server_is_read_again_and_again(rig: Rig) -> None:
    assert rig.scraper.want([HERE])[0].last is None, "asking must not wait"
    await rig.asked_again(HERE)
    server = rig.scraper.want([HERE])[0]
    assert server.last is not None
    assert server.last.engine.running == 4
    assert rig.heard[0] is server
    assert server.fresh(rig.now_s)
    assert not server.fresh(rig.now_s + 60)
    rig.answers[HERE] = says(TEXT.replace('running{engine="0",model_name="tiny"} 3.0', "running 7.0"))
    await rig.asked_again(HERE)
    assert server.last.engine.running == 8


async def test_who_is_no_vllm_is_left_alone_for_a_while(rig: Rig) -> None:
    for url, answer in (
        ("http://else/metrics", says("pong")),
        ("http://closed/metrics", says(TEXT, 401)),
        ("http://moved/metrics", says("", 307, location="http://far/metrics")),
        ("http://huge/metrics", says("x" * 3_000_000)),
    ):
        rig.answers[url] = answer
        rig.scraper.want([url])
        await rig.until(partial(operator.contains, rig.asked, url))
    rig.scraper.want([HERE])
    await rig.asked_again(HERE)
    await rig.asked_again(HERE)
    assert sorted(set(rig.asked) - {HERE}) == sorted(set(rig.answers) - {HERE}), "no redirect is followed"
    assert all(rig.asked.count(url) == 1 for url in rig.answers if url != HERE)
    assert all(server.last is None for server in rig.scraper.want([url for url in rig.answers if url != HERE]))
    for _ in range(2):
        rig.now_s += STRANGER_S / 2 + 1
        rig.scraper.want([HERE, "http://else/metrics"])
    await rig.until(lambda: rig.asked.count("http://else/metrics") == 2)


async def test_who_does_not_listen_is_gone_until_it_does(rig: Rig) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    rig.answers[HERE] = refuse
    server = rig.scraper.want([HERE])[0]
    await rig.until(lambda: server.gone)
    rig.answers[HERE] = says(TEXT)
    rig.now_s += AWAY_S + 1
    await rig.asked_again(HERE)
    assert not server.gone
    rig.answers[HERE] = refuse
    await rig.asked_again(HERE)
    assert server.gone
    assert server.last is not None


async def test_one_that_fails_otherwise_keeps_what_it_said(rig: Rig) -> None:
    server = rig.scraper.want([HERE])[0]
    await rig.asked_again(HERE)
    last = server.last
    for answer in (says("", 500), says("vllm:num_requests_running x\n"), slow):
        rig.answers[HERE] = answer
        await rig.asked_again(HERE)
        assert server.last is not None
        assert not server.gone
    assert last is not None


def slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow", request=request)


async def test_a_listener_that_fails_ends_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Server) -> None:
        raise RuntimeError

    monkeypatch.setattr(rig.scraper, "_heard", fail)
    rig.scraper.want([HERE])
    await rig.asked_again(HERE)
    await rig.asked_again(HERE)


async def test_who_is_not_wanted_any_more_is_not_asked(rig: Rig) -> None:
    rig.answers["http://old/metrics"] = says(TEXT)
    rig.scraper.want([HERE, "http://old/metrics"])
    await rig.asked_again("http://old/metrics")
    rig.now_s += WANTED_S / 2
    rig.scraper.want([HERE])
    rig.now_s += WANTED_S / 2 + 1
    await rig.asked_again(HERE)
    before = rig.asked.count("http://old/metrics")
    await rig.asked_again(HERE)
    assert rig.asked.count("http://old/metrics") == before
    assert rig.scraper.known("http://old/metrics") is None


async def test_there_is_an_end_to_it(rig: Rig) -> None:
    urls = [f"http://{number}/metrics" for number in range(MOST + 10)]
    rig.answers |= dict.fromkeys(urls, says(TEXT))
    rig.scraper.want(urls)
    await rig.until(lambda: len(set(rig.asked)) == MOST)
    await rig.scraper.stop()
    asked = len(rig.asked)
    assert rig.scraper.want([HERE])[0].last is None
    assert len(asyncio.all_tasks()) == 1
    assert len(rig.asked) == asked
    await rig.scraper.stop()


async def test_no_key_is_sent(rig: Rig) -> None:
    seen: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.headers))
        return httpx.Response(200, text=TEXT)

    rig.answers[HERE] = answer
    rig.scraper.want([HERE])
    await rig.asked_again(HERE)
    assert "authorization" not in seen[0]
