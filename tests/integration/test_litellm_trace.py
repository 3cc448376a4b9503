"""One trace from the client to the engine, and telemetry that never holds a request up."""

from __future__ import annotations

import asyncio
import secrets
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from forebay.adapters.otlp.receiver import Receiver
from tests.integration.proxy import FOREBAY, RECORDER, Plan, Proxy, free_port
from tests.integration.reading import ask, question
from tests.integration.upstream import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay.adapters.otlp.spans import Span
    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

CANARY: Final = "xyzzycanary"
SERVER_SPAN: Final = "Received Proxy Server Request"
SETTINGS: Final[dict[str, Any]] = {
    "cache": {"semantic": "serve", "lookup_deadline_ms": 5000},
    "store": {"type": "memory"},
    "acceptance": {"type": "threshold"},
}
OFTEN: Final = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
PAIRS: Final = 60


def exporting(endpoint: str) -> dict[str, Any]:
    return {**SETTINGS, "telemetry": {"exporter": {"type": "otlp", "endpoint": endpoint, "sample_ratio": 1.0}}}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(upstream: Upstream, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM traces, too: forebay uses its provider."""
    plan = Plan(
        upstream.url,
        forebay=SETTINGS,
        callbacks=("otel", FOREBAY, RECORDER),
        litellm={"turn_off_message_logging": True},
        env={**OFTEN, "OTEL_EXPORTER": "otlp_http", "OTEL_ENDPOINT": f"{receiver.endpoint}/v1/traces"},
    )
    with Proxy(tmp_path_factory.mktemp("traced"), plan) as process:
        yield process


@pytest.fixture(scope="module")
def own(upstream: Upstream, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Only forebay traces, through its own exporter."""
    plan = Plan(upstream.url, forebay=exporting(receiver.endpoint), env=OFTEN)
    with Proxy(tmp_path_factory.mktemp("own"), plan) as process:
        yield process


class Trace:
    """A trace of the client, and what arrived of it."""

    def __init__(self, receiver: Receiver) -> None:
        self.id = secrets.token_hex(16)
        self.client_span = secrets.token_hex(8)
        self._receiver = receiver

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.id}-{self.client_span}-01"}

    def until(self, *names: str) -> dict[str, Span]:
        """Wait until spans with these names have arrived; return all spans of the trace by name."""

        def arrived(spans: Sequence[Span]) -> bool:
            return set(names) <= {span.name for span in spans if span.trace_id == self.id}

        spans = self._receiver.wait_for(arrived, 20.0)
        return {span.name: span for span in spans if span.trace_id == self.id}


async def test_one_trace_from_the_client_to_the_engine(traced: Proxy, upstream: Upstream, receiver: Receiver) -> None:
    trace = Trace(receiver)
    text = f"Which {CANARY} is the largest in Chile?"
    async with traced.client() as client:
        await ask(client, question(f"Which {CANARY} is the largest in Peru?"))
        await traced.settled()
        assert (await ask(client, question(text), headers=trace.headers)).status == "miss"
    await traced.settled()
    spans = trace.until(SERVER_SPAN, "forebay.request", "forebay.settle")

    root = spans["forebay.request"]
    assert spans[SERVER_SPAN].parent_id == trace.client_span
    assert root.parent_id == spans[SERVER_SPAN].span_id
    for name in ("forebay.analyze", "forebay.cache.lookup", "forebay.admission", "chat tiny", "forebay.settle"):
        assert spans[name].parent_id == root.span_id, name
    lookup = spans["forebay.cache.lookup"]
    (embed,) = [span for name, span in spans.items() if name.startswith("embeddings ")]
    for span in (embed, spans["search"], spans["forebay.cache.verify"]):
        assert span.parent_id == lookup.span_id, span.name
    (call,) = upstream.of(text)
    assert call.headers["traceparent"] == f"00-{trace.id}-{spans['chat tiny'].span_id}-01"

    assert spans["chat tiny"].kind == "client"
    assert spans["chat tiny"].attributes["gen_ai.usage.input_tokens"] == 11
    assert lookup.attributes["forebay.cache.decision"] == "miss"
    assert root.attributes["forebay.outcome"] == "miss"
    assert spans["forebay.settle"].attributes["forebay.write.outcome"] == "stored"
    ours = [span for span in spans.values() if span.name.startswith(("forebay", "chat", "search", "embeddings"))]
    assert CANARY not in repr(ours)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_hit_has_no_inference_span(traced: Proxy, upstream: Upstream, receiver: Receiver, stream: bool) -> None:
    text = f"Which sea is salty {stream}?"
    trace = Trace(receiver)
    async with traced.client() as client:
        await ask(client, question(text))
        await traced.settled()
        assert (await ask(client, question(text, stream=stream), headers=trace.headers)).status == "exact"
    spans = trace.until(SERVER_SPAN, "forebay.request", "forebay.settle")
    assert not [name for name in spans if name.startswith("chat ")]
    assert spans["forebay.cache.lookup"].attributes["forebay.cache.mode"] == "exact"
    assert len(upstream.of(text)) == 1


async def test_own_exporter(own: Proxy, upstream: Upstream, receiver: Receiver) -> None:
    trace = Trace(receiver)
    text = f"Say {CANARY} in French."
    upstream.on(text, Reply(text=f"le {CANARY}"))
    async with own.client() as client:
        await ask(client, question(text, stream=True), headers=trace.headers)
    await own.settled()
    spans = trace.until("forebay.request", "chat tiny", "forebay.settle")
    assert spans["forebay.request"].parent_id == trace.client_span
    assert spans["forebay.request"].service == "forebay"
    assert {spans[name].parent_id for name in spans if name != "forebay.request"} == {
        spans["forebay.request"].span_id
    } | {
        spans["forebay.settle"].span_id  # of the question's vector, made when the answer was kept
    }
    (call,) = upstream.of(text)
    assert call.headers["traceparent"] == f"00-{trace.id}-{spans['chat tiny'].span_id}-01"
    assert CANARY not in repr(receiver.spans(trace.id))
    assert CANARY not in own.log


async def test_a_failed_call_is_an_error_in_the_trace(own: Proxy, upstream: Upstream, receiver: Receiver) -> None:
    trace = Trace(receiver)
    upstream.on("fail, please", Reply(status=500))
    async with own.http() as client:
        body = {"model": "tiny", **question("fail, please")}
        await client.post("/v1/chat/completions", json=body, headers=trace.headers)
    await own.settled()
    spans = trace.until("forebay.request", "chat tiny", "forebay.settle")
    assert spans["chat tiny"].error
    assert spans["forebay.request"].attributes["forebay.ending"] == "failed"


async def test_a_receiver_in_trouble_holds_nothing_up(
    own: Proxy, upstream: Upstream, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Pairs of requests in turn to a proxy whose receiver is well and to one whose receiver is not; then both stop."""
    port = free_port()
    plan = Plan(upstream.url, forebay=exporting(f"http://127.0.0.1:{port}"), env=OFTEN)
    differences: dict[str, float] = {}
    with Proxy(tmp_path_factory.mktemp("troubled"), plan) as troubled:
        differences["down"] = await compare(own, troubled, "down")
        with Receiver(port=port, delay_s=0.5):
            differences["slow"] = await compare(own, troubled, "slow")
        with Receiver(port=port, hang=True):
            differences["hanging"] = await compare(own, troubled, "hanging")
            stopped_s = await last_words(troubled, Trace(receiver))
    assert max(differences.values()) < 0.005, differences
    trace = Trace(receiver)
    assert stopped_s < await last_words(own, trace) + 2.0
    assert "forebay.settle" in trace.until("forebay.request")


async def last_words(proxy: Proxy, trace: Trace) -> float:
    """Stop a proxy that still has spans to send; return how many seconds it took."""
    async with proxy.http() as client:
        body = {"model": "tiny", **question("Any last words?")}
        await client.post("/v1/chat/completions", json=body, headers=trace.headers)
    return await asyncio.to_thread(proxy.terminate, 60)


async def compare(well: Proxy, troubled: Proxy, name: str) -> float:
    """Return the median of the paired differences in seconds."""
    differences: list[float] = []
    async with well.http() as one, troubled.http() as other:
        for at in range(-5, PAIRS):
            took: list[float] = []
            for client in (one, other) if at % 2 else (other, one):
                body = {"model": "tiny", **question(f"Name the {at}. star of {name}.")}
                began = perf_counter()
                (await client.post("/v1/chat/completions", json=body)).raise_for_status()
                took.append(perf_counter() - began)
            if at >= 0:  # the first ones open connections
                differences.append(took[1] - took[0] if at % 2 else took[0] - took[1])
    return median(differences)
