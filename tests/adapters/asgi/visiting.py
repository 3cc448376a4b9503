"""A client that speaks ASGI itself, so that a test sees each message and leaves when it wants; and a server's lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from forebay.adapters.asgi import ForebayMiddleware
from forebay.middleware.config import parse_config
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.runtime import Runtime

CHAT = "/v1/chat/completions"


class Client:
    """One request, begun when it is made.

    Attributes:
        messages: what came back.
    """

    def __init__(
        self,
        app: Any,
        body: Any = None,
        *,
        path: str = CHAT,
        method: str = "POST",
        key: str | None = None,
        headers: dict[str, str] | None = None,
        cut: Sequence[int] = (),
        spec: str = "2.3",
        more: dict[str, Any] | None = None,
    ) -> None:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"host": "test", **(headers or {})}
        if raw and "content-type" not in sent:
            sent["content-type"] = "application/json"
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        plain, _, query = path.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": spec},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": plain,
            "raw_path": plain.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("10.0.0.1", 1234),
            "server": ("test", 80),
            **(more or {}),
        }
        ends = [0, *sorted(cut), len(raw)]
        self._pieces = [raw[a:b] for a, b in itertools.pairwise(ends)]
        self.gone = asyncio.Event()
        self.heard = asyncio.Event()
        self.messages: list[dict[str, Any]] = []
        self.task: asyncio.Task[None] = asyncio.ensure_future(app(self.scope, self._receive, self._send))

    @classmethod
    async def asks(cls, app: Any, body: Any, **how: Any) -> Client:
        return await cls(app, body, **how).done()

    async def _receive(self) -> dict[str, Any]:
        if self._pieces:
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}
        if not self.complete:
            await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.gone.is_set():
            return
        self.messages.append(dict(message))
        self.heard.set()
        if self.complete:
            self.gone.set()  # as uvicorn has it

    def leave(self) -> None:
        self.gone.set()

    async def done(self) -> Client:
        async with asyncio.timeout(10):
            await self.task
        return self

    @property
    def complete(self) -> bool:
        return bool(self.bodies) and not self.bodies[-1].get("more_body", False)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == "http.response.body"]

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def cache(self) -> str | None:
        return self.headers.get("x-forebay-cache")

    @property
    def raw(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.bodies)

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def chunks(self) -> list[Any]:
        lines = [line.removeprefix("data: ") for line in self.raw.decode().split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]

    @property
    def text(self) -> str:
        if self.headers["content-type"].startswith("text/event-stream"):
            return "".join(
                choice.get("text") or choice.get("delta", {}).get("content") or ""
                for chunk in self.chunks
                for choice in chunk["choices"]
            )
        (choice,) = self.json["choices"]
        return str(choice["message"]["content"] if "message" in choice else choice["text"])


def asked(text: str = "What is a forebay?", **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **more}


def front(app: Any, folder: Path, *plugins: object, **settings: Any) -> ForebayMiddleware:
    """Return a front on in-memory parts."""
    manager = PluginManager.from_entry_points()
    for at, plugin in enumerate(plugins):
        manager.register(plugin, f"test-plugin-{at}")
    merged = {
        "state_dir": str(folder),
        "store": {"type": "memory"},
        "embedder": {"type": "hashing"},
        "cache": {"semantic": "off"},
        **settings,
    }
    return ForebayMiddleware(app, parse_config(merged, environ={}), manager)


@contextlib.asynccontextmanager
async def running(app: Any) -> AsyncGenerator[list[dict[str, Any]]]:
    """Run an app's lifespan; yield what it says."""
    asked_for: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said: list[dict[str, Any]] = []
    news = asyncio.Event()

    async def send(message: Any) -> None:
        said.append(dict(message))
        news.set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task: asyncio.Task[None] = asyncio.ensure_future(app(scope, asked_for.get, send))
    task.add_done_callback(lambda _: news.set())
    await asked_for.put({"type": "lifespan.startup"})
    async with asyncio.timeout(30):
        await news.wait()
    try:
        yield said
    finally:
        await asked_for.put({"type": "lifespan.shutdown"})
        async with asyncio.timeout(30):
            await asyncio.wait([task])


@contextlib.asynccontextmanager
async def fronted(app: Any, folder: Path, *plugins: object, **settings: Any) -> AsyncGenerator[ForebayMiddleware]:
    made = front(app, folder, *plugins, **settings)
    async with running(made) as said:
        assert said == [{"type": "lifespan.startup.complete"}], said
        yield made


def runtime_of(front: ForebayMiddleware) -> Runtime:
    assert front.runtime is not None
    return front.runtime


async def settled(front: ForebayMiddleware) -> None:
    await runtime_of(front).pipeline.drain(10.0)


async def stored(front: ForebayMiddleware) -> int:
    await settled(front)
    return await runtime_of(front).keeper.store.count()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (of several objects at once)
            await asyncio.sleep(0)
