"""How likely a small engine is to fail, by a rule of thumb that learns from escalations."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from ...middleware.analysis.facts import Difficulty
from .features import NAMED, NAMES, PRIOR, SIZE, features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import Outcome, RequestFacts, Subject
    from ...middleware.records import JsonObject

SCHEMA: Final = 1
RATE: Final = 0.35
MAX_WEIGHT: Final = 8.0
HALF_SURE: Final = 50
"""After so many escalations asked and answered, confidence is a half."""
WINDOW: Final = 500
"""The last outcomes by which ranking is measured."""
_EVIDENCE: Final = 3
_MAX_COUNT: Final = 2**53
_LOG_ODDS: Final = 30.0


class LogisticDifficulty:
    """Predicts `RequestFacts.difficulty`: the odds that the answer of a small engine has to be given to a larger one.

    A logistic regression over seven named features, whose weights begin as a rule of thumb, and words and pairs of words
    hashed into 1,024 weights, which begin at nothing; learned one outcome at a time with AdaGrad (Duchi et al., 2011).
    It learns only from outcomes that say whether they were escalated. Confidence is n / (n + 50) after n of those.

    State: 1,032 weights, as many sums of squares, and 500 outcomes, about 26 kB as JSON.
    """

    def __init__(self) -> None:
        self._weights: list[float] = [*PRIOR.values(), *([0.0] * (SIZE - NAMED))]
        self._squares: list[float] = [1.0] * SIZE
        self._learned = 0
        self._hard = 0
        self._squared_error = 0.0
        self._seen: deque[tuple[float, bool]] = deque(maxlen=WINDOW)

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the facts with the difficulty."""
        # before the first lesson words weigh nothing, and finding them is most of the work
        found = features(subject, words=self._learned > 0)
        weights = self._weights
        parts = {NAMES[at]: weights[at] * value for at, value in found.items() if at < NAMED}
        if self._learned:
            parts["words"] = sum([weights[at] * value for at, value in found.items() if at >= NAMED])
        total = sum(parts.values())
        del parts["bias"]  # of every request: no evidence about this one
        heaviest = sorted([(-abs(part), name) for name, part in parts.items() if part])[:_EVIDENCE]
        confidence = self._learned / (self._learned + HALF_SURE)
        return subject.facts.having(
            difficulty=Difficulty(_probability(total), confidence, tuple([name for _, name in heaviest]))
        )

    def learn(self, outcome: Outcome) -> None:
        """Measure the prediction against what happened, then take it in."""
        if outcome.escalated is None:
            return
        hard = outcome.escalated
        told = outcome.subject.facts.difficulty
        found = features(outcome.subject)
        now = _probability(sum(self._weights[at] * value for at, value in found.items()))
        score = told.score if told is not None else now
        self._seen.append((round(score, 6), hard))
        self._squared_error += (score - hard) ** 2
        self._learned += 1
        self._hard += hard
        error = now - hard
        for at, value in found.items():
            slope = error * value
            self._squares[at] += slope * slope
            step = self._weights[at] - RATE * slope / math.sqrt(self._squares[at])
            self._weights[at] = max(-MAX_WEIGHT, min(MAX_WEIGHT, step))

    def report(self) -> Sequence[JsonObject]:
        """Return one row: Brier score of all, beside that of the mean rate, and AUC of the last 500."""
        count = self._learned
        rate = self._hard / count if count else 0.0
        return [
            {
                "predictor": "difficulty",
                "n": count,
                "escalated": rate,
                "brier": self._squared_error / count if count else None,
                "brier_of_mean": rate * (1 - rate) if count else None,
                "auc": auc(self._seen),
            }
        ]

    def snapshot(self) -> JsonObject:
        """Return the state as JSON."""
        return {
            "schema": SCHEMA,
            "weights": _packed(self._weights),
            "squares": _packed(self._squares),
            "learned": self._learned,
            "hard": self._hard,
            "squared_error": self._squared_error,
            "seen": [[score, int(hard)] for score, hard in self._seen],
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another one's; nothing changed.
        """
        if type(state["schema"]) is not int or state["schema"] != SCHEMA:
            raise ValueError(f"difficulty: the schema is not {SCHEMA}")
        weights = _unpacked(state["weights"], -MAX_WEIGHT, MAX_WEIGHT)
        squares = _unpacked(state["squares"], 1.0, math.inf)
        learned, hard = _count(state["learned"]), _count(state["hard"])
        error: Any = state["squared_error"]
        if hard > learned or type(error) not in (int, float) or not 0 <= error <= learned:
            raise ValueError("difficulty: the figures do not fit each other")
        seen: Any = state["seen"]
        if not isinstance(seen, list) or len(cast("Sequence[Any]", seen)) > min(WINDOW, learned):
            raise ValueError("difficulty: not a list of outcomes")
        outcomes = [_outcome(item) for item in cast("Sequence[Any]", seen)]
        self._weights, self._squares, self._learned, self._hard = weights, squares, learned, hard
        self._squared_error = error
        self._seen = deque(outcomes, maxlen=WINDOW)


def auc(seen: Sequence[tuple[float, bool]]) -> float | None:
    """Return how often a hard request scored above an easy one, ties as halves; None without one of each."""
    ranked = sorted(seen)
    hard = sum(label for _, label in ranked)
    easy = len(ranked) - hard
    if not hard or not easy:
        return None
    wins, below, at = 0.0, 0, 0
    while at < len(ranked):
        end, here = at, 0
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            here += ranked[end][1]
            end += 1
        level = end - at - here
        wins += here * (below + level / 2)
        below += level
        at = end
    return wins / (hard * easy)


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-_LOG_ODDS, min(_LOG_ODDS, log_odds))))


def _packed(values: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{SIZE}f", *values)).decode("ascii")


def _unpacked(text: Any, least: float, most: float) -> list[float]:
    try:
        values = list(struct.unpack(f"<{SIZE}f", base64.b64decode(text, validate=True)))
    except (struct.error, binascii.Error):
        raise ValueError("difficulty: not weights of this version") from None
    if not all(math.isfinite(value) and least <= value <= most for value in values):
        raise ValueError("difficulty: a weight is out of its range")
    return values


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_COUNT:
        raise ValueError("difficulty: not a count")
    return value


def _outcome(item: Any) -> tuple[float, bool]:
    score, hard = item
    if type(score) not in (int, float) or not 0 <= score <= 1 or type(hard) is not int or hard not in (0, 1):
        raise ValueError("difficulty: not an outcome")
    return float(score), bool(hard)
