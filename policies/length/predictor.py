"""Predicts how long an answer will be, and learns from every answer."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ...middleware.analysis.facts import Length
from .features import TYPICAL, features_of
from .history import History, Margin, Shift, beyond
from .mixture import LEXICAL, VECTOR, WORDS, Mixture
from .scores import Scores

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ...middleware.analysis.facts import Outcome, RequestFacts, Subject
    from ...middleware.records import JsonObject, Request
    from .features import Features

HISTORY: Final = "history"
PARTS: Final = (LEXICAL, WORDS, VECTOR, HISTORY)
"""What can be left out, to see what it is good for."""

_SCHEMA: Final = 1
_PENDING: Final = 256
_RECENT: Final = 1_024
_EARLY: Final = 300
_BLOCK: Final = 16
"""After the first answers, of which each says much, so many are learned at a time."""

_MODEL_DOUBT: Final = 3.0
_TENANT_DOUBT: Final = 20.0
_TEMPLATE_DOUBT: Final = 2.0
_OFTEN: Final = 3.0
_KNOWN: Final = 50.0
_LONGEST: Final = 16.0
_LEAST_SQUARE: Final = 1e-4


class _Looked(NamedTuple):
    """A request, its features, and what the regressions say of it."""

    request: Request
    features: Features
    values: tuple[float, ...]


class _Expected(NamedTuple):
    """What is expected of the logarithm of the length: the model's offset, what the prompt adds, then tenant and template."""

    offset: float
    prompt: float
    tenant: float
    template: float
    spread: float
    margin: Margin
    confidence: float
    source: str

    @property
    def mean(self) -> float:
        """All together."""
        return self.offset + self.prompt + self.tenant + self.template


class LengthPredictor:
    """Fills `RequestFacts.length`.

    All answering models share the regressions of the logarithm of the length; what a model, a tenant and a template add is an
    offset of its own, and the 90% quantile follows how often answers were longer than it. Memory is bounded: weights of
    fixed number (a vector's covariance is the largest, 1.2 MB at 384 axes), records of the last 64 models, 256 pairs of tenant
    and model and 512 templates, and the last 256 requests that were predicted and not yet answered.

    After the first 300, answers are learned sixteen at a time: together they take less time, and fifteen in sixteen do not push
    what the next request needs out of the CPU's caches.

    Args:
        typical_tokens: length of an answer before anything was learned.
        leave_out: names of `PARTS`, for ablations.

    Raises:
        ValueError: `typical_tokens` is not positive.
    """

    def __init__(self, *, typical_tokens: float = TYPICAL, leave_out: Collection[str] = ()) -> None:
        if not 0 < typical_tokens < math.inf:
            raise ValueError("typical_tokens must be positive")
        self._typical = math.log1p(typical_tokens)
        self._out = frozenset(leave_out)
        self._mixture = Mixture(self._out)
        self._history = History(self._typical)
        self._scores = Scores()
        self._pending: OrderedDict[str, _Looked] = OrderedDict()
        self._answered: deque[tuple[Outcome, _Looked | None]] = deque()
        self._recent: OrderedDict[int, None] = OrderedDict()

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the facts with the length."""
        looked = self._pending[subject.request.id] = self._look(subject)
        if len(self._pending) > _PENDING:
            self._pending.popitem(last=False)
        expected = self._expect(subject, looked)
        features, margin, mean = looked.features, expected.margin, expected.mean
        median = _tokens(mean + margin.middle * expected.spread) * features.choices
        q90 = _tokens(mean + margin.upper * expected.spread) * features.choices
        if features.limit is not None:
            median, q90 = min(median, features.limit), min(q90, features.limit)
        return subject.facts.having(length=Length(median, q90, expected.confidence, expected.source))

    def learn(self, outcome: Outcome) -> None:
        """Score what was predicted, then learn the length; of a truncated answer, that it would have been longer."""
        if outcome.output_tokens <= 0 or not (outcome.complete or outcome.truncated):
            return
        self._answered.append((outcome, self._pending.pop(outcome.subject.request.id, None)))
        if len(self._answered) >= _BLOCK or self._history.shift.count < _EARLY:
            self._catch_up()

    def report(self) -> Sequence[JsonObject]:
        """Return coverage, error and order of what was predicted, of all and by answering model."""
        self._catch_up()
        return self._scores.report()

    def snapshot(self) -> JsonObject:
        """Return the state as JSON, below 1 MB."""
        self._catch_up()
        return {
            "schema": _SCHEMA,
            "mixture": self._mixture.dump(),
            "history": self._history.dump(),
            "scores": self._scores.rows(),
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another one's; nothing changed.
        """
        given: Any = state
        if not isinstance(given, Mapping) or cast("JsonObject", given).get("schema") != _SCHEMA:
            raise ValueError(f"not a state of the length predictor with schema {_SCHEMA}")
        mixture, history, scores = Mixture(self._out), History(self._typical), Scores()
        mixture.load(state["mixture"])
        history.load(state["history"])
        scores.load(state["scores"])
        self._mixture, self._history, self._scores = mixture, history, scores
        self._pending.clear()
        self._answered.clear()

    def _catch_up(self) -> None:
        """Learn from the answers that were put off."""
        while self._answered:
            self._learn_from(*self._answered.popleft())
        self._mixture.catch_up()

    def _learn_from(self, outcome: Outcome, looked: _Looked | None) -> None:
        subject = outcome.subject
        fair = looked is not None and looked.request is subject.request
        if looked is None or not fair:
            looked = self._look(subject)
            fair = looked.features.digest not in self._recent
        self._remember(looked.features.digest)
        if subject.facts.length is not None and not outcome.truncated:
            self._scores.learn(subject.request.model, subject.facts.length, outcome.output_tokens)
        expected = self._expect(subject, looked)
        actual = min(_LONGEST, math.log1p(outcome.output_tokens / looked.features.choices))
        size, least = abs(actual - expected.mean), None
        if outcome.truncated:
            least = actual - expected.mean
            mean, size = beyond(least / expected.spread)
            actual = min(_LONGEST, expected.mean + expected.spread * mean)
            size *= expected.spread
        self._learn(subject, expected, actual, size, least, fair=fair)
        self._mixture.learn(looked.features, looked.values if fair else None, actual - expected.offset)

    def _remember(self, digest: int) -> None:
        self._recent[digest] = None
        self._recent.move_to_end(digest)
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)

    def _look(self, subject: Subject) -> _Looked:
        features = features_of(subject)
        return _Looked(subject.request, features, self._mixture.values(features))

    def _expect(self, subject: Subject, looked: _Looked) -> _Expected:
        history, model = self._history, subject.request.model
        shift, margin = history.models.find(model) or Shift(1), history.margins.find(model) or history.margin
        whole, common = history.shift.mean, history.shift.square or 1.0
        square = history.fair.square * shift.spread(common) / common
        known = shift.count / (shift.count + _KNOWN)
        source = ("prior", WORDS, VECTOR)[len(looked.values) - 1 if shift.count else 0]
        tenant = template = None
        if HISTORY not in self._out:
            tenant = history.tenants.find(subject.request.tenant, model)
            template = history.templates.find(_template(subject))
        if template is not None:
            seen = template.count
            square *= template.spread(common) / common
            known = 1 - (1 - known) * _TEMPLATE_DOUBT / (seen + _TEMPLATE_DOUBT)
            source = "template" if seen >= _OFTEN else source
        return _Expected(
            offset=whole + (shift.mean - whole) * shift.count / (shift.count + _MODEL_DOUBT),
            prompt=self._mixture.blend(looked.values),
            tenant=tenant.shrunk(_TENANT_DOUBT) if tenant is not None else 0.0,
            template=template.shrunk(_TEMPLATE_DOUBT) if template is not None else 0.0,
            spread=math.sqrt(max(_LEAST_SQUARE, square)),
            margin=margin,
            confidence=known,
            source=source,
        )

    def _learn(
        self, subject: Subject, expected: _Expected, actual: float, size: float, least: float | None, *, fair: bool
    ) -> None:
        """Move what is known of all answers, of the model's, the tenant's and the template's.

        Args:
            actual: logarithm of the length; of a truncated answer its expected value.
            size: how far it lies from the mean that was expected.
            least: of a truncated answer how far its limit lies above that mean.
            fair: the answer to this prompt was not known when it was predicted.
        """
        history, model = self._history, subject.request.model
        if fair:
            history.fair.learn(0.0, size)
            for margin in (history.margin, history.margins.take(model)):
                margin.learn(actual - expected.mean, expected.spread, least)
        own = actual - expected.prompt
        for shift in (history.shift, history.models.take(model)):
            shift.learn(own, size)
        if HISTORY not in self._out:
            own -= expected.offset
            history.tenants.take(subject.request.tenant, model).learn(own, size)
            if template := _template(subject):
                history.templates.take(template).learn(own - expected.tenant, size)


def _template(subject: Subject) -> str:
    return subject.facts.fingerprint.template if subject.facts.fingerprint is not None else ""


def _tokens(logarithm: float) -> float:
    return math.expm1(max(0.0, min(_LONGEST, logarithm)))
