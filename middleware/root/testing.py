"""For tests of plugins: a scripted engine, and requests and runtimes that need nothing installed.

Example::

    async with started({"store": {"type": "memory"}}) as runtime:
        reply = await runtime.pipeline.handle(chat("hello"), ScriptedEngine(["hi"]))
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import uuid
from typing import TYPE_CHECKING, Any

from forebay.middleware.chat import answer_of, replay
from forebay.middleware.config import parse_config
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.records import Controls, Request
from forebay.middleware.runtime import Runtime

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping

    from forebay.middleware.records import Answer, JsonObject

__all__ = ["ScriptedEngine", "chat", "completion", "started"]


def chat(*texts: str, tenant: str = "tests", stream: bool = False, **params: Any) -> Request:
    """Return a chat request.

    Args:
        texts: turns, user and assistant in turn, the last by the user.
        params: body fields; ``system`` makes a system message, ``controls`` a `Controls`.
    """
    system = params.pop("system", None)
    controls = params.pop("controls", Controls())
    model = params.pop("model", "test-model")
    messages: list[JsonObject] = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    first = (len(texts) + 1) % 2
    messages += [{"role": roles[(at + first) % 2], "content": text} for at, text in enumerate(texts)]
    return Request(
        id=uuid.uuid4().hex,
        model=model,
        messages=messages,
        params=params,
        tenant=tenant,
        stream=stream,
        controls=controls,
    )


def completion(content: str | None, *, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Return an OpenAI ``chat.completion`` object."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:12]}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "test-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


class ScriptedEngine:
    """An engine that answers from a script and counts its calls.

    Args:
        script: texts, whole ``chat.completion`` objects, or exceptions to raise; the last one is repeated.
        gate: when given, every call waits for it: to hold calls inside the engine.
    """

    def __init__(
        self, script: Iterable[str | Mapping[str, Any] | Exception] = ("ok",), *, gate: asyncio.Event | None = None
    ) -> None:
        items = list(script)
        self._script = itertools.chain(items, itertools.repeat(items[-1]))
        self._gate = gate
        self.calls: list[Request] = []
        self.headers: list[Mapping[str, str]] = []
        self.running = 0
        self.most_running = 0

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return the next answer of the script.

        Raises:
            EngineError: or whatever the script says.
        """
        return answer_of(await self._next(request, headers))

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncIterator[JsonObject]:
        """Yield the next answer of the script as chunks."""
        body = await self._next(request, headers)
        for chunk in replay(body, include_usage=True):
            yield chunk

    async def _next(self, request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
        self.calls.append(request)
        self.headers.append(headers)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self._gate is not None:
                await self._gate.wait()
            step = next(self._script)
        finally:
            self.running -= 1
        if isinstance(step, Exception):
            raise step
        return completion(step) if isinstance(step, str) else dict(step)


@contextlib.asynccontextmanager
async def started(settings: Mapping[str, Any] | None = None, *plugins: object) -> AsyncGenerator[Runtime]:
    """Run a runtime on in-memory parts in a folder of its own.

    Args:
        settings: config on top of the in-memory defaults.
        plugins: plugin objects to register beside the built-ins.
    """
    manager = PluginManager.from_entry_points()
    for at, plugin in enumerate(plugins):
        manager.register(plugin, f"test-plugin-{at}")
    with tempfile.TemporaryDirectory() as folder:
        merged: dict[str, Any] = {
            "state_dir": folder,
            "store": {"type": "memory"},
            "embedder": {"type": "hashing"},
            **(settings or {}),
        }
        runtime = Runtime(parse_config(merged, environ={}), manager)
        await runtime.start()
        try:
            yield runtime
        finally:
            await runtime.stop()
