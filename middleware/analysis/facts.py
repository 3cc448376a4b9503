"""Facts: what is found out about one request before the engine is asked for it.

Each fact is a record of its own that checks itself, and is None where nobody found it out: a fact that would be wrong is
absent. What the engine made of the request afterwards is an `Outcome`; whatever predicts is taught by those. Tokens are the
engine's, times are seconds of a monotonic clock.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..admission.tickets import Load
    from ..records import Key, Request, Vector

_Z90: Final = 1.2816  # standard deviations to the 90% quantile of a normal distribution
_WIDEST: Final = 1.5
Label: TypeAlias = str | int | float | bool
_NONE: Mapping[str, Label] = MappingProxyType({})


def _no_labels() -> Mapping[str, Label]:
    return _NONE


def _amount(*values: float | None) -> bool:
    for value in values:  # noqa: SIM110  (with `all` it takes twice the time, several times a request)
        if value is not None and not 0 <= value < math.inf:
            return False
    return True


class Priority(StrEnum):
    """How urgent a request is, the most urgent first."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"
    BACKGROUND = "background"


class Volatility(StrEnum):
    """How soon an answer goes stale: never, in weeks, within a day, at once; or it is about the asker's own affairs."""

    TIMELESS = "timeless"
    SLOW = "slow"
    DAILY = "daily"
    LIVE = "live"
    PERSONAL = "personal"


# asking an enumeration for its members takes longer than all else of such a check
_PRIORITIES: Final = tuple(Priority)
_VOLATILITIES: Final = tuple(Volatility)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a request looks like.

    Attributes:
        input_tokens: prompt tokens, by the model's own tokenizer where it is known, else estimated.
        counted: whether a tokenizer counted them.
        modalities: of all turns, sorted: ``text``, ``image``, ``audio``, ``file``.
        tools: how many tools the engine may call.
        structured: an output of a fixed form is asked for (JSON mode, a schema, a grammar, a forced tool).
        language: of the last user turn, ISO 639-1, ``und`` where it cannot be told.
        code_share: share of the last user turn's characters that are code, in [0, 1].
        max_tokens: the caller's limit of the output, None for none.
        stops: number of stop sequences.

    Raises:
        ValueError: a value is out of its range.
    """

    input_tokens: int
    counted: bool = False
    modalities: tuple[str, ...] = ("text",)
    tools: int = 0
    structured: bool = False
    language: str = "und"
    code_share: float = 0.0
    max_tokens: int | None = None
    stops: int = 0

    def __post_init__(self) -> None:
        if not _amount(self.input_tokens, self.tools, self.max_tokens, self.stops):
            raise ValueError("profile: a count is negative")
        if not 0 <= self.code_share <= 1:
            raise ValueError("profile: code_share is not in [0, 1]")


@dataclass(frozen=True, slots=True)
class Urgency:
    """How urgent a request is and which rule says so (a bounded label)."""

    priority: Priority
    reason: str

    def __post_init__(self) -> None:
        if self.priority not in _PRIORITIES:
            raise ValueError("urgency: not one of the four priority classes")


@dataclass(frozen=True, slots=True)
class Staleness:
    """How soon the answer goes stale and which rule says so (a bounded label)."""

    volatility: Volatility
    reason: str

    def __post_init__(self) -> None:
        if self.volatility not in _VOLATILITIES:
            raise ValueError("staleness: not one of the five kinds")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a prompt has in common with others.

    Attributes:
        template: names the constant part of a recurring prompt; "" where the prompt is like no other.
        constant: share of the prompt's words that are that part, in [0, 1].
        prefix: one digest a block of the prompt's beginning, each of all that lies before its end, so that two prompts share
            as many blocks as their chains agree in. Only whole blocks have one.

    Raises:
        ValueError: `constant` is out of its range.
    """

    template: str = ""
    constant: float = 0.0
    prefix: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.constant <= 1:
            raise ValueError("fingerprint: constant is not in [0, 1]")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How a request relates to those in flight and to recent ones of the same scope.

    Attributes:
        inflight_same, inflight_similar: equal and nearly equal requests that the engine works on now.
        recent_same, recent_similar: the same within the window of recent requests.
        cluster: number of the group of like questions it belongs to, None without a vector.
        cluster_size: how many recent requests are in it, this one included.

    Raises:
        ValueError: a count is negative.
    """

    inflight_same: int = 0
    inflight_similar: int = 0
    recent_same: int = 0
    recent_similar: int = 0
    cluster: int | None = None
    cluster_size: int = 0

    def __post_init__(self) -> None:
        counts = (self.inflight_same, self.inflight_similar, self.recent_same, self.recent_similar, self.cluster_size)
        if not _amount(*counts):
            raise ValueError("neighbours: a count is negative")


@dataclass(frozen=True, slots=True)
class Length:
    """How long the answer will be.

    Attributes:
        median: output tokens: half of such answers are shorter.
        q90: nine in ten are shorter.
        confidence: how much the predictor knows of such requests, in [0, 1]; 0 is a guess.
        source: bounded label: what it was predicted from.

    Raises:
        ValueError: not finite, negative, or the median lies above the quantile.
    """

    median: float
    q90: float
    confidence: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.median <= self.q90 < math.inf:
            raise ValueError("length: not 0 <= median <= q90")
        if not 0 <= self.confidence <= 1:
            raise ValueError("length: confidence is not in [0, 1]")

    @property
    def mean(self) -> float:
        """The mean of a log-normal length with this median and 90% quantile: sums are of means, not of medians."""
        if not self.median:
            return 0.0
        spread = min(math.log(self.q90 / self.median) / _Z90, _WIDEST)
        return self.median * math.exp(spread * spread / 2)


@dataclass(frozen=True, slots=True)
class Work:
    """What a request will take of its engine.

    Attributes:
        prefill_tokens: prompt tokens to read.
        decode_tokens: output tokens to make, at the median.
        kv_blocks: blocks of the engine's KV cache at the end, at the 90% quantile of the output.
        seconds: from entering the engine to the last token, at the median and the engine's present load; None before the
            engine was seen at work.
        ttft_s, tpot_s: time to the first token, and for each after it, of those seconds.
        seconds_q90: at the 90% quantile of the output.
        usd: price at the median output, None where no price is known.

    Raises:
        ValueError: a value is negative or not finite.
    """

    prefill_tokens: int
    decode_tokens: float
    kv_blocks: int
    seconds: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    seconds_q90: float | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        amounts = (self.prefill_tokens, self.decode_tokens, self.kv_blocks, self.usd)
        times = (self.seconds, self.ttft_s, self.tpot_s, self.seconds_q90)
        if not _amount(*amounts, *times):
            raise ValueError("work: a value is negative or not finite")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How likely a small engine is to fail at a request.

    Attributes:
        score: in [0, 1]; 0: a small engine answers it, 1: it cannot.
        confidence: how much of it was learned from escalations, in [0, 1]; 0 is a rule of thumb.
        evidence: bounded labels of what weighed most, the heaviest first.

    Raises:
        ValueError: a value is out of its range.
    """

    score: float
    confidence: float = 0.0
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.score <= 1 and 0 <= self.confidence <= 1):
            raise ValueError("difficulty: score or confidence is not in [0, 1]")


@dataclass(frozen=True)  # no slots: `having` is asked for eight times a request
class RequestFacts:
    """What is known about a request. The analyzer gives the first six, classifiers and predictors each one of the others.

    Attributes:
        input_tokens: estimated prompt tokens.
        turns: messages that are not system or developer messages.
        task: kind of work (``question``, ``code``, ``translate``, …).
        cacheable: whether the answer may be kept and reused at all; once False it stays False.
        semantic: whether a similar question may be answered by the same answer; once False it stays False.
        reason: bounded label saying why not, ``ok`` where both hold.
        profile, urgency, staleness: by classifiers, for every request.
        fingerprint, neighbours, length, work, difficulty: by predictors, for what the engine will be asked.
        labels: a plugin's own facts, for strategies' rules.
    """

    input_tokens: int
    turns: int
    task: str
    cacheable: bool
    semantic: bool
    reason: str = "ok"
    profile: Profile | None = None
    urgency: Urgency | None = None
    staleness: Staleness | None = None
    fingerprint: Fingerprint | None = None
    neighbours: Neighbours | None = None
    length: Length | None = None
    work: Work | None = None
    difficulty: Difficulty | None = None
    labels: Mapping[str, Label] = field(default_factory=_no_labels)

    def having(self, **found: Any) -> RequestFacts:
        """Return these facts with some more, or others in their place; a fifth of the time of `dataclasses.replace`."""
        made = object.__new__(RequestFacts)
        object.__setattr__(made, "__dict__", self.__dict__ | found)
        return made

    @property
    def priority(self) -> Priority:
        """The priority class; ``standard`` where nobody found it out."""
        return self.urgency.priority if self.urgency is not None else Priority.STANDARD

    @property
    def prompt_tokens(self) -> int:
        """The prompt's tokens as well as they are known."""
        return self.profile.input_tokens if self.profile is not None else self.input_tokens


def packed(vector: Vector | None) -> Vector | None:
    """Return a vector as float32 in one piece: what computes with it then takes it as it lies, without reading each number."""
    return vector if vector is None or isinstance(vector, array) else array("f", vector)


@dataclass(frozen=True)  # no slots: `having` is asked for by each predictor
class Subject:
    """What a predictor is told about a request that the engine will be asked.

    Attributes:
        facts: found so far, by those that came before.
        key: the key of its answer, None where it has none; `Key.exact` is equal for equal requests, `Key.scope` must be
            equal before two are compared.
        vector: the question's unit vector where the lookup had it made; never made for this.
        now_s: monotonic time.
        load: what is inside the engine and in front of it.
    """

    request: Request
    facts: RequestFacts
    key: Key | None = None
    vector: Vector | None = None
    now_s: float = 0.0
    load: Load | None = None

    def having(self, facts: RequestFacts) -> Subject:
        """Return the same with other facts; a fifth of the time of `dataclasses.replace`."""
        made = object.__new__(Subject)
        object.__setattr__(made, "__dict__", self.__dict__ | {"facts": facts})
        return made


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request that the engine was asked.

    Attributes:
        subject: what was known before; its facts are those that were predicted.
        input_tokens, output_tokens: as the engine counted them; 0 where it did not say.
        complete: the engine came to a clean end; False: failed, cancelled or abandoned.
        truncated: the output ended at a limit of tokens: it would have been longer.
        lane: the deployment that computed it.
        entered_s, first_token_s, ended_s: monotonic; the first token only of streams. None where it was not seen.
        escalated: a small engine's answer was (True) or was not (False) given to a larger one; None: nobody tried.
    """

    subject: Subject
    input_tokens: int = 0
    output_tokens: int = 0
    complete: bool = True
    truncated: bool = False
    lane: str = ""
    entered_s: float | None = None
    first_token_s: float | None = None
    ended_s: float | None = None
    escalated: bool | None = None
