"""The background caller: the one way to use the engine when no client waits.

Audits, refreshes and judges go through it. It keeps to a budget, never waits in line before a client, never
calls itself, and goes through the same admit and run stops as everyone.
"""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from .admission.tickets import Ticket
from .chat import answer_of
from .errors import ForebayError
from .records import Answer, Controls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from .config import BackgroundConfig
    from .pipeline import Pipeline
    from .protocols import Engine
    from .records import JsonObject, Request

TENANT: Final = "forebay-background"
_inside: ContextVar[bool] = ContextVar("forebay_background", default=False)


class BackgroundCaller:
    """Calls the engine within a budget.

    Args:
        engine: inside LiteLLM, a thin engine over its router.
    """

    def __init__(
        self, pipeline: Pipeline, engine: Engine, config: BackgroundConfig, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._pipeline = pipeline
        self._engine = engine
        self._config = config
        self._clock = clock
        self._calls: deque[float] = deque()
        self._running = 0

    def refusal(self) -> str | None:
        """Return why no call may be made now (recursion, budget, busy), None where one may."""
        now = self._clock()
        while self._calls and now - self._calls[0] >= 60.0:  # noqa: PLR2004  (seconds in a minute)
            self._calls.popleft()
        if _inside.get():
            return "recursion"
        if self._running >= self._config.max_concurrent or len(self._calls) >= self._config.calls_per_minute:
            return "budget"
        return "busy" if self._pipeline.gate.would_wait(Ticket(TENANT, TENANT, now)) else None

    async def call(self, request: Request) -> JsonObject:
        """Compute an answer; the cache is neither read nor written.

        Raises:
            ForebayError: refused by budget, recursion, or because clients wait.
            EngineError: the engine failed.
        """
        refused = self.refusal()
        if refused is not None:
            raise ForebayError(f"no background call now: {refused}")
        quiet = replace(
            request,
            id=f"{request.id}-background",  # the client's request keeps its place in the queue's and explain's books
            tenant=TENANT,
            stream=False,
            controls=Controls(no_cache=True, no_store=True),
        )
        self._calls.append(self._clock())
        self._running += 1
        token = _inside.set(True)
        try:
            reply = await self._pipeline.handle(quiet, self._engine)
        finally:
            _inside.reset(token)
            self._running -= 1
        assert reply.body is not None  # asked for whole
        return reply.body

    async def answer(self, request: Request) -> Answer:
        """Compute an answer as `call` does, with its tokens.

        Raises:
            ForebayError: refused by budget, recursion, or because clients wait.
            EngineError: the engine failed.
        """
        return answer_of(await self.call(request))


class BackgroundEngine:
    """The background caller as an engine, for judges: what they ask is within the same budget.

    Args:
        caller: returns the background caller, None while there is none.
    """

    def __init__(self, caller: Callable[[], BackgroundCaller | None]) -> None:
        self._caller = caller

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:  # noqa: ARG002
        """Return a whole answer.

        Raises:
            ForebayError: there is no engine to ask, or no call may be made now.
            EngineError: the engine failed.
        """
        caller = self._caller()
        if caller is None:
            raise ForebayError("there is no engine to ask; configure 'engine'")
        return Answer(await caller.call(request))

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncGenerator[JsonObject, None]:
        """Yield the whole answer as one chunk: nobody waits for its pieces."""
        yield (await self.complete(request, headers)).body
