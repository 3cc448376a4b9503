"""A semantic tier whose vectors, verdicts and judgements are written down by the test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from forebay.middleware.records import Audit, Judgement, Reading, Verdict
from tests.middleware.parts import Given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.middleware.protocols import ContextReader
    from forebay.middleware.records import AnswerPair, Asked, Candidate, JsonObject

ANGLES: dict[str, tuple[float, ...]] = {
    "cat": (1.0, 0.0, 0.0, 0.0),
    "kitten": (0.96, 0.28, 0.0, 0.0),
    "tomcat": (0.8, 0.6, 0.0, 0.0),
    "dog": (0.0, 1.0, 0.0, 0.0),
}
"""Unit vectors: of a text, that of its last known word; (0, 0, 0, 1) where it has none."""


class Words:
    """An embedder that looks its vectors up; notes what it was asked for."""

    model_id = "words@1"
    dimension = 4

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        self.texts += texts
        known = [[word for word in text.lower().strip("?").split() if word in ANGLES] for text in texts]
        return [ANGLES[words[-1]] if words else (0.0, 0.0, 0.0, 1.0) for words in known]


class Scripted:
    """An acceptance policy that takes what is at least so near, and is audited."""

    def __init__(self, *, cut: float = 0.9, proven: bool = True, share: float = 0.0) -> None:
        self.cut = cut
        self.proven = proven
        self.share_ = share
        self.audits: list[Audit] = []
        self.judged: list[tuple[Asked, Candidate]] = []
        self.state: dict[str, Any] = {"n": 0}

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        self.judged.append((asked, candidate))
        near = min(candidate.similarity, candidate.context_similarity)
        accepted = near >= self.cut
        reason = "accepted" if accepted else "below_threshold"
        return Verdict(accepted, max(0.0, near), reason, proven=self.proven, stratum="all")

    def share(self, asked: Asked, verdict: Verdict) -> float:
        return self.share_

    def learn(self, audit: Audit) -> None:
        self.audits.append(audit)
        self.state = {"n": len(self.audits)}

    def report(self) -> Sequence[JsonObject]:
        return [dict(self.state)]

    def snapshot(self) -> JsonObject:
        return self.state

    def restore(self, state: JsonObject) -> None:
        self.state = {"n": int(state["n"])}


class SaysSo:
    """A judge that says what it is told to say; notes what it is shown."""

    def __init__(self, *, same: bool | None = True, error: Exception | None = None) -> None:
        self.same = same
        self.error = error
        self.pairs: list[AnswerPair] = []

    async def compare(self, pair: AnswerPair) -> Judgement:
        self.pairs.append(pair)
        if self.error is not None:
            raise self.error
        return Judgement(self.same, "told")


class LastTurns:
    """A context reader: "it" leans on the turn before, "that" on something nobody can read, all else stands alone."""

    def read(self, messages: Sequence[JsonObject]) -> Reading:
        turns = [str(message["content"]) for message in messages if message["role"] == "user"]
        if "that" in turns[-1].split():
            return Reading(resolved=False, reason="unclear")
        return Reading(turns[-2], reason="pronoun") if "it" in turns[-1].split() else Reading(reason="stands_alone")


class Rig:
    """The parts, and the plugin and settings that put them in."""

    def __init__(self, *, judge: SaysSo | None = None, reader: ContextReader | None = None, **acceptance: Any) -> None:
        self.embedder = Words()
        self.acceptance = Scripted(**acceptance)
        self.judge = judge or SaysSo()
        self.plugin = Given(
            embedder=self.embedder, acceptance=self.acceptance, judge=self.judge, context=reader or LastTurns()
        )

    def settings(self, **more: Any) -> dict[str, Any]:
        return {**self.plugin.settings, **more}


def shown(audits: Sequence[Audit], kind: str = "candidate") -> list[Audit]:
    """Return the audits of a kind without what was asked."""
    return [replace(audit, asked=audits[0].asked) for audit in audits if audit.kind == kind]
