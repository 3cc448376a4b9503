"""The run stop: an engine call, read by its leader and, live, by the leader's twins."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Generic, TypeVar

from . import semconv
from .errors import EngineError
from .generation import Generation, LeaderFailedError
from .records import Ending

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from .flight import Flight
    from .generation import Source
    from .records import Answer
    from .sharing import Sharing
    from .telemetry import Telemetry

T = TypeVar("T")


class _Noted(Generic[T]):
    """What a source makes of its pieces. Fails open: what it cannot read goes to the caller, and nothing is kept."""

    def __init__(self, source: Source[T], telemetry: Telemetry) -> None:
        self._source: Source[T] | None = source
        self._telemetry = telemetry

    def add(self, piece: T) -> bool:
        """Take note of a piece; return whether it brings output."""
        try:
            return self._source is None or self._source.add(piece)
        except Exception as error:
            self._broken(error)
            return True

    def end(self) -> Answer | None:
        """Return the answer."""
        try:
            return self._source.answer() if self._source is not None else None
        except Exception as error:
            self._broken(error)
            return None

    def _broken(self, error: Exception) -> None:
        self._source = None
        self._telemetry.dependency_error("stream", type(error).__name__)


class RunStop:
    """Runs flights that were let in.

    Args:
        enter: begins the engine's span and returns the headers that make the engine its child.
        finish: ends a flight; may be called again.
    """

    def __init__(
        self,
        sharing: Sharing,
        telemetry: Telemetry,
        *,
        enter: Callable[[Flight], dict[str, str]],
        finish: Callable[[Flight, Ending], None],
    ) -> None:
        self._sharing = sharing
        self._telemetry = telemetry
        self._enter = enter
        self._finish = finish

    async def lead(self, flight: Flight, source: Source[T]) -> AsyncGenerator[T, None]:
        """Yield what the engine does, and let twins read it, too. The flight has ended when this has.

        Raises:
            Exception: whatever the engine raised.
        """
        noted = _Noted(source, self._telemetry)
        ending = Ending.CANCELLED
        try:
            headers = self._enter(flight)

            def took(piece: T) -> None:
                if noted.add(piece) and generation.owner.first_token():
                    generation.owner.engine_span.add_event(semconv.EVENT_FIRST_TOKEN)

            def ended(error: Exception | None) -> None:
                owner = generation.owner
                generation.answer = noted.end() if error is None else None
                if generation.answer is not None:
                    owner.answered(generation.answer)
                self._finish(owner, Ending.COMPLETE if error is None else Ending.FAILED)

            generation = Generation(
                source, source.open(headers), flight, took=took, ended=ended, passed=self._sharing.passed
            )
            self._sharing.offer(flight, generation)
            async with aclosing(generation.lead()) as pieces:
                async for piece in pieces:
                    yield piece
            ending = Ending.COMPLETE
        except Exception:
            ending = Ending.FAILED
            raise
        finally:
            self._finish(flight, ending)

    async def follow(self, flight: Flight) -> AsyncGenerator[object, None]:
        """Yield what the twin's engine does. The flight has ended when this has, but for one that raised `LeaderFailedError`.

        Raises:
            LeaderFailedError: the twin failed before it brought anything; this flight must compute for itself.
            Exception: whatever the engine raised after that.
        """
        live = flight.live
        ending: Ending | None = Ending.CANCELLED
        read = False
        try:
            if live is None:
                raise LeaderFailedError(None)
            async with aclosing(live.follow(flight)) as pieces:
                async for piece in pieces:
                    read = True
                    flight.first_token()
                    yield piece
            self._sharing.followed(flight, live, live.answer)
            ending = Ending.COMPLETE
        except LeaderFailedError as error:
            if not read:
                ending = None
                raise
            ending = Ending.FAILED
            raise error.cause or EngineError("the call that this one followed was stopped") from None
        finally:
            if ending is not None:
                self._finish(flight, ending)
