"""A crowd of clients that leave at random moments, and what is seen of it at both ends."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tests.integration.upstream import Hold, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    import httpx

    from tests.integration.asking import Endpoint
    from tests.integration.proxy import Proxy
    from tests.integration.upstream import Call, Upstream

AT_ONCE: Final = 40
"""Units of the crowd that go on at the same time; a unit is one client, or four twins."""
STAYED: Final = "stayed"
BEAT_S: Final = 0.02


@dataclass(slots=True)
class Client:
    """One client of the crowd.

    Attributes:
        text: the words it has read; `pieces` more of them set `heard`.
        cache: what forebay says its cache did.
        whole: it has read its answer to the end.
        left_at: where it was when it left, `STAYED` where it did not.
        left_s: when it left.
        held: the engine ends its call only where the connection closes, or the test lets it.
    """

    name: str
    prompt: str
    stream: bool
    text: str = ""
    status: int = 0
    cache: str = ""
    whole: bool = False
    pieces: int = 0
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    left_at: str = STAYED
    left_s: float = 0.0
    held: bool = False


class Watch:
    """Sees when calls come to the engine, and when they end. Used from the thread that waits for the engine."""

    def __init__(self) -> None:
        self.over = False
        self.ended_s: dict[int, float] = {}
        self._loop = asyncio.get_running_loop()
        self._came: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._seen = 0
        self._open: list[Call] = []

    async def came(self, prompt: str) -> None:
        """Wait until the engine is asked this."""
        await asyncio.wait_for(self._came[prompt].wait(), 60)

    def __call__(self, calls: Sequence[Call]) -> bool:
        """Take note; return whether all is over."""
        for call in calls[self._seen :]:
            self._open.append(call)
            self._loop.call_soon_threadsafe(self._set, call.prompt)
        self._seen = len(calls)
        for call in self._open:
            if call.left or call.done:
                self.ended_s[id(call)] = monotonic()
        self._open = [call for call in self._open if id(call) not in self.ended_s]
        return self.over and not self._open

    def _set(self, prompt: str) -> None:
        self._came[prompt].set()


class Lateness:
    """Notes when this process's loop was late: the engine, in a thread of the same process, was late then, too."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            due = monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            if monotonic() - due > BEAT_S:
                self.spans.append((due, monotonic()))

    def stop(self) -> None:
        self._task.cancel()


def outside(began: float, ended: float, spans: Sequence[tuple[float, float]]) -> float:
    """Return how much of a time, in seconds, is in none of these spans, which may overlap."""
    inside, at = 0.0, began
    for start, end in sorted(spans):
        inside += max(0.0, min(end, ended) - max(start, at))
        at = max(at, min(end, ended))
    return ended - began - inside


class Crowd:
    """Everybody, and what each of them does."""

    def __init__(
        self, endpoint: Endpoint, proxy: Proxy, upstream: Upstream, http: httpx.AsyncClient, seed: int
    ) -> None:
        self.clients: list[Client] = []
        self.answers: dict[str, str] = {}
        self.watch = Watch()
        self.late = Lateness()
        self._endpoint = endpoint
        self._proxy = proxy
        self._upstream = upstream
        self._http = http
        self._dice = random.Random(seed)
        self._name = f"{endpoint.name} {proxy.port}"

    async def run(self) -> None:
        """Let all come and go."""
        units: list[Callable[[], Coroutine[Any, Any, None]]] = [
            *[self._impatient] * 240,
            *[self._queued] * 180,
            *[self._before] * 160,
            *[self._midway] * 160,
            *[self._leader] * 40,
            *[self._stays] * 100,
        ]
        self._dice.shuffle(units)
        room = asyncio.Semaphore(AT_ONCE)

        async def one(unit: Callable[[], Coroutine[Any, Any, None]]) -> None:
            async with room:
                await unit()

        await asyncio.gather(*(one(unit) for unit in units))

    async def ask(self, prompt: str) -> Client:
        """Ask as one who stays and does not belong to the crowd."""
        client = Client(f"another {self._name}", prompt, self._dice.random() < 0.5)
        await self._read(client)
        return client

    def closed(
        self, phases: Sequence[str], stopped: Sequence[tuple[float, float]]
    ) -> list[tuple[float, float, str, str]]:
        """Return how long after its client had left a call to the engine was over, sorted.

        Only calls count that the engine would not have ended by itself.

        Args:
            stopped: spans of time in which the proxy could not run.

        Returns:
            seconds in which proxy and engine could run, seconds in all, phase, name.
        """
        calls = {call.prompt: call for call in reversed(self._upstream.calls)}  # the first for each prompt
        spans = [*((began, ended) for began, ended in stopped), *self.late.spans]  # JSON knows no tuples
        took: list[tuple[float, float, str, str]] = []
        for client in self.clients:
            if client.held and client.left_at in phases:
                left, ended = client.left_s, self.watch.ended_s[id(calls[client.prompt])]
                took.append((outside(left, ended, spans), ended - left, client.left_at, client.name))
        return sorted(took)

    async def _impatient(self) -> None:
        """Leaves after a random time, wherever it is by then; others may ask the same."""
        prompt = f"{self._name} impatient {self._dice.randrange(80)}"
        client = self._client(prompt, self._reply(prompt, takes_s=self._dice.uniform(0, 0.1)))
        asking = self._ask(client)
        await asyncio.wait({asking}, timeout=self._dice.uniform(0.0, 0.8))
        await self._leave(client, asking)

    async def _queued(self) -> None:
        """Leaves soon, mostly while it waits for its turn."""
        client = self._new(takes_s=0.02)
        asking = self._ask(client)
        await asyncio.wait({asking}, timeout=self._dice.uniform(0.02, 0.2))
        await self._leave(client, asking)

    async def _before(self) -> None:
        """Leaves while the engine computes."""
        hold = Hold()
        client = self._new(hold=hold)
        client.held = True
        asking = self._ask(client)
        await self.watch.came(client.prompt)
        await asyncio.wait({asking}, timeout=self._dice.uniform(0.0, 0.05))
        await self._leave(client, asking)
        self._let_go(hold)

    async def _midway(self) -> None:
        """Leaves after a random number of words."""
        middle = self._dice.randrange(2, 8)
        client = self._new(hold_middle=Hold(), middle=middle)
        client.held, client.stream, client.pieces = True, True, self._dice.randrange(1, middle)
        asking = self._ask(client)
        await asyncio.wait_for(client.heard.wait(), 60)
        await self._leave(client, asking)

    async def _leader(self) -> None:
        """Leads three twins, and leaves; now and then one of the twins does, too."""
        hold = Hold()
        prompt = f"{self._name} twins {len(self.clients)}"
        first = self._client(prompt, self._reply(prompt, hold=hold), self._reply(prompt, takes_s=0.02))
        first.held = True
        leading = self._ask(first)
        await self.watch.came(prompt)
        twins = [self._client(prompt) for _ in range(3)]
        following = [self._ask(twin) for twin in twins]
        await self._proxy.ask("where", client=first.name, followers=len(twins))
        if self._dice.random() < 0.3:
            await self._leave(twins[0], following[0])
        await asyncio.wait({leading}, timeout=self._dice.uniform(0.0, 0.05))
        await self._leave(first, leading)
        self._let_go(hold)
        await asyncio.gather(*following, return_exceptions=True)

    async def _stays(self) -> None:
        await self._ask(self._new(takes_s=self._dice.uniform(0, 0.05)))

    def _let_go(self, hold: Hold) -> None:
        """Where LiteLLM does not stop what nobody waits for, the engine must end it some time."""
        if not self._proxy.cancels:
            hold.release()

    def _new(self, **more: Any) -> Client:
        prompt = f"{self._name} alone {len(self.clients)}"
        return self._client(prompt, self._reply(prompt, **more))

    def _client(self, prompt: str, *replies: Reply) -> Client:
        if replies:
            self._upstream.on(prompt, *replies)
        client = Client(f"client {self._name} {len(self.clients)}", prompt, self._dice.random() < 0.5)
        self.clients.append(client)
        return client

    def _reply(self, prompt: str, **more: Any) -> Reply:
        self.answers[prompt] = f"this is all that there is to say about {prompt} and no more"
        return Reply(text=self.answers[prompt], **more)

    def _ask(self, client: Client) -> asyncio.Task[None]:
        return asyncio.create_task(self._read(client))

    async def _read(self, client: Client) -> None:
        body = self._endpoint.body(client.prompt, stream=client.stream)
        headers = {"x-test-client": client.name}
        async with self._http.stream("POST", self._endpoint.path, json=body, headers=headers) as response:
            client.status = response.status_code
            client.cache = response.headers.get("x-forebay-cache", "")
            lines = [line async for line in self._lines(client, response)]
            client.whole = not client.stream or lines[-1:] == ["[DONE]"]

    async def _lines(self, client: Client, response: httpx.Response) -> AsyncIterator[str]:
        if not client.stream:
            client.text = self._endpoint.text(json.loads(await response.aread()))
            return
        async for line in response.aiter_lines():
            if line:
                event = line.removeprefix("data: ")
                words = self._endpoint.text(json.loads(event)) if event.startswith("{") else ""
                client.text += words
                client.pieces -= bool(words)
                if client.pieces == 0:
                    client.heard.set()
                yield event

    async def _leave(self, client: Client, asking: asyncio.Task[None]) -> None:
        where = await self._proxy.ask("where", client=client.name)
        if asking.done():
            return  # its answer came first
        client.left_at = "midway" if client.text else "leading" if where["followers"] else where["at"]
        if client.left_at == "inside":
            client.left_at = "before"
        client.left_s = monotonic()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
