"""Request analysis in a real proxy: what is found out about a request, and what is learned from its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from forebay.adapters.otlp.receiver import Receiver
from forebay.middleware.state import StateStore
from tests.integration.proxy import Plan, Proxy
from tests.integration.reading import ask, question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay.adapters.otlp.spans import Span
    from tests.integration.upstream import Upstream

pytestmark = pytest.mark.slow

ASKED: Final = 6


def settings(endpoint: str) -> dict[str, Any]:
    exporter = {"type": "otlp", "endpoint": endpoint, "sample_ratio": 1.0}
    return {
        "store": {"type": "memory"},
        "cache": {"lookup_deadline_ms": 5000},
        "telemetry": {"exporter": exporter},
        "classifiers": {
            "priority": {"rules": [{"name": "report", "header": {"x-app": "report-*"}, "priority": "batch"}]}
        },
    }


def spans_of(receiver: Receiver, name: str, count: int) -> Sequence[Span]:
    found = receiver.wait_for(lambda spans: sum(span.name == name for span in spans) >= count, 20.0)
    return [span for span in found if span.name == name]


def numbers(spans: Sequence[Span], name: str) -> list[float]:
    """Return an attribute of each span."""
    return [float(str(span.attributes[name])) for span in spans]


def predictions(proxy: Proxy) -> list[dict[str, Any]]:
    """Return what `forebay predictions` says of a proxy's state folder."""
    command = [sys.executable, "-m", "forebay", "predictions", "--json"]
    environment = {"PATH": "", "FOREBAY__STATE_DIR": str(proxy.state_dir)}
    shown = subprocess.run(command, env=environment, cwd=proxy.folder, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    rows: list[dict[str, Any]] = json.loads(shown.stdout)
    return rows


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as collector:
        yield collector


async def test_facts_are_in_the_trace_and_outcomes_are_learned(
    upstream: Upstream, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = Plan(upstream.url, forebay=settings(receiver.endpoint), env={"OTEL_BSP_SCHEDULE_DELAY": "100"})
    with Proxy(tmp_path_factory.mktemp("analysis"), plan) as proxy:
        async with proxy.client() as client:
            for at in range(ASKED):
                body = question(f"Name the capital of country number {at}.", stream=at % 2 == 1)
                assert (await ask(client, body)).status == "miss"
                await proxy.settled()
            await ask(client, question("What is my account balance?"), headers={"x-app": "report-7"})
            await ask(client, question("Name an ocean."), headers={"x-forebay-priority": "background"})
            await proxy.settled()
        analyzed = spans_of(receiver, "forebay.analyze", ASKED + 2)
        predicted = spans_of(receiver, "forebay.predict", ASKED + 2)
        proxy.terminate(20.0)  # what was learned is written on the way out

    classes = [(span.attributes["forebay.priority"], span.attributes["forebay.priority.reason"]) for span in analyzed]
    assert classes[:2] == [("standard", "default"), ("interactive", "stream")]
    assert classes[-2:] == [("batch", "rule:report"), ("background", "header")]
    assert analyzed[-2].attributes["forebay.volatility"] == "personal"
    assert analyzed[-2].attributes["forebay.analyze.cacheable"] is True
    assert analyzed[-2].attributes["forebay.strategy"] == "offline"
    assert not [span for span in (*analyzed, *predicted) if "forebay.facts.absent" in span.attributes]
    assert min(numbers(predicted, "forebay.length.median")) > 0
    first, *_, last = numbers(predicted, "forebay.length.confidence")
    assert last > first

    state = StateStore(proxy.state_dir / "state.db")
    assert state.load("learned:predictors.length") is not None
    state.close()
    rows = [row for row in predictions(proxy) if row["part"] == "predictors.length"]
    assert rows[0]["n"] >= ASKED
