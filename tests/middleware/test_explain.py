"""Explanations of requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forebay.middleware.events import Decision, Finished
from forebay.middleware.explain import Explainer, explanation_of
from forebay.middleware.records import CacheStatus, Ending
from forebay.middleware.state import StateStore
from forebay.testing import ScriptedEngine, chat, started
from tests.middleware.parts import settled

if TYPE_CHECKING:
    from pathlib import Path

FINISHED = Finished(
    request_id="r",
    model="m",
    tenant="tenant-canary",
    status=CacheStatus.MISS,
    ending=Ending.COMPLETE,
    duration_s=0.123456789,
    input_tokens=7,
    output_tokens=3,
    miss_reason="below_threshold",
    decisions=(
        Decision("r", "lookup", "miss", "below_threshold", {"similarity": 0.5}),
        Decision("r", "settle", "stored"),
    ),
)


def test_an_explanation_says_what_was_decided_and_why() -> None:
    assert explanation_of(FINISHED) == {
        "request_id": "r",
        "model": "m",
        "status": "miss",
        "ending": "complete",
        "miss_reason": "below_threshold",
        "duration_s": 0.123457,
        "input_tokens": 7,
        "output_tokens": 3,
        "decisions": [
            {"stop": "lookup", "choice": "miss", "reason": "below_threshold", "similarity": 0.5},
            {"stop": "settle", "choice": "stored", "reason": ""},
        ],
    }


def test_it_is_json_and_does_not_name_the_tenant() -> None:
    assert "tenant-canary" not in json.dumps(explanation_of(FINISHED))


def test_the_explainer_keeps_it(tmp_path: Path) -> None:
    state = StateStore(tmp_path / "state.db")
    Explainer(state).request_finished(FINISHED)
    assert state.flush()
    assert state.explanation("r") == explanation_of(FINISHED)
    state.close()


async def test_every_request_can_be_explained_afterwards_and_holds_no_text() -> None:
    async with started() as runtime:
        requests = [chat("prompt-canary"), chat("prompt-canary")]
        for request in requests:
            await runtime.pipeline.handle(request, ScriptedEngine(["answer-canary"]))
            await settled(runtime)
        assert runtime.state.flush()
        found = [runtime.state.explanation(request.id) for request in requests]
    assert [explanation["status"] for explanation in found if explanation is not None] == ["miss", "exact"]
    assert "canary" not in json.dumps(found)
