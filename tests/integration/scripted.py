"""An engine that sends scripted bytes, right or wrong, on a loopback port, in a thread of its own.

It speaks just enough HTTP/1.1 for one request a connection, so that a script may also break the protocol.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SSE = "text/event-stream"
JSON = "application/json"

End = Literal["clean", "cut", "cut_on_cue", "hold"]


@dataclass(frozen=True, slots=True)
class Wire:
    """What the engine sends.

    Attributes:
        pieces: the body, each piece written on its own.
        end: the body ends as it should; or the connection breaks before it does, at once or when the test says so;
            or nothing more comes until the other side leaves.
    """

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: str = JSON
    end: End = "clean"


@dataclass(slots=True)
class Sent:
    """One request the engine got, and how far its answer came."""

    prompt: str
    pieces: int = 0
    left: bool = False
    cue: asyncio.Event = field(default_factory=asyncio.Event)


class NotReachedError(AssertionError):
    """The requests with a prompt did not come to a state in time."""


class ScriptedEngine:
    """The engine; it runs while its ``with`` block is open.

    Args:
        prompt_of: finds the prompt in a request's body: what to send depends on it.
    """

    def __init__(self, prompt_of: Callable[[dict[str, Any]], str]) -> None:
        self.calls: list[Sent] = []
        self.port = 0
        self._prompt_of = prompt_of
        self._wires: dict[str, list[Wire]] = {}
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="scripted engine", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)

    def on(self, prompt: str, *wires: Wire) -> None:
        """Send these in turn for this prompt; the last one is repeated."""
        self._wires[prompt] = list(wires)

    def of(self, prompt: str) -> list[Sent]:
        """Return the requests with this prompt."""
        with self._changed:
            return [call for call in self.calls if call.prompt == prompt]

    def cue(self, prompt: str) -> None:
        """Break the connections that wait for it."""
        for call in self.of(prompt):
            self._loop.call_soon_threadsafe(call.cue.set)

    async def until(self, prompt: str, reached: Callable[[list[Sent]], bool], timeout_s: float = 20.0) -> None:
        """Wait until the requests with this prompt satisfy a condition; raises `NotReachedError` if they do not."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(
                    lambda: reached([call for call in self.calls if call.prompt == prompt]), timeout_s
                )

        if not await asyncio.to_thread(wait):
            msg = f"not reached after {timeout_s} s by the engine on port {self.port}: {self.of(prompt)}"
            raise NotReachedError(msg)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._closing.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if head.startswith("get "):  # LiteLLM looks which models there are
                return
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            prompt = self._prompt_of(json.loads(await reader.readexactly(length)))
            call = Sent(prompt)
            with self._changed:
                self.calls.append(call)
                self._changed.notify_all()
            wires = self._wires[prompt]
            await self._send(wires.pop(0) if len(wires) > 1 else wires[0], call, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _send(self, wire: Wire, call: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 {wire.status} Scripted\r\ncontent-type: {wire.content_type}\r\n"
            "transfer-encoding: chunked\r\nconnection: close\r\n\r\n".encode()
        )
        for piece in wire.pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            self._note(call, pieces=call.pieces + 1)
        if wire.end == "clean":
            writer.write(b"0\r\n\r\n")
        if wire.end == "cut_on_cue":
            await call.cue.wait()
        if wire.end == "hold":
            await reader.read()  # returns when the other side closes
            self._note(call, left=True)
        await writer.drain()

    def _note(self, call: Sent, **what: Any) -> None:
        with self._changed:
            for name, value in what.items():
                setattr(call, name, value)
            self._changed.notify_all()
