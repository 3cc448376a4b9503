"""A store and an engine that do what a sequence tells them to, and keep the truth beside it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from forebay.middleware.chat import answer_of, replay
from forebay.middleware.errors import EngineError
from forebay.middleware.forgotten import matches
from forebay.middleware.payload import decode_entry, encode_entry
from forebay.middleware.protocols import Scannable, Store
from forebay.middleware.records import EVERYTHING, Candidate, Controls
from forebay.testing import completion
from tests.safety.world import Ask, Computation, number_in, strike

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from forebay.middleware.keys import Keyring
    from forebay.middleware.records import Answer, Entry, JsonObject, Query, Request, Selector


BEHIND: Final = "-background"
"""How the id of a call ends that nobody waits for."""


class WholeStore(Store, Scannable, Protocol):
    """A store whose entries can be listed."""


@dataclass(slots=True)
class Written:
    """One write of an entry: of which computation, and whether the writer was told that it is done."""

    number: int | None
    complete: bool


class FaultyStore:
    """A real store with faults in front of it.

    Attributes:
        faults: operation → what happens to it: what `strike` knows; for `put` also "late" (written, then hangs); for `search`
            and `get` also "foreign" (others than asked for).
        written: entry id → writes since it was last deleted.
        changing: writes and deletions under way.
        unruly: those that failed since the last write with nothing in its way: each may have left an entry too many.
        tidy: whether there was such a write after them.
        entry_of: the entry that each computation's answer was written as.
        violations: what must never be written.
    """

    def __init__(
        self,
        inner: WholeStore,
        *,
        keyring: Keyring,
        engine: HeldEngine,
        clock: Callable[[], float],
        seen: Counter[str],
        shared: bool = False,
    ) -> None:
        self.inner = inner
        self._keyring = keyring
        self._engine = engine
        self._clock = clock
        self._seen = seen
        self._shared = shared
        self.faults: dict[str, str] = {}
        self.payloads: dict[str, str] = {}
        self.written: defaultdict[str, list[Written]] = defaultdict(list)
        self.changing = 0
        self.unruly = 0
        self.tidy = True
        self.violations: list[str] = []
        self.entry_of: dict[int, Entry] = {}

    @property
    def place(self) -> str:
        return "the suite"

    @property
    def shared(self) -> bool:
        return self._shared

    async def _struck(self, operation: str) -> str:
        fault = self.faults.get(operation, "")
        if fault:
            self._seen[f"fault: {operation} {fault}"] += 1
        await strike(fault)
        return fault

    @asynccontextmanager
    async def _changed(self, operation: str) -> AsyncGenerator[str]:
        """Count a write or deletion that fails, and what is under way."""
        self.changing += 1
        try:
            yield await self._struck(operation)
        except BaseException:
            self.unruly += 1
            self.tidy = False
            raise
        else:
            self.tidy |= operation == "put" and "delete" not in self.faults
        finally:
            self.changing -= 1

    async def get(self, entry_id: str) -> Entry | None:
        foreign = await self._struck("get") == "foreign"
        entry = await self.inner.get(entry_id)
        if foreign:
            return next((other for other in await self._all() if other.id != entry_id), None)
        if entry is not None and entry.expires_s <= self._clock():
            self._seen["expired entries read"] += 1
        return self._read(entry) if entry is not None else None

    async def search(self, query: Query) -> Sequence[Candidate]:
        if await self._struck("search") == "foreign":
            return [Candidate(entry, 0.99) for entry in await self._all()]
        found = await self.inner.search(query)
        return [candidate for candidate in found if candidate.entry.id not in self.payloads]

    async def put(self, entry: Entry) -> None:
        self._check(entry)
        self._noted(entry)
        async with self._changed("put") as fault:
            self.payloads.pop(entry.id, None)
            await self.inner.put(entry)
            self.written[entry.id].append(Written(number_in(entry.answer.body), complete=fault != "late"))
            if fault == "late":
                await strike("hang")

    async def delete(self, selector: Selector) -> int:
        async with self._changed("delete"):
            for entry in await self._all():
                if matches(selector, entry):
                    self.written.pop(entry.id, None)
                    self.payloads.pop(entry.id, None)
            return await self.inner.delete(selector)

    async def count(self, scope: str | None = None) -> int:
        await self._struck("count")
        return await self.inner.count(scope)

    async def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        await self._struck("scan")
        async for entry in self.inner.scan(selector):
            yield entry

    async def damage(self, at: int, how: str) -> None:
        """Damage one of the kept entries, as a disk or another program would."""
        entries = await self._all()
        if not entries:
            return
        entry, other = entries[at % len(entries)], entries[(at + 1) % len(entries)]
        whole = encode_entry(entry, self._keyring)
        outer = json.loads(whole)
        if how == "cut":
            payload = whole[: len(whole) // 2]
        elif how == "moved":
            payload = encode_entry(other, self._keyring)
            if other is entry:
                return
            # the scope of the entry whose place it takes: only the signature tells
            payload = _with(payload, scope=entry.scope, context=entry.context)
        else:
            outer["data"] = outer["data"].replace("ann", "bob").replace('\\"number\\": ', '\\"number\\": 9')
            payload = json.dumps(outer)
        self.payloads[entry.id] = payload

    def allowed(self, number: int) -> bool:
        """Return whether a read may return what this computation wrote: the last complete write, or one under way since."""
        for writes in self.written.values():
            last = max((at for at, write in enumerate(writes) if write.complete), default=0)
            if any(write.number == number for write in writes[last:]):
                return True
        return False

    def _read(self, entry: Entry) -> Entry:
        payload = self.payloads.get(entry.id)
        if payload is None:
            return entry
        self._seen["damaged entries read"] += 1
        return decode_entry(entry.id, payload, self._keyring, vector=entry.vector)

    def _check(self, entry: Entry) -> None:
        number = number_in(entry.answer.body)
        made = self._engine.made.get(number) if number is not None else None
        if made is None or made.ending != "ok":
            self.violations.append(f"kept what ended as {made.ending if made else 'nothing'}")
        elif made.cancelled:
            self.violations.append("kept what its client left")
        elif made.ask.controls.no_store or made.ask.controls.bypass:
            self.violations.append("kept what must not be stored")

    def _noted(self, entry: Entry) -> None:
        number = number_in(entry.answer.body)
        if number is not None:
            self.entry_of[number] = entry

    async def _all(self) -> list[Entry]:
        return [entry async for entry in self.inner.scan(EVERYTHING)]


def _with(payload: str, **fields: str) -> str:
    outer = json.loads(payload)
    outer["data"] = json.dumps(json.loads(outer["data"]) | fields)
    return json.dumps(outer)


@dataclass(slots=True)
class Call:
    """A call inside the engine; `go` is set once it may go on, with the way it ends."""

    computation: Computation
    go: asyncio.Future[str]
    end: asyncio.Future[None] | None = None


@dataclass(slots=True)
class HeldEngine:
    """Holds every call until it is told how it ends.

    Attributes:
        asks: request id → what it asks, and when it began.
        made: all computations by number.
        calls: those that wait.
        order: of the last that happened.
    """

    asks: dict[str, tuple[Ask, int]] = field(default_factory=dict[str, tuple[Ask, int]])
    made: dict[int, Computation] = field(default_factory=dict[int, Computation])
    of_request: dict[str, Computation] = field(default_factory=dict[str, Computation])
    calls: list[Call] = field(default_factory=list[Call])
    order: int = 0

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        call = self._called(request)
        try:
            ending = await call.go
        finally:
            if call in self.calls:
                self.calls.remove(call)
        return answer_of(_body(call.computation, "ok" if ending == "cut" else ending))  # only a stream can be cut

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncGenerator[JsonObject, None]:
        call = self._called(request)
        try:
            ending = await call.go
            body = _body(call.computation, ending)
            call.computation.ending = ""  # not before its end is out
            chunks = list(replay(body, include_usage=True))
            for chunk in chunks if ending != "cut" else chunks[:-2]:
                yield chunk
            call.end = asyncio.get_running_loop().create_future()
            self.calls.append(call)
            await call.end
            call.computation.ending = ending
        finally:
            if call in self.calls:
                self.calls.remove(call)

    def call_of(self, name: str) -> Call | None:
        """Return the waiting call of a request, None where there is none."""
        made = self.of_request.get(name)
        return next((call for call in self.calls if call.computation is made), None) if made is not None else None

    def let_go(self, call: Call, ending: str) -> str:
        """Let a call go on, a stream first to all but its end; return what it goes on to."""
        self.calls.remove(call)
        if call.end is not None:
            call.end.set_result(None)
            return "end of stream"
        call.go.set_result(ending)
        return ending

    def _called(self, request: Request) -> Call:
        name = request.id.removesuffix(BEHIND)
        ask, order = self.asks[name]
        behind = name != request.id
        if behind:
            ask, order = replace(ask, controls=Controls(), stream=False), self.order
        number = len(self.made) + 1
        computation = Computation(number, ask, order, behind=behind)
        self.made[number] = self.of_request[request.id] = computation
        call = Call(computation, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        return call


def _body(computation: Computation, ending: str) -> dict[str, Any]:
    computation.ending = ending
    if ending == "error":
        raise EngineError("struck", status=500)
    reason: Any = {"length": "length", "filtered": "content_filter", "null": None}.get(ending, "stop")
    body = completion(None if ending == "empty" else computation.stamp())
    body["id"] = f"c{computation.number}"
    body["choices"][0]["finish_reason"] = reason
    return body
