"""Protocols of request analysis: what classifies, predicts, watches the stream and chooses.

They run on the event loop for every request, so they are fast, and pure: the time comes with the argument. One that raises,
returns something else or takes too long costs its fact, never the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import JsonObject, Request
    from .facts import Outcome, RequestFacts, Subject
    from .strategies import Choice, Situation
    from .stream import Arrival, StreamFacts


@runtime_checkable
class Classifier(Protocol):
    """Finds one more fact about every request, before the lookup."""

    def classify(self, request: Request, facts: RequestFacts) -> RequestFacts:
        """Return the facts with one more; `cacheable` and `semantic` may become False, not True."""
        ...


@runtime_checkable
class Learned(Protocol):
    """The part of a predictor and of a stream analyzer that is about what it has learned."""

    def report(self) -> Sequence[JsonObject]:
        """Return how good the predictions were, measured before each outcome was learned: flat rows, for people."""
        ...

    def snapshot(self) -> JsonObject:
        """Return the state as JSON; {} where nothing outlives the process."""
        ...

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another one's; nothing changed.
        """
        ...


@runtime_checkable
class Predictor(Learned, Protocol):
    """Finds one more fact about a request that the engine will be asked, and learns from what became of it."""

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the subject's facts with one more, or as they are where nothing can be said."""
        ...

    def learn(self, outcome: Outcome) -> None:
        """Take in what became of a request, predicted or not."""
        ...


@runtime_checkable
class StreamAnalyzer(Learned, Protocol):
    """Watches all requests and says what the stream looks like."""

    def arrived(self, arrival: Arrival) -> None:
        """Note a request. Times never go back."""
        ...

    def read(self, now_s: float, facts: StreamFacts) -> StreamFacts:
        """Return the facts with its own as of now. Asked about once a second."""
        ...


@runtime_checkable
class Strategist(Protocol):
    """Chooses how a request is treated."""

    def choose(self, situation: Situation) -> Choice:
        """Return the strategy and why."""
        ...
