"""The analyze stop: facts about a request, the key of its answer, and the strategy it is treated by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from . import semconv
from .admission.tickets import Ticket
from .analysis.facts import RequestFacts
from .flight import Part
from .keys import UNREAD, UncacheableError, make_key
from .records import Mode
from .telemetry import annotate, end_span

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from .analysis.stop import Analysis
    from .flight import Flight
    from .keys import Keyring
    from .protocols import Analyzer, ContextReader
    from .records import Key, Request
    from .telemetry import Telemetry


class AnalyzeStop:
    """Analyzes a request."""

    def __init__(
        self, analyzer: Analyzer, reader: ContextReader, analysis: Analysis, *, keyring: Keyring, telemetry: Telemetry
    ) -> None:
        self._analyzer = analyzer
        self._reader = reader
        self._analysis = analysis
        self._keyring = keyring
        self._telemetry = telemetry

    def run(self, flight: Flight) -> RequestFacts:
        """Find facts, the key and a strategy, and note them on the flight. Fails open: what cannot be analyzed is not cached."""
        if flight.facts is not None:
            return flight.facts
        span = self._telemetry.child(semconv.SPAN_ANALYZE, flight.span)
        key = None
        try:
            facts = self._analyzer.analyze(flight.request)
            if flight.mode is not Mode.OFF:
                facts = self._classified(flight, facts, span)
            if facts.cacheable and flight.mode is not Mode.OFF:
                key = self.key_of(flight.request)
                flight.parts = self._parts(flight.request)
        except UncacheableError:
            facts = RequestFacts(0, 0, "other", cacheable=False, semantic=False, reason="invalid_params")
        except Exception as error:  # fail open
            self._telemetry.dependency_error("analyzer", type(error).__name__)
            facts = RequestFacts(0, 0, "other", cacheable=False, semantic=False, reason="analyzer_error")
        flight.analyzed(facts, key)
        flight.decide("analyze", facts.task, facts.reason, input_tokens=facts.input_tokens, cacheable=facts.cacheable)
        if span.is_recording():
            _show(span, facts)
        end_span(span)
        return facts

    def _classified(self, flight: Flight, facts: RequestFacts, span: Span) -> RequestFacts:
        try:
            return self._analysis.classify(flight, facts, span)
        except Exception as error:  # fail open: without those facts
            self._telemetry.dependency_error("analysis", type(error).__name__)
            return facts

    def predict(self, flight: Flight) -> None:
        """Predict what computing a flight takes that was looked up in vain; once a flight."""
        try:
            self._analysis.predict(flight)
        except Exception as error:  # fail open, as above
            self._telemetry.dependency_error("analysis", type(error).__name__)

    def key_of(self, request: Request) -> Key:
        """Return the key of a request's answer.

        Raises:
            UncacheableError: a field has no canonical form.
        """
        reading = UNREAD
        if len(request.messages) > 1 and not request.batch:
            try:
                reading = self._reader.read(request.messages)
            except Exception as error:  # fail open: then it leans on everything
                self._telemetry.dependency_error("context", type(error).__name__)
        return make_key(request, self._keyring, reading)

    def _parts(self, request: Request) -> list[Part]:
        if not request.batch:
            return []
        return [Part(make_key(replace(request, messages=[one]), self._keyring)) for one in request.messages]

    def ticket(self, flight: Flight) -> Ticket:
        """Return what the queue in front of the engine is told of a flight."""
        request, facts = flight.request, flight.facts
        deadline_s = flight.started_s + request.deadline_s if request.deadline_s is not None else None
        if facts is None:
            return Ticket(request.id, request.tenant, flight.started_s, deadline_s=deadline_s, stream=request.stream)
        length, work, prompt = facts.length, facts.work, facts.fingerprint
        return Ticket(
            id=request.id,
            tenant=request.tenant,
            enqueued_s=flight.started_s,
            input_tokens=facts.prompt_tokens,
            output_tokens=length.median if length is not None else 0.0,
            output_tokens_q90=length.q90 if length is not None else 0.0,
            seconds=work.seconds if work is not None else None,
            first_s=work.ttft_s if work is not None else None,
            priority=facts.priority,
            deadline_s=deadline_s,
            stream=request.stream,
            objective=self._analysis.goodput.objective(facts.priority),
            prefix=prompt.prefix if prompt is not None else (),
        )


def _show(span: Span, facts: RequestFacts) -> None:
    annotate(
        span,
        {
            semconv.ANALYZE_TASK: facts.task,
            semconv.ANALYZE_INPUT_TOKENS: facts.input_tokens,
            semconv.ANALYZE_CACHEABLE: facts.cacheable,
            semconv.ANALYZE_REASON: facts.reason,
        },
    )
