"""What a server knows of the call that it is handling, for the engine that it asks.

An engine is given token ids; which messages they were made of, who asks, and under which conditions, the server knows. It
travels in a context variable, beside the call.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...middleware.records import EMPTY, Controls

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from ...middleware.errors import ShedError
    from ...middleware.flight import Flight
    from ...middleware.records import JsonObject


@dataclass(slots=True)
class Call:
    """One call. What it is about is given; what became of it, the engine writes.

    Attributes:
        messages: of a chat, in OpenAI's form; without them a prompt is answered from the cache only where its tokens are equal.
        params: the body's other fields, by which the prompt was made of the messages and the answer is sampled.
        tenant: who may share answers with whom.
        labels, hints, controls, deadline_s: see `Request`.
        trace: the caller's ``traceparent`` and ``tracestate``; the engine is told of them only where it traces, too.
        answers_refusals: the server answers a refused request with its status by itself, even one whose answer is a stream.
        flights: what forebay knows of each prompt of the call.
        decided: whether each of them goes on, set with the first.
        shed: why one was refused.
    """

    messages: Sequence[JsonObject] = ()
    params: JsonObject = field(default_factory=lambda: EMPTY)
    tenant: str = "default"
    controls: Controls = field(default_factory=Controls)
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    hints: Mapping[str, str] = field(default_factory=dict[str, str])
    deadline_s: float | None = None
    trace: Mapping[str, str] = field(default_factory=dict[str, str])
    answers_refusals: bool = False
    flights: list[Flight] = field(default_factory=list["Flight"])
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    shed: ShedError | None = None


CALL: ContextVar[Call | None] = ContextVar("forebay_vllm_call", default=None)


@contextmanager
def calling(call: Call) -> Generator[Call]:
    """Say what the engine calls inside are about.

    Example::

        with calling(Call(messages=messages, tenant=user)):
            async for output in engine.generate(prompt, params, request_id): ...
    """
    token = CALL.set(call)
    try:
        yield call
    finally:
        CALL.reset(token)
