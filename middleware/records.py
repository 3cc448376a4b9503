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
from typing import Any, TypeAlias

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
    """

    bypass: bool = False
    no_cache: bool = False
    no_store: bool = False
    ttl_s: float | None = None
    max_age_s: float | None = None


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
            ``embeddings``.
        batch: each message is asked on its own and has an answer of its own (embedding inputs).
        labels: whom the savings are accounted to (``key``, ``team``, …); names and digests, never secrets.
        stream: whether the caller wants server-sent events.
        deadline_s: seconds the caller will wait, None where unknown.
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


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What the analyzer found out about a request.

    Attributes:
        input_tokens: estimated prompt tokens.
        turns: messages that are not system or developer messages.
        task: kind of work (``question``, ``code``, ``translate``, …).
        cacheable: whether the answer may be kept and reused at all.
        semantic: whether a similar question may be answered by the same answer.
        reason: bounded label saying why not, ``ok`` where both hold.
    """

    input_tokens: int
    turns: int
    task: str
    cacheable: bool
    semantic: bool
    reason: str = "ok"


@dataclass(frozen=True, slots=True)
class Key:
    """The key of an answer: see "The key of an answer" in docs/concepts.md.

    Attributes:
        scope: hex digest of all that must be equal.
        context: hex digest of the earlier turns the question depends on, "" where it stands alone.
        exact: hex digest of scope, context and question: the id of the entry.
        text: the question as canonical text; never put into spans or logs.
    """

    scope: str
    context: str
    exact: str
    text: str


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
        embedder: id of the model that made the vector; vectors of two models are never compared.
        tenant: keyed digest of the tenant, for `cache forget`.
        cost: what computing it again would cost, in tokens.
        expires_s: Unix time after which it must not be served.
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that a search found, with its cosine similarity in [-1, 1]."""

    entry: Entry
    similarity: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate may answer a request.

    Attributes:
        confidence: in [0, 1], how sure the policy is that the answers are interchangeable.
        reason: bounded label, for example ``below_threshold`` or ``number_conflict``.
    """

    accepted: bool
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Hit:
    """The lookup found an answer."""

    tier: Tier
    entry: Entry
    similarity: float
    confidence: float
    age_s: float


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
    """Which entries an operation is about; fields that are None do not restrict. All None means all."""

    id: str | None = None
    scope: str | None = None
    tenant: str | None = None
    model: str | None = None
    expired_at_s: float | None = None


EVERYTHING: Selector = Selector()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request waiting to be let into the engine."""

    id: str
    tenant: str
    enqueued_s: float
    input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """What is inside the engine and in front of it."""

    inflight: int
    queued: int
    inflight_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one request, for observers and for `explain`.

    Attributes:
        stop: analyze, lookup, admit, run or settle.
        choice: what was decided.
        reason: bounded label.
        detail: numbers and names only, never prompt or answer text.
    """

    request_id: str
    stop: str
    choice: str
    reason: str = ""
    detail: JsonObject = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class Finished:
    """A request is over: what the hook ``request_finished`` gets.

    Attributes:
        labels: `Request.labels`.
        saved_usd: what a hit would have cost, 0 for a miss or where the host knows no prices.
    """

    request_id: str
    model: str
    tenant: str
    status: CacheStatus
    ending: Ending
    duration_s: float
    input_tokens: int = 0
    output_tokens: int = 0
    miss_reason: str = ""
    decisions: tuple[Decision, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    saved_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry was kept: what the hook ``entry_stored`` gets."""

    entry_id: str
    scope: str
    size_bytes: int
    expires_s: float


@dataclass(frozen=True, slots=True)
class Evicted:
    """An entry was dropped: what the hook ``entry_evicted`` gets. Reason: capacity, expired or forgotten."""

    entry_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """forebay is about to take requests: what the hook ``startup`` gets."""

    version: str
    state_dir: str
    components: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Check:
    """A question after readiness: what the hook ``check_ready`` gets.

    Attributes:
        thorough: somebody looks at the result (`forebay doctor`): checks that take seconds are welcome.
    """

    thorough: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """One finding of a readiness check.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        detail: what was found.
        fix: what to do about it, "" where nothing is to be done.
        required: a finding that is not ok and not required is a warning.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True
