"""Protocols: what a registered component of each kind must be able to do.

None has more than five methods. A component may also be a `Component` (it has something to open and
close), `Scannable` (a store whose entries can be listed), `Placed` (a store that says where they are).
Policies get the time as an argument and keep no clock of their own. Those of the admit stop are in `admission.protocols`,
those of request analysis in `analysis.protocols`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from opentelemetry.trace import TracerProvider

    from .analysis.facts import RequestFacts
    from .coordination import Claimed, Listener, Roster, Told
    from .events import Health
    from .lifetimes import Lifetime, Revision
    from .records import (
        Answer,
        AnswerPair,
        Asked,
        Audit,
        Candidate,
        Entry,
        JsonObject,
        Judgement,
        Query,
        Reading,
        Request,
        Selector,
        Vector,
        Verdict,
    )


@runtime_checkable
class Component(Protocol):
    """Something with a life of its own: opened once, closed once, asked how it is."""

    async def start(self) -> None:
        """Open files and connections. Called inside the running event loop.

        Raises:
            AdapterError: it cannot work; the text says what to change.
        """
        ...

    async def stop(self) -> None:
        """Close everything. Called once, also after a failed `start`; must not raise."""
        ...

    async def check_ready(self) -> Sequence[Health]:
        """Say how it is, without side effects a user would notice."""
        ...


@runtime_checkable
class Analyzer(Protocol):
    """Finds facts about a request. Pure and fast: it runs on the event loop for every request."""

    def analyze(self, request: Request) -> RequestFacts:
        """Return the facts. An exception makes the request pass through uncached."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def model_id(self) -> str:
        """Names model and version; kept with every vector."""
        ...

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        ...

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one unit vector (L2 norm 1, `dimension` floats) a text, in order.

        Raises:
            EmbedderError: the model failed.
        """
        ...


@runtime_checkable
class Store(Protocol):
    """Keeps entries. Methods raise `StoreError`; `PayloadError` marks one damaged entry."""

    async def get(self, entry_id: str) -> Entry | None:
        """Return the entry with this id, expired or not, or None."""
        ...

    async def search(self, query: Query) -> Sequence[Candidate]:
        """Return the nearest entries of the query's scope, `comparable` and embedder, best first, expired or not.

        Nearest is by the cosine of the questions' vectors; where the query has a context vector, by the mean of that and
        the cosine of the contexts' vectors. Entries that are damaged are left out.
        """
        ...

    async def put(self, entry: Entry) -> None:
        """Keep the entry in place of any with the same id; found by `get` and `search` from then on."""
        ...

    async def delete(self, selector: Selector) -> int:
        """Delete what matches and return how many entries that were."""
        ...

    async def count(self, scope: str | None = None) -> int:
        """Return how many entries a scope, or the whole store, holds. Cheap: asked for every request."""
        ...


@runtime_checkable
class Scannable(Protocol):
    """A store whose entries can be listed."""

    def scan(self, selector: Selector) -> AsyncIterator[Entry]:
        """Yield what matches, in no order, without the damaged ones."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A store that says where its entries are."""

    @property
    def place(self) -> str:
        """Where, for people."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes work on the same entries: then one of them keeps house for all."""
        ...


@runtime_checkable
class ContextReader(Protocol):
    """Says what a question needs from earlier turns. Pure and fast: it runs for every request with earlier turns."""

    def read(self, messages: Sequence[JsonObject]) -> Reading:
        """Return the reading of the last turn.

        Args:
            messages: OpenAI chat messages, well formed, system messages included, oldest first.

        The same question in the same context must have the same reading, and in another context another one. An
        exception counts as a reading that is not resolved.
        """
        ...


@runtime_checkable
class Acceptance(Protocol):
    """Decides whether a candidate may answer a question."""

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        """Return the verdict on a candidate of the same scope and `comparable`; it judges the contexts' readings, too."""
        ...


@runtime_checkable
class Audited(Protocol):
    """An acceptance policy that learns from audits how often it is wrong."""

    def share(self, asked: Asked, verdict: Verdict) -> float:
        """Return with which probability this decision should be audited, in [0, 1]. Called once a decision."""
        ...

    def learn(self, audit: Audit) -> None:
        """Take an audit's outcome in."""
        ...

    def report(self) -> Sequence[JsonObject]:
        """Return what is known, one flat row a stratum, for people and metrics."""
        ...

    def snapshot(self) -> JsonObject:
        """Return the state as JSON."""
        ...

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another policy's; nothing changed.
        """
        ...


@runtime_checkable
class Judge(Protocol):
    """Says whether one answer could stand for another. Asked in the background, where nobody waits."""

    async def compare(self, pair: AnswerPair) -> Judgement:
        """Return the judgement; one that cannot tell says so.

        Raises:
            ForebayError: what it asks (an embedder, an engine) failed.
        """
        ...


@runtime_checkable
class AnswerCheck(Protocol):
    """Decides whether an answer may be kept: the write gate."""

    def refuse(self, request: Request, answer: Answer) -> str | None:
        """Return None, or a bounded label that says why the answer must not be kept."""
        ...


@runtime_checkable
class Expiry(Protocol):
    """How long an answer may be served."""

    def lifetime(self, request: Request, facts: RequestFacts, answer: Answer) -> Lifetime:
        """Return the lifetime; one that is fresh for 0 s is not kept."""
        ...


@runtime_checkable
class Renewing(Protocol):
    """An expiry policy under which an answer that is used lives on."""

    def renewed_s(self, entry: Entry, now_s: float) -> float | None:
        """Return until which Unix time an entry that is served now is fresh, None where that is not worth a write."""
        ...


@runtime_checkable
class Revised(Protocol):
    """An expiry policy that learns from what became of kept answers when they were computed anew."""

    def learn(self, revision: Revision) -> None:
        """Take a revision in."""
        ...

    def report(self) -> Sequence[JsonObject]:
        """Return what is known, one flat row a kind of answer, for people and metrics."""
        ...

    def snapshot(self) -> JsonObject:
        """Return the state as JSON."""
        ...

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another policy's; nothing changed.
        """
        ...


@runtime_checkable
class Eviction(Protocol):
    """Which entries to drop when room is short."""

    def added(self, entry_id: str, size_bytes: int, cost: float, now_s: float) -> Sequence[str]:
        """Note a kept entry and return the ids to drop so that the capacity holds."""
        ...

    def touched(self, entry_id: str, now_s: float) -> None:
        """Note that an entry was served."""
        ...

    def removed(self, entry_id: str) -> None:
        """Note that an entry is gone for another reason."""
        ...

    def snapshot(self) -> JsonObject:
        """Return the state as JSON."""
        ...

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned."""
        ...


@runtime_checkable
class Coordination(Protocol):
    """What the workers of one deployment agree through.

    A claim is held until it is released or its process ends, however it ends; then it comes back by itself.
    """

    def roster(self) -> Roster:
        """Return who works beside this process, as last seen. Cheap: asked for every request."""
        ...

    def hear(self, listener: Listener) -> None:
        """Tell this listener what the others tell. Called once, before `start`."""
        ...

    async def tell(self, selector: Selector, wait_s: float) -> Told:
        """Let every other worker forget what matches, and wait so long for them to have done it.

        Raises:
            CoordinationError: they cannot be told.
        """
        ...

    async def claim(self, name: str, member: str, places: int, wait_s: float) -> Claimed:
        """Take one of so many places under a name; where all are taken, wait so long for one.

        Cancelling it gives back what it may have taken. Where `Roster.shared` is False, this is only asked for
        one place without waiting.

        Args:
            member: names the claim for `release`; claiming again what is held is granted.

        Raises:
            CoordinationError: the workers cannot agree now; what was claimed may count for a while.
        """
        ...

    async def release(self, name: str, member: str, left: str | None = None) -> None:
        """Give a place back and wake who waits; does nothing for one that is not held, and does not raise.

        Args:
            left: for those who wait under the name, and for those who come within a short time: an answer, or
                "" for none; then they need not wait. None: who waits takes the place.
        """
        ...


@runtime_checkable
class Engine(Protocol):
    """Computes answers."""

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return a whole answer.

        Args:
            request: what to compute.
            headers: sent along (trace context).

        Raises:
            EngineError: the engine refused or failed; `status` tells.
        """
        ...

    def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncIterator[JsonObject]:
        """Yield OpenAI ``chat.completion.chunk`` objects; closing the iterator stops the engine."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """Takes spans somewhere, for hosts that have no tracer provider of their own."""

    def provider(self) -> TracerProvider:
        """Return the provider to make spans with; it is never set as the process's global one."""
        ...

    def shutdown(self, timeout_s: float) -> None:
        """Send what is left within the time, then give up. Must not raise."""
        ...


@runtime_checkable
class Command(Protocol):
    """A sub-command of ``forebay``."""

    @property
    def help(self) -> str:
        """One line for ``forebay --help``."""
        ...

    def run(self, args: Sequence[str]) -> int:
        """Run with the words after the command's name; return the exit status."""
        ...
