"""From labelled pairs to what a policy would be asked, and its verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING, Final

from ...middleware.keys import Keyring, make_key
from ...middleware.protocols import Component
from ...middleware.records import Answer, Asked, Candidate, Entry, Key, Reading, Request, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...middleware.protocols import Acceptance, ContextReader, Embedder
    from ...middleware.records import Vector
    from .pairs import LabelledPair, Side

OTHER_SCOPE: Final = "other_scope"
"""Reason for pairs that no policy is ever asked about: another system prompt, or a context that could not be read."""

_KEYRING: Final = Keyring.from_secret("labelled pairs are no secret")
_ANSWER: Final = Answer({})
_BATCH: Final = 64
_MODEL: Final = "lab"


@dataclass(frozen=True, slots=True)
class Case:
    """A labelled pair as an acceptance policy meets it.

    Attributes:
        comparable: False where the lookup would never have brought the two together.
    """

    pair: LabelledPair
    asked: Asked
    candidate: Candidate
    comparable: bool


async def cases_of(pairs: Sequence[LabelledPair], embedder: Embedder, reader: ContextReader) -> list[Case]:
    """Make the keys of both sides of each pair and embed their questions and readings.

    Raises:
        EmbedderError: the model failed.
    """
    keys = [(_key(pair.a, reader), _key(pair.b, reader)) for pair in pairs]
    texts = dict.fromkeys(text for sides in keys for key in sides for text in (key.text, key.reading) if text)
    vectors = await embed_all(embedder, list(texts))
    return [_case(pair, left, right, vectors) for pair, (left, right) in zip(pairs, keys, strict=True)]


async def embed_all(embedder: Embedder, texts: Sequence[str]) -> dict[str, Vector]:
    """Start the embedder, embed all texts and stop it."""
    component = embedder if isinstance(embedder, Component) else None
    if component is not None:
        await component.start()
    try:
        vectors: dict[str, Vector] = {}
        # alike lengths together: what batches by length has more to batch
        ordered = sorted(texts, key=len)
        for at in range(0, len(ordered), _BATCH):
            part = ordered[at : at + _BATCH]
            vectors.update(zip(part, await embedder.embed(part), strict=True))
        return vectors
    finally:
        if component is not None:
            await component.stop()


def verdict_of(policy: Acceptance, case: Case) -> Verdict:
    """Return what a policy says; a refusal without asking it where the two would never have met."""
    if not case.comparable:
        return Verdict(accepted=False, confidence=0.0, reason=OTHER_SCOPE)
    return policy.judge(case.asked, case.candidate)


def cosine(left: Iterable[float], right: Iterable[float]) -> float:
    """Return the cosine of two unit vectors."""
    return float(sum(map(mul, left, right)))


def _key(side: Side, reader: ContextReader) -> Key:
    messages = [{"role": "user", "content": side}] if isinstance(side, str) else side
    reading = reader.read(messages) if len(messages) > 1 else Reading()
    return make_key(Request(id=_MODEL, model=_MODEL, messages=messages), _KEYRING, reading)


def _case(pair: LabelledPair, asked: Key, kept: Key, vectors: dict[str, Vector]) -> Case:
    vector, kept_vector = vectors.get(asked.text), vectors.get(kept.text)
    similarity = cosine(vector, kept_vector) if vector is not None and kept_vector is not None else 0.0
    near = 1.0
    if asked.reading != kept.reading:
        both = vectors.get(asked.reading), vectors.get(kept.reading)
        near = cosine(both[0], both[1]) if both[0] is not None and both[1] is not None else 0.0
    entry = Entry(
        id=kept.exact,
        scope=kept.scope,
        context=kept.context,
        question=kept.text,
        answer=_ANSWER,
        model=_MODEL,
        tenant="",
        created_s=0.0,
        expires_s=1.0,
        reading=kept.reading,
    )
    comparable = asked.scope == kept.scope and asked.comparable == kept.comparable
    return Case(pair, Asked(asked), Candidate(entry, similarity, near), comparable)
