"""One trace over three processes: a client, LiteLLM with forebay, and vLLM's server with forebay, which traces itself, too."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from forebay.adapters.otlp.receiver import Receiver
from tests.integration.proxy import FOREBAY, RECORDER, Plan, Proxy
from tests.vllm.serving import EXACT_ONLY, KEYS, Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay.adapters.otlp.spans import Span

SERVER_SPAN: Final = "Received Proxy Server Request"
ENGINE_SPAN: Final = "llm_request"
"""vLLM's own."""
OFTEN: Final = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
CANARY: Final = "xyzzycanary"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as collector:
        yield collector


@pytest.fixture(scope="module")
def server(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    traces = ("--otlp-traces-endpoint", f"{receiver.endpoint}/v1/traces")
    env = {**OFTEN, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_SERVICE_NAME": "vllm"}
    with Server(tmp_path_factory.mktemp("server"), EXACT_ONLY, traces, env=env) as made:
        yield made


@pytest.fixture(scope="module")
def proxy(server: Server, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    params = {"model": "hosted_vllm/tiny", "api_base": f"{server.url}/v1", "api_key": KEYS[0], "max_retries": 0}
    plan = Plan(
        f"{server.url}/v1",
        forebay=yaml.safe_load(EXACT_ONLY),
        callbacks=("otel", FOREBAY, RECORDER),
        litellm={"turn_off_message_logging": True},
        models=[{"model_name": "real", "litellm_params": params}],
        env={**OFTEN, "OTEL_EXPORTER": "otlp_http", "OTEL_ENDPOINT": f"{receiver.endpoint}/v1/traces"},
    )
    with Proxy(tmp_path_factory.mktemp("proxy"), plan) as process:
        yield process


async def asked(proxy: Proxy, receiver: Receiver, text: str, *also: str, **more: Any) -> tuple[str, list[Span]]:
    """Ask as a client that traces; return the id of its span, and all spans of its trace.

    Args:
        also: names of spans that are waited for, besides those that always come.
    """
    trace, client_span = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace}-{client_span}-01"}
    body = {"model": "real", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 8, **more}
    async with proxy.http() as client:
        answer = await client.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    await proxy.settled()

    expected = Counter((SERVER_SPAN, *("forebay.request", "forebay.settle") * 2, *also))

    def arrived(spans: Sequence[Span]) -> bool:
        return expected <= Counter(span.name for span in spans if span.trace_id == trace)

    await asyncio.to_thread(receiver.wait_for, arrived, 30.0)
    return client_span, list(receiver.spans(trace))


def one(spans: Sequence[Span], name: str, under: str | None) -> Span:
    """Return the only span with a name and a parent."""
    (found,) = [span for span in spans if span.name == name and span.parent_id == under]
    return found


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_every_hop_is_under_the_one_before(proxy: Proxy, receiver: Receiver, stream: bool) -> None:
    text = f"Which {CANARY} is the largest in {'Peru' if stream else 'Chile'}?"
    client_span, spans = await asked(proxy, receiver, text, ENGINE_SPAN, stream=stream)
    at_proxy = one(spans, SERVER_SPAN, client_span)
    first = one(spans, "forebay.request", at_proxy.span_id)
    to_server = one(spans, "chat real", first.span_id)
    second = one(spans, "forebay.request", to_server.span_id)
    to_engine = one(spans, "chat tiny", second.span_id)
    engine = one(spans, ENGINE_SPAN, to_engine.span_id)
    for root in (first, second):
        for name in ("forebay.analyze", "forebay.cache.lookup", "forebay.admission", "forebay.settle"):
            one(spans, name, root.span_id)
        assert root.attributes["forebay.outcome"] == "miss"
    assert engine.attributes["gen_ai.usage.completion_tokens"] == 8
    assert CANARY not in repr(spans)


async def test_a_hit_ends_where_it_was_found(proxy: Proxy, server: Server, receiver: Receiver) -> None:
    """Asked of the server by another client first: LiteLLM misses, the server behind it hits, and the engine has no span."""
    text = "What is the capital of France?"
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 24}
    with server.client(authorization=f"Bearer {KEYS[0]}") as direct:
        assert direct.post("/v1/chat/completions", json=body).headers["x-forebay-cache"] == "miss"
    _, spans = await asked(proxy, receiver, text, max_tokens=24)
    outcomes = sorted(str(span.attributes["forebay.outcome"]) for span in spans if span.name == "forebay.request")
    assert outcomes == ["exact", "miss"]
    assert not [span for span in spans if span.name == ENGINE_SPAN]
    assert [span.name for span in spans if span.name.startswith("chat ")] == ["chat real"]
