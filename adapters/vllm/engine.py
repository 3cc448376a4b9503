"""A vLLM engine behind forebay, in vLLM's own process and on its token ids.

The wrapper is composed, not derived, and nothing of vLLM is patched: all that it does not do itself goes to the engine, with
the arguments as they came.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from ...middleware import semconv
from ...middleware.config import Config
from ...middleware.engine_feed import EngineFeed
from ...middleware.errors import ShedError
from ...middleware.records import Ending
from ...middleware.runtime import Runtime
from .asked import About, Asked
from .call import CALL, Call
from .feed import attach
from .limits import limits_of, with_limits
from .names import Names, installed
from .outputs import replay
from .reading import Reading
from .source import EncodeSource, GenerateSource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from ...middleware.flight import Flight
    from ...middleware.generation import Source
    from ...middleware.records import Hit

log = logging.getLogger(__name__)
_CHANGE_WEIGHTS: Final = frozenset(
    {
        "collective_rpc",
        "finish_weight_update",
        "start_draft_weight_update",
        "start_weight_update",
        "update_weight_version",
        "update_weights",
    }
)
"""Members after which the engine may answer otherwise, whether or not its weights have another version then."""


def wrap(engine: Any, config: Config | None = None, *, runtime: Runtime | None = None) -> ForebayEngine:
    """Return an engine with forebay in front of it: an ``AsyncLLM``, or the client that vLLM's own server builds.

    Args:
        engine: anything with vLLM's ``EngineClient`` protocol.
        config: forebay's; what it leaves open of the limit and the cost model, the engine says: see `with_limits`.
        runtime: one that is started and stopped elsewhere.

    Raises:
        MissingExtraError, PluginError: there is no vLLM, or one that forebay does not know.
        ConfigError: something that the config names cannot be built.
    """
    names = installed()
    names.engine_client.register(ForebayEngine)
    if runtime is not None:
        return ForebayEngine(engine, runtime, names, owns=False)
    limits = limits_of(getattr(engine, "vllm_config", None))
    made = ForebayEngine(engine, Runtime(with_limits(config or Config(), limits)), names)
    made.hears = attach(engine, EngineFeed(made.runtime.telemetry, made.labels))
    return made


class ForebayEngine:
    """See `wrap`. Has all that the engine has; `generate`, `encode` and `check_admission` go through forebay.

    Args:
        owns: the runtime is started with the first request and stopped by `stop`.

    Attributes:
        hears: the engine's own statistics go into forebay's metrics.
    """

    def __init__(self, engine: Any, runtime: Runtime, names: Names, *, owns: bool = True) -> None:
        self._engine = engine
        self._names = names
        self._owns = owns
        self._about = About.of(engine)
        self._starting: asyncio.Task[None] | None = None
        self._traces: bool | None = None
        self._weights: str | None = None
        self._changes = 0
        self._active: set[str] = set()
        self.runtime = runtime
        self.hears = False
        self.labels = {
            semconv.OPERATION: "chat",
            semconv.PROVIDER: "vllm",
            semconv.REQUEST_MODEL: self._about.model,
        }

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        return self._renewing(found) if name in _CHANGE_WEIGHTS else found

    async def start(self) -> None:
        """Start forebay; the first request does it, too.

        Raises:
            ConfigError, PluginError: something that the config names cannot be opened.
        """
        if self._starting is None:
            starts = self.runtime.start() if self._owns else asyncio.sleep(0)
            self._starting = asyncio.get_running_loop().create_task(starts)
        if not self._starting.done():
            await asyncio.shield(self._starting)
        if self._traces is None:
            self._traces = bool(await self._engine.is_tracing_enabled())
        if self._weights is None:
            version = getattr(self._engine, "get_weight_version", None)
            told = str(await version()) if version is not None else ""
            self._weights = f"{told} changed {self._changes}" if self._changes else told

    async def stop(self) -> None:
        """Finish what forebay does in the background, and close it; the engine stays."""
        if self._owns and self._starting is not None:
            await self.runtime.stop()

    def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, *args: Any, **given: Any
    ) -> AsyncGenerator[Any, None]:
        """Yield outputs as the engine would: from the cache, from an equal request's call, or from the engine in its turn.

        Raises:
            GracefulHTTPError: the request was refused; 429 or 503.
            Exception: whatever the engine raises.
        """
        asked = Asked(CALL.get() or Call(), prompt, sampling_params, request_id, args, given)
        return Reading(self._generate(asked))

    def encode(
        self, prompt: Any, pooling_params: Any, request_id: str, *args: Any, **given: Any
    ) -> AsyncGenerator[Any, None]:
        """Yield the engine's outputs, in their turn; they are not kept.

        Raises:
            GracefulHTTPError: the request was refused; 429 or 503.
            Exception: whatever the engine raises.
        """
        asked = Asked(CALL.get() or Call(), prompt, pooling_params, request_id, args, given)
        return Reading(self._encode(asked))

    def check_admission(self, n: int = 1, *args: Any, **given: Any) -> None:
        """Refuse what could not even wait.

        Where the server answers refusals itself, that comes later, when it is known what is asked: a hit is never refused.

        Raises:
            GracefulHTTPError: there is no room.
        """
        call = CALL.get()
        if call is not None and call.answers_refusals:
            return
        self._engine.check_admission(n, *args, **given)
        if not self.runtime.pipeline.has_room(""):
            raise self._refusal(ShedError("queue_full", status=429, retry_after_s=1))

    async def _generate(self, asked: Asked) -> AsyncGenerator[Any, None]:
        kind = asked.params.output_kind
        stream = kind is not self._names.output_kind.FINAL_ONLY
        flight = await self._begin(
            asked, lambda name: asked.request(self._about, name, weights=self._weights or "", stream=stream)
        )
        begin = self._engine.generate
        if flight is None:
            async with aclosing(_plainly(begin, asked)) as outputs:
                async for output in outputs:
                    yield output
            return
        try:
            source = GenerateSource(self._names, self._call(begin, asked, flight), asked.params)
            hit = await self._admitted(asked, flight, source.form, asked.params.n)
            kept = self._replayed(asked, flight, hit) if hit is not None else None
            if kept is not None:
                self.runtime.pipeline.finish(flight, Ending.COMPLETE)
                for output in kept:
                    yield output
                return
            live = flight.live is not None
            async with aclosing(self._ran(flight, source)) as outputs:
                async for output in outputs:
                    yield _own(output, asked.request_id) if live else output
        finally:
            self._active.discard(flight.request.id)

    async def _encode(self, asked: Asked) -> AsyncGenerator[Any, None]:
        flight = await self._begin(asked, lambda name: asked.unkept(self._about, name))
        begin = self._engine.encode
        if flight is None:
            async with aclosing(_plainly(begin, asked)) as outputs:
                async for output in outputs:
                    yield output
            return
        try:
            await self._admitted(asked, flight, None, 1)
            async with aclosing(self._ran(flight, EncodeSource(self._call(begin, asked, flight)))) as outputs:
                async for output in outputs:
                    yield output
        finally:
            self._active.discard(flight.request.id)

    async def _begin(self, asked: Asked, request_of: Callable[[str], Any]) -> Flight | None:
        """Begin a flight, None where forebay itself fails: then the engine is asked as if it were not there."""
        telemetry = self.runtime.telemetry
        name = self._name(asked.request_id)
        try:
            await self.start()
            try:
                request = request_of(name)
            except Exception as error:  # what cannot be read is not kept, but waits its turn like the others
                telemetry.dependency_error("vllm", type(error).__name__)
                request = asked.unkept(self._about, name)
            headers: Mapping[str, str] = asked.given.get("trace_headers") or asked.call.trace
            flight = self.runtime.pipeline.begin(request, telemetry.parent_of(None, headers))
        except Exception as error:
            telemetry.dependency_error("vllm", type(error).__name__)
            log.debug("a request goes by", exc_info=True)
            return None
        self._active.add(name)
        return flight

    async def _admitted(self, asked: Asked, flight: Flight, form: str | None, n: int) -> Hit | None:
        """Analyze, look up and let in.

        Raises:
            GracefulHTTPError: it was refused, by forebay's queue or by the engine's own.
        """
        pipeline, call = self.runtime.pipeline, asked.call
        call.flights.append(flight)
        try:
            pipeline.analyze(flight)
            await pipeline.lookup(flight)
            hit = await pipeline.admit(flight, form=form)
            if hit is None and flight.live is None and call.answers_refusals:
                self._engine.check_admission(n)
        except ShedError as error:
            call.shed = error
            pipeline.finish(flight, Ending.FAILED)
            raise self._refusal(error) from None
        except self._names.http_error as error:
            call.shed = ShedError("engine_full", status=int(error.http_status), retry_after_s=1)
            pipeline.finish(flight, Ending.FAILED)
            raise
        except BaseException as error:
            pipeline.finish(flight, Ending.FAILED if isinstance(error, Exception) else Ending.CANCELLED)
            raise
        finally:
            call.decided.set()
        return hit

    async def _ran(self, flight: Flight, source: Source[Any]) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(self.runtime.pipeline.run(flight, source)) as outputs:
                async for output in outputs:
                    yield output
        except ShedError as error:
            raise self._refusal(error) from None

    def _call(
        self, begin: Callable[..., AsyncGenerator[Any, None]], asked: Asked, flight: Flight
    ) -> Callable[[Mapping[str, str]], AsyncGenerator[Any, None]]:
        """Return what makes the call of the engine, given the headers of its trace."""

        def called(headers: Mapping[str, str]) -> AsyncGenerator[Any, None]:
            tenant = flight.request.tenant
            salt = "" if tenant == "default" else self.runtime.keyring.digest("cache_salt/1", tenant)[:32]
            more = asked.passed_on(self._about, flight, headers if self._traces else {})
            return begin(asked.salted(salt), asked.params, asked.request_id, *asked.args, **more)

        return called

    def _replayed(self, asked: Asked, flight: Flight, hit: Hit) -> list[Any] | None:
        """Return a kept answer as outputs, None where it cannot be read: then the engine is asked, past the queue."""
        try:
            return replay(
                self._names,
                hit.entry.answer,
                asked.params.output_kind,
                request_id=asked.request_id,
                prompt=asked.text(),
                prompt_token_ids=list(flight.request.token_ids),
                lora_request=asked.given.get("lora_request"),
            )
        except Exception as error:
            self.runtime.telemetry.dependency_error("vllm", type(error).__name__)
            flight.withdrawn("unreadable")
            return None

    def _renewing(self, change: Callable[..., Any]) -> Callable[..., Any]:
        """Return what changes the weights, and lets their version be asked for again: answers of others are other answers."""

        async def changed(*args: Any, **given: Any) -> Any:
            try:
                return await change(*args, **given)
            finally:
                self._weights = None
                self._changes += 1

        return changed

    def _name(self, request_id: str) -> str:
        """Return a name for a flight: callers may use one twice at a time, our books may not."""
        name, at = request_id, 1
        while name in self._active:
            at += 1
            name = f"{request_id}#{at}"
        return name

    def _refusal(self, error: ShedError) -> Exception:
        refusal: Exception = self._names.http_error(str(error), HTTPStatus(error.status))
        return refusal


def _plainly(begin: Callable[..., AsyncGenerator[Any, None]], asked: Asked) -> AsyncGenerator[Any, None]:
    return begin(asked.prompt, asked.params, asked.request_id, *asked.args, **asked.given)


def _own(output: Any, request_id: str) -> Any:
    """Return another request's output as this one's own."""
    own = copy.copy(output)
    own.request_id = request_id
    own.outputs = [copy.copy(one) for one in output.outputs]
    for one in own.outputs:  # who merges outputs extends their lists
        one.token_ids, one.logprobs = list(one.token_ids), copy.copy(one.logprobs)
    return own
