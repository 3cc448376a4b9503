"""What a request will take of its engine: tokens, KV blocks, seconds and money."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from ...middleware.analysis.facts import Work
from .lane import Lane
from .law import Shape
from .ledger import Stay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...middleware.analysis.facts import Outcome, RequestFacts, Subject
    from ...middleware.records import JsonObject

    T = TypeVar("T")

_SCHEMA = 1
_LANES = 64
_MODELS = 128
_RECENT = 8
_OPEN = 4096
_OPEN_S = 900.0
_NAME = 100
_MILLION = 1_000_000
_UNKNOWN = Shape()


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens.

    Raises:
        ValueError: a price is negative or not finite.
    """

    input: float
    output: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) and value >= 0 for value in (self.input, self.output)):
            raise ValueError("price: negative or not finite")


class WorkPredictor:
    """Fills `RequestFacts.work`, from a cost law of each engine that is fitted to what became of its requests.

    An engine is a lane of `Outcome`; a model's next request is expected where its last one went, and its requests inside to be
    spread evenly over those that its last eight went to. The output is the predicted
    length; without one it is the engine's usual one, at most the caller's limit, and where that is not known either, nothing
    is said. Seconds are None until the engine has served about a dozen requests that can be told apart.

    Bounds: 64 engines, 128 models, 4,096 requests of which the end is not known, each forgotten after 15 minutes.

    Args:
        shapes: what is known of engines, by pattern of the model's name (``*`` and ``?``); the first that fits counts.
        prices: the same for prices.
    """

    def __init__(self, *, shapes: Mapping[str, Shape] | None = None, prices: Mapping[str, Price] | None = None) -> None:
        self._shapes = dict(shapes or {})
        self._prices = dict(prices or {})
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._went: OrderedDict[str, deque[str]] = OrderedDict()  # the engines of a model's last requests
        self._open: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._inside: dict[str, OrderedDict[str, float]] = {}

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the facts with the work, or as they are where the length of the answer cannot be told."""
        model = subject.request.model[:_NAME]
        went = self._went.get(model)
        lane = self._lanes.get(went[-1]) if went else None
        facts = subject.facts
        if facts.length is not None:
            tokens, most = facts.length.median, facts.length.q90
        else:
            limit = facts.profile.max_tokens if facts.profile is not None else None
            tokens = lane.output if lane is not None else 0.0
            if limit is not None:
                tokens = min(tokens, limit)
            most = tokens
            if not tokens:
                self._opened(subject, model)
                return facts
        prompt = facts.prompt_tokens
        shape = lane.shape if lane is not None else self._shape(model)
        price = _fitting(self._prices, model)
        others = self._others(subject, model) // max(len(set(went or ())), 1)
        estimate = None if lane is None else lane.estimate(prompt, others)
        self._opened(subject, model)
        work = Work(
            prefill_tokens=prompt,
            decode_tokens=tokens,
            kv_blocks=math.ceil((prompt + most) / shape.block),
            seconds=None if estimate is None else estimate.seconds(tokens),
            ttft_s=None if estimate is None else estimate.ttft_s,
            tpot_s=None if estimate is None else estimate.tpot_s,
            seconds_q90=None if estimate is None else estimate.seconds(most),
            usd=None if price is None else (prompt * price.input + tokens * price.output) / _MILLION,
        )
        return facts.having(work=work)

    def learn(self, outcome: Outcome) -> None:
        """Score what was predicted, then learn the engine's law from when the tokens came."""
        subject = outcome.subject
        model = subject.request.model[:_NAME]
        self._closed(subject.request.id)
        stay = _stay(outcome)
        if stay is None:
            return
        name = outcome.lane[:_NAME] or model
        lane = self._lane(name, model)
        if outcome.complete and subject.facts.work is not None:
            lane.score(subject.facts.work, stay)
        inside = self._inside.get(model)
        oldest = next(iter(inside.values())) if inside else math.inf
        lane.learn(stay, clean=outcome.complete, open_since_s=oldest)

    def report(self) -> Sequence[JsonObject]:
        """Return a row an engine: its law, and how far off the predictions were before each outcome was learned."""
        return [{"predictor": "work", "lane": name, **lane.report()} for name, lane in self._lanes.items()]

    def snapshot(self) -> JsonObject:
        """Return the laws as JSON, below 1 MB."""
        lanes = [[name, lane.model, lane.snapshot()] for name, lane in self._lanes.items()]
        return {
            "schema": _SCHEMA,
            "lanes": lanes,
            "went": [[model, list(names)] for model, names in self._went.items()],
        }

    def restore(self, state: JsonObject) -> None:
        """Take over laws; what is known of the engines comes from the settings.

        Raises:
            ValueError, KeyError, TypeError: it is not such a state; nothing changed.
        """
        if type(state["schema"]) is not int or state["schema"] != _SCHEMA:
            raise ValueError("work: a state of another schema")
        went = OrderedDict(
            (_text(model), deque(map(_text, names), maxlen=_RECENT)) for model, names in state["went"] if names
        )
        lanes = OrderedDict[str, Lane]()
        for name, model, inner in state["lanes"]:
            lane = Lane(_text(model), self._shape(model))
            lane.restore(inner)
            lanes[_text(name)] = lane
        if len(lanes) > _LANES or len(went) > _MODELS:
            raise ValueError("work: a state with more engines than it may have")
        self._lanes, self._went = lanes, went

    def _lane(self, name: str, model: str) -> Lane:
        """Return an engine's lane, the least recently used giving way, and note that the model went there."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(model, self._shape(model))
        self._lanes.move_to_end(name)
        if len(self._lanes) > _LANES:
            self._lanes.popitem(last=False)
        self._went.setdefault(model, deque(maxlen=_RECENT)).append(name)
        self._went.move_to_end(model)
        if len(self._went) > _MODELS:
            self._went.popitem(last=False)
        return lane

    def _shape(self, model: str) -> Shape:
        return _fitting(self._shapes, model) or _UNKNOWN

    def _others(self, subject: Subject, model: str) -> int:
        """Return how many others of the model are inside its engine."""
        inside = self._inside.get(model)
        known = 0 if inside is None else len(inside) - (subject.request.id in inside)
        return known if subject.load is None else min(known, subject.load.inflight)

    def _opened(self, subject: Subject, model: str) -> None:
        self._closed(subject.request.id)
        self._open[subject.request.id] = (model, subject.now_s)
        self._inside.setdefault(model, OrderedDict())[subject.request.id] = subject.now_s
        while self._open:
            oldest, (_, since_s) = next(iter(self._open.items()))
            if len(self._open) <= _OPEN and since_s >= subject.now_s - _OPEN_S:
                break
            self._closed(oldest)

    def _closed(self, request_id: str) -> None:
        model, _ = self._open.pop(request_id, ("", 0.0))
        inside = self._inside.get(model)
        if inside is not None and inside.pop(request_id, None) is not None and not inside:
            del self._inside[model]


def _stay(outcome: Outcome) -> Stay | None:
    """Return a request's time inside its engine, None where it was not seen or cannot be."""
    if outcome.entered_s is None or outcome.ended_s is None:
        return None
    prompt = outcome.input_tokens or outcome.subject.facts.prompt_tokens
    try:
        return Stay(outcome.entered_s, outcome.first_token_s, outcome.ended_s, prompt, outcome.output_tokens)
    except ValueError:
        return None


def _fitting(table: Mapping[str, T], model: str) -> T | None:
    # a loop: mostly there is nothing in it, and to find that with `next` takes several times as long
    for pattern, value in table.items():
        if fnmatchcase(model, pattern):
            return value
    return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("work: not a name")
    return value
