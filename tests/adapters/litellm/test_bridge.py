"""The bridge without a proxy: what it does when a part of it fails, and what it keeps of odd calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import litellm
import pytest

from forebay.adapters.litellm.bridge import Bridge
from forebay.adapters.litellm.endpoints.chat import Chat
from forebay.middleware.config import parse_config
from forebay.middleware.records import Ending, Hit
from forebay.middleware.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SETTINGS: dict[str, Any] = {"store": {"type": "memory"}, "cache": {"semantic": "off"}, "telemetry": {"enabled": False}}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "tiny",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Bridge]:
    made = Bridge(Runtime(parse_config({**SETTINGS, "state_dir": str(tmp_path)}, environ={})))
    await made.started()
    yield made
    await made.stop()
    litellm.cache = None


def data() -> dict[str, Any]:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Who wrote Hamlet?"}]}
    return {**body, "metadata": {}, "proxy_server_request": {"headers": {}, "body": dict(body)}}


async def arrived(bridge: Bridge) -> dict[str, Any]:
    """A request that was looked up and let in."""
    made = data()
    await bridge.begin(SimpleNamespace(api_key="k"), made, "acompletion")
    call = bridge.call_of(made)
    assert call is not None
    await bridge.enter(call, made, "acompletion")
    return made


async def kept(bridge: Bridge) -> None:
    """Keep an answer to the question."""
    first = await arrived(bridge)
    bridge.take_in(first, ANSWER)
    bridge.ended(first, Ending.COMPLETE)
    call = bridge.call_of(first)
    assert call is not None
    await call.flight.settled.wait()


async def test_a_hit_is_handed_out(bridge: Bridge) -> None:
    await kept(bridge)
    again = await arrived(bridge)
    assert await bridge.hand_out(again) == ANSWER
    bridge.ended(again, Ending.COMPLETE)


async def test_a_hit_that_cannot_be_replayed_is_computed(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept(bridge)
    again = await arrived(bridge)
    call = bridge.call_of(again)
    assert call is not None
    assert isinstance(call.flight.lookup, Hit)

    def fail(*_: object) -> object:
        raise RuntimeError

    monkeypatch.setattr(Chat, "hand_out", fail)
    assert await bridge.hand_out(again) is None
    assert call.flight.hit is None
    assert call.flight.lease is not None, "it goes to the engine through the gate"
    bridge.ended(again, Ending.COMPLETE)
    assert bridge.runtime.pipeline.gate.load.inflight == 0


async def test_nothing_that_litellm_brings_makes_it_raise(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await arrived(bridge)

    def fail(*_: object) -> object:
        raise RuntimeError

    monkeypatch.setattr(Chat, "answer", fail)
    bridge.take_in(asked, ANSWER)
    assert await bridge.hand_out({"cache_key": "forebay:fb-1:not-a-number"}) is None
    bridge.ended(asked, Ending.COMPLETE)


async def test_a_retry_is_judged_by_itself(bridge: Bridge) -> None:
    """What an attempt did that failed says nothing about the next one."""
    asked = await arrived(bridge)
    call = bridge.call_of(asked)
    assert call is not None
    bridge.take_in(asked, {"object": "response", "status": "failed"})
    assert call.broken
    bridge.attempt_failed(asked)
    await bridge.enter(call, asked, "acompletion")
    bridge.take_in(asked, ANSWER)
    assert call.flight.answer is not None
    bridge.ended(asked, Ending.COMPLETE)


async def test_calls_inside_a_call_take_no_place(bridge: Bridge) -> None:
    asked = await arrived(bridge)
    call = bridge.call_of(asked)
    assert call is not None
    lease = call.flight.lease
    await bridge.enter(call, asked, "aresponses")
    assert call.flight.lease is lease
    bridge.ended(asked, Ending.COMPLETE)


async def test_a_cache_that_litellm_sets_up_later_is_wrapped(bridge: Bridge) -> None:
    theirs: Any = litellm.cache
    litellm.cache = None
    asked = await arrived(bridge)
    assert litellm.cache is bridge.cache
    assert litellm.cache is not theirs
    bridge.ended(asked, Ending.COMPLETE)
