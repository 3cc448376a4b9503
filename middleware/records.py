"""Records: the frozen values that stops, protocols and hooks hand to each other.

They are frozen so that an observer cannot change a request, and dataclasses so that a field can be added
without breaking an implementation. Times ending in ``_s`` are seconds; ``created_s`` and ``expires_s`` are
seconds of the Unix epoch, everything else is a duration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]
Vector: TypeAlias = Sequence[float]

EMPTY: JsonObject = MappingProxyType({})


def _empty() -> JsonObject:
    return EMPTY


class Tier(StrEnum):
    """Where a hit was found."""

    EXACT = "exact"
    INFLIGHT = "inflight"
    SEMANTIC = "semantic"


class Mode(StrEnum):
    """What forebay may do with a request: nothing, decide without acting, or act."""

    OFF = "off"
    SHADOW = "shadow"
    SERVE = "serve"


class CacheStatus(StrEnum):
    """The value of the response header ``x-forebay-cache``."""

    EXACT = "exact"
    INFLIGHT = "inflight"
    SEMANTIC = "semantic"
    STALE = "stale"
    MISS = "miss"
    BYPASS = "bypass"
    SHED = "shed"
    SHADOW = "shadow"


class Ending(StrEnum):
    """How a flight ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Controls:
    """What the caller asked of the cache for this one request.

    Attributes:
        bypass: take no part in this request at all (header ``x-forebay-bypass``).
        no_cache: do not answer from the cache.
        no_store: do not keep the answer.
        ttl_s: keep the answer at most this long, None for the expiry policy's choice.
        max_age_s: do not answer from an entry older than this, None for any age.
        max_stale_s: do not answer from an entry that expired longer ago than this; None for the expiry policy's grace.
        tags: names the answer is kept under, for invalidation.
        wrong: the id of an earlier request whose kept answer was wrong: it is forgotten, and this request computed.
    """

    bypass: bool = False
    no_cache: bool = False
    no_store: bool = False
    ttl_s: float | None = None
    max_age_s: float | None = None
    max_stale_s: float | None = None
    tags: tuple[str, ...] = ()
    wrong: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request, in OpenAI's terms.

    Attributes:
        id: unique; also the ``x-forebay-id`` of the response.
        model: the model's name as the caller wrote it.
        messages: OpenAI chat messages, oldest first.
        params: every other field of the body that can change the answer (tools, temperature, …).
        tenant: who may share answers with whom.
        endpoint: whose format the answer has: ``chat``, ``completions``, ``responses``, ``messages`` (Anthropic's) or
            ``embeddings``; ``tokens``: a prompt of token ids, whose answer has the form of a chat's.
        batch: each message is asked on its own and has an answer of its own (embedding inputs).
        labels: whom the savings are accounted to (``key``, ``team``, …); names and digests, never secrets.
        hints: what the host knows beside `params`, for rules: ``header.NAME`` (lower-cased, without credentials),
            ``body.service_tier`` and ``body.priority``, ``key.NAME`` and ``team.NAME`` (metadata the operator gave them).
        stream: whether the caller wants server-sent events.
        deadline_s: seconds the caller will wait, None where unknown.
        token_ids: what the engine will read, where the host has made it of the messages: two requests are equal only where
            these are, too.
    """

    id: str
    model: str
    messages: Sequence[JsonObject]
    params: JsonObject = field(default_factory=_empty)
    tenant: str = "default"
    endpoint: str = "chat"
    stream: bool = False
    controls: Controls = Controls()
    deadline_s: float | None = None
    batch: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    hints: Mapping[str, str] = field(default_factory=dict[str, str])
    token_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a question needs from earlier turns.

    Attributes:
        text: what it leans on, as canonical text; "" where it stands alone.
        resolved: False where it leans on earlier turns that could not be read; then all of them are its context.
        reason: bounded label saying how that was decided.
    """

    text: str = ""
    resolved: bool = True
    reason: str = "no_earlier_turns"


@dataclass(frozen=True, slots=True)
class Key:
    """The key of an answer: see "The key of an answer" in docs/concepts.md.

    Attributes:
        scope: hex digest of all that must be equal.
        context: hex digest of what the question needs from earlier turns, "" where it stands alone.
        exact: hex digest of scope, context and question: the id of the entry.
        text: the question as canonical text; never put into spans or logs.
        reading: what the question leans on, as text; "" where it stands alone or where nothing could be read.
        system: hex digest of the system prompt's text (`system_digest`), "" where there is none.
    """

    scope: str
    context: str
    exact: str
    text: str
    reading: str = ""
    system: str = ""

    @property
    def comparable(self) -> str:
        """Only entries for which this is equal, too, may be compared by similarity: see `comparable`."""
        return comparable(self.context, self.reading)


LEANING: Final = "reading"


def comparable(context: str, reading: str) -> str:
    """Return what must be equal, beside the scope, before two questions may be compared by similarity.

    "" for those that stand alone, one word for those whose context was read (their readings are compared, too), and the
    context itself where it could not be read: it must be the same.
    """
    return LEANING if reading else context


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, in the format of its request's endpoint, and what it cost in tokens."""

    body: JsonObject
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept answer.

    Attributes:
        id: `Key.exact` of the request that made it.
        question: canonical text of the question, for lexical evidence.
        vector: the question's unit vector, None where it was never embedded.
        reading: `Key.reading`.
        context_vector: the reading's unit vector, None where there is no reading or it was never embedded.
        embedder: id of the model that made the vector; vectors of two models are never compared.
        tenant: keyed digest of the tenant, for `cache forget`.
        cost: what computing it again would cost, in tokens.
        expires_s: Unix time after which it must not be served as fresh.
        tags: names it can be invalidated by.
        epoch: of its tenant and of everything, see `epochs`; what an earlier one has is not served.
        system: keyed digest of the system prompt, for invalidation; "" where there is none.
        grace_s, error_grace_s: see `lifetimes.Lifetime`.
    """

    id: str
    scope: str
    context: str
    question: str
    answer: Answer
    model: str
    tenant: str
    created_s: float
    expires_s: float
    vector: Vector | None = None
    embedder: str = ""
    cost: float = 0.0
    size_bytes: int = 0
    tags: tuple[str, ...] = ()
    epoch: int = 0
    reading: str = ""
    context_vector: Vector | None = None
    system: str = ""
    grace_s: float = 0.0
    error_grace_s: float = 0.0

    @property
    def comparable(self) -> str:
        """See `comparable`."""
        return comparable(self.context, self.reading)

    @property
    def until_s(self) -> float:
        """Unix time after which it must not be served at all, and may be deleted."""
        return self.expires_s + max(self.grace_s, self.error_grace_s)


@dataclass(frozen=True, slots=True)
class Query:
    """What a store is searched for: at most `limit` entries with the key's scope and `comparable`, of one embedder.

    `vector` is the question's unit vector, `context_vector` the reading's, None where the key has no reading.
    """

    key: Key
    vector: Vector
    embedder: str
    limit: int
    context_vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that a search found.

    Attributes:
        similarity: cosine of the questions' vectors, in [-1, 1].
        context_similarity: cosine of the readings' vectors; 1 where the contexts are the same or there is none.
    """

    entry: Entry
    similarity: float
    context_similarity: float = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What an acceptance policy is told about the request beside the candidate.

    Attributes:
        tenant: keyed digest of the tenant.
        route: the model's name, as the caller wrote it.
        category: the analyzer's task.
    """

    key: Key
    tenant: str = ""
    route: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate may answer a request.

    Attributes:
        confidence: in [0, 1], how sure the policy is that the answers are interchangeable.
        reason: bounded label, for example ``below_threshold`` or ``number_conflict``.
        proven: False where the policy would accept it, but how often it is wrong with such is not yet known to be seldom
            enough: it is shadowed and audited, not served.
        stratum: what was known about such hits was known about these, for people; "" where the policy keeps no account.
    """

    accepted: bool
    confidence: float
    reason: str
    proven: bool = True
    stratum: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """A decision of an acceptance policy and what a judge said of it.

    Attributes:
        same: whether the kept answer could stand for the fresh one; None where the judge could not tell.
        share: with which probability it was chosen to be audited, in (0, 1].
        served: whether a client got the kept answer.
        kind: ``candidate``: the decision itself; ``repeat``: the engine's answer beside another of its own to the very same
            request (how often it disagrees with itself); ``control``: beside the answer to another question (how often the
            judge sees a difference where there is one).
    """

    asked: Asked
    verdict: Verdict
    same: bool | None
    share: float = 1.0
    served: bool = False
    kind: str = "candidate"


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """Two answers for a judge, as plain text: the kept one, to `kept_question`, and the engine's, to `question`.

    A question that leans on earlier turns has its reading in front.
    """

    question: str
    kept_question: str
    kept: str
    fresh: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge says of two answers: whether one could stand for the other, None where it cannot tell, and why."""

    same: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Hit:
    """The lookup found an answer; a `stale` one has expired, and is served within its grace."""

    tier: Tier
    entry: Entry
    similarity: float
    confidence: float
    age_s: float
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Miss:
    """The lookup found none, and why.

    Attributes:
        reason: bounded label (see docs/telemetry.md).
        similarity: of the nearest candidate, where one was seen.
        shadow: the hit that would have been served had the mode allowed it.
    """

    reason: str
    similarity: float | None = None
    shadow: Hit | None = None


Lookup: TypeAlias = Hit | Miss


@dataclass(frozen=True, slots=True)
class Selector:
    """Which entries an operation is about; fields that are None do not restrict. All None means all.

    Attributes:
        expired_at_s: only what may not be served any more at this Unix time, its grace included.
        tag: only what is kept under this name.
        system: only what was asked with the system prompt of this digest.
        version: only what the engine said that this model made (``model`` of the answer, as ``gpt-4o-2024-08-06``).
        created_before_s: only what was kept before this Unix time.
        epoch: only what an earlier epoch than this one has.
    """

    id: str | None = None
    scope: str | None = None
    tenant: str | None = None
    model: str | None = None
    expired_at_s: float | None = None
    tag: str | None = None
    system: str | None = None
    version: str | None = None
    created_before_s: float | None = None
    epoch: int | None = None


EVERYTHING: Selector = Selector()
