"""Asking a running pipeline, and reading what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forebay.testing import ScriptedEngine, chat
from tests.middleware.parts import settled

if TYPE_CHECKING:
    from forebay.middleware.pipeline import Reply
    from forebay.middleware.runtime import Runtime

SEMANTIC = {"cache": {"semantic": "serve"}, "acceptance": {"type": "threshold", "threshold": 0.5}}
QUESTION = "What is a forebay?"
SIMILAR = "What is a forebay, please?"


def text_of(reply: Reply) -> str:
    assert reply.body is not None
    return str(reply.body["choices"][0]["message"]["content"])


async def read(reply: Reply) -> list[Any]:
    assert reply.chunks is not None
    return [chunk async for chunk in reply.chunks]


def text_in(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def ask(runtime: Runtime, *texts: str, engine: ScriptedEngine | None = None, **params: Any) -> Reply:
    """Send a request, whole, and let it settle."""
    reply = await runtime.pipeline.handle(chat(*texts, **params), engine or ScriptedEngine(["fresh"]))
    await settled(runtime)
    return reply


async def stored(runtime: Runtime) -> int:
    return await runtime.keeper.store.count()
