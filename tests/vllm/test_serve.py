"""``forebay vllm serve`` as a process: vLLM's own server, a real model, and forebay between."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.vllm.serving import EXACT_ONLY, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY: Final = {"authorization": "Bearer right"}
CONFIG: Final = f"{EXACT_ONLY}admission: {{max_queue: 2}}\n"
OWN: Final = ("id", "created")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("serve"), CONFIG) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client(**KEY) as made:
        yield made


def body(text: str = "What is the capital of France?", **more: Any) -> dict[str, Any]:
    fields = {"model": "tiny", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 24}
    return {**fields, **more}


def ask(client: httpx.Client, asked: dict[str, Any], path: str = "/v1/chat/completions") -> httpx.Response:
    answer = client.post(path, json=asked)
    assert answer.status_code == 200, answer.text
    return answer


def without_own(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in OWN}


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [without_own(json.loads(line)) for line in lines[:-1]]


def gauge(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    (value,) = [line.rpartition(" ")[2] for line in lines if line.startswith(name)]
    return float(value)


def until(what: str, holds: Any) -> None:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


def test_a_second_chat_is_the_first_ones_answer(client: httpx.Client) -> None:
    first, second = ask(client, body()), ask(client, body())
    assert first.headers["x-forebay-cache"] == "miss"
    assert second.headers["x-forebay-cache"] == "exact"
    assert second.headers["x-forebay-id"] != first.headers["x-forebay-id"]
    one, two = first.json(), second.json()
    assert one["choices"][0]["message"]["content"] == "The capital of France is Paris."
    assert without_own(one) == without_own(two)
    assert one["id"] != two["id"]


@pytest.mark.parametrize("usage", [True, False])
def test_a_kept_answer_streams_as_the_engine_did(client: httpx.Client, usage: bool) -> None:
    country = "Italy" if usage else "Spain"
    asked = body(f"What is the capital of {country}?", stream=True, stream_options={"include_usage": usage})
    asked |= {"stop": ["."], "max_tokens": 100}  # what the model says, and for how long, differs between CPUs
    made, kept = ask(client, asked), ask(client, asked)
    assert made.headers["x-forebay-cache"] == "miss"
    assert kept.headers["x-forebay-cache"] == "exact"

    def said(response: httpx.Response) -> tuple[str, Any, Any]:
        found = chunks(response)
        choices = [chunk["choices"][0] for chunk in found if chunk["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        return text, choices[-1]["finish_reason"], found[-1].get("usage")

    assert said(kept) == said(made)
    assert (said(kept)[2] is not None) == usage


def test_a_text_completion_is_kept_too(client: httpx.Client) -> None:
    asked = {"model": "tiny", "prompt": "The capital of France is", "stop": ["."], "temperature": 0, "logprobs": 2}
    asked |= {"max_tokens": 100}
    first, second = ask(client, asked, "/v1/completions"), ask(client, asked, "/v1/completions")
    assert second.headers["x-forebay-cache"] == "exact"
    assert without_own(second.json()) == without_own(first.json())


def test_a_kept_answer_is_for_those_whom_the_server_knows(server: Server, client: httpx.Client) -> None:
    ask(client, body("Who may ask?"))
    for key in ({}, {"authorization": "Bearer wrong"}):
        with server.client(**key) as stranger:
            answer = stranger.post("/v1/chat/completions", json=body("Who may ask?"))
            assert answer.status_code == 401
            assert not any(name.startswith("x-forebay") for name in answer.headers)
            assert stranger.get("/forebay/status").status_code == 401
    with server.client(authorization="Bearer other") as other:  # known, but another tenant
        assert ask(other, body("Who may ask?")).headers["x-forebay-cache"] == "miss"


def test_a_wrong_request_gets_vllms_own_error(client: httpx.Client) -> None:
    for wrong in (body(temperature=-1), body(model="nobody")):
        answer = client.post("/v1/chat/completions", json=wrong)
        assert answer.status_code in (400, 404)
        assert "error" in answer.json()
    assert client.post("/v1/chat/completions", content=b"{").status_code in (400, 422)


def test_the_metrics_of_both_are_on_one_page(client: httpx.Client) -> None:
    ask(client, body("For the metrics."))
    text = client.get("/metrics").text
    for name in (
        'vllm:num_requests_running{engine="0"',
        'forebay_requests_total{ending="complete",status="miss"}',
        'forebay_engine_running{engine="0"}',
        'forebay_engine_kv_usage{engine="0"}',
        'forebay_engine_places{lane=""} 4.0',
        "forebay_cache_lookup_duration_seconds_bucket",
        'gen_ai_server_time_to_first_token_seconds_count{gen_ai_operation_name="chat"',
    ):
        assert name in text, name
    assert 'le="0.001"' in next(line for line in text.splitlines() if "cache_lookup_duration_seconds_bucket" in line)


def test_the_status_says_what_there_is(client: httpx.Client) -> None:
    found = client.get("/forebay/status").json()
    assert found["ready"]
    assert found["requests"]["exact"] >= 1
    assert found["components"]["limit"] == "goodput"
    assert found["problems"] == []


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_is_gone_from_the_engine(client: httpx.Client, server: Server, stream: bool) -> None:
    long = body(f"Tell a long story, {stream}.", max_tokens=1500, ignore_eos=True, stream=stream)
    with server.client(**KEY) as leaver:
        if stream:
            with leaver.stream("POST", "/v1/chat/completions", json=long) as answer:
                assert answer.headers["x-forebay-cache"] == "miss"
                next(answer.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                leaver.post("/v1/chat/completions", json=long, timeout=1.0)
    until("the engine works on", lambda: gauge(client, 'vllm:num_requests_running{engine="0"') == 0)
    until("forebay waits for it", lambda: client.get("/forebay/status").json()["load"]["inside"] == 0)
    assert client.get("/forebay/status").json()["load"]["inflight"] == 0


def test_what_finds_no_room_is_refused_with_its_status(client: httpx.Client) -> None:
    """Four places and two that may wait: of nine, three are refused, streams, too."""

    def one(at: int) -> httpx.Response:
        asked = body(f"Count to {at}.", max_tokens=60, ignore_eos=True, stream=at % 2 == 0)
        return client.post("/v1/chat/completions", json=asked)

    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(one, range(9)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 1 <= len(refused) <= 3
    for answer in refused:
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["x-forebay-cache"] == "shed"
        assert answer.json()["error"]["code"] == "queue_full"


def test_a_kept_answer_is_given_while_all_places_are_taken(client: httpx.Client, server: Server) -> None:
    ask(client, body("What is the capital of Germany?"))

    def one(at: int) -> int:
        with server.client(**KEY) as own:
            asked = body(f"Rush {at}.", max_tokens=120, ignore_eos=True)
            return own.post("/v1/chat/completions", json=asked).status_code

    with ThreadPoolExecutor(8) as pool:
        rush = [pool.submit(one, at) for at in range(8)]
        until("nobody waits", lambda: client.get("/forebay/status").json()["load"]["queued"] > 0)
        began = time.monotonic()
        hit = ask(client, body("What is the capital of Germany?"))
        took_s = time.monotonic() - began
        assert hit.headers["x-forebay-cache"] == "exact"
        assert client.get("/forebay/status").json()["load"]["queued"] > 0, f"the rush was over; the hit took {took_s} s"
        assert {each.result() for each in rush} <= {200, 429}


def test_a_signal_ends_it_and_nothing_stays(server: Server) -> None:
    """The last test here: the server is gone afterwards."""
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0, server.log
    until("processes stay", lambda: server.left() == [])
