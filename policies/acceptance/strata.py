"""What is known about the hits of one stratum, by how confident they were.

Bands are cumulative: account k holds the audits of all decisions at least as confident as the k-th cut, because
that is what serving from this cut downward serves. Which cuts are proven is found by the fallback procedure (Wiens
2003): each account may err with its part of alpha, and one that is proven hands its part on to the next. That any is
proven falsely, ever, has a probability of at most alpha.
"""

from __future__ import annotations

from math import inf, log
from typing import TYPE_CHECKING, Any, Final

from .sequence import evidence_above, evidence_below, lower_bound, tempered

if TYPE_CHECKING:
    from ...middleware.records import JsonObject

MARGIN: Final = 3.0
"""Evidence kept beyond what proof takes, in nats: see "Drift" in `verified`."""


class Stratum:
    """Audits of one stratum, and what follows from them.

    Args:
        bands: how many, at least 1.
        alpha: with which probability any of them may be proven falsely.

    Attributes:
        right: weights of right ones, one sum an account.
        wrong: the same of wrong ones.
        shares: the audit share last given to a decision of a band; not cumulative.
        repeats: how many pairs of answers to the same request agreed, and how many differed, for the judge.
        disagreement: a lower bound of how often they differ.
        limit: audits find a difference at least so often where hits are wrong too often; at 0 nothing is proven.
        bad: they find one at most so often where hits are not wrong too often; at least `limit`.
        proven: the last account that is proven, -1 for none.
        worse: the first account that is proven to be wrong too often, the number of bands for none.
        calm: how safely `proven` is, from 0 (just so) to 1 (as safely as is kept).
        tried: audits of hits that it had proven, since it has proven any.
    """

    __slots__ = (
        "_alpha",
        "_evidence",
        "_part",
        "bad",
        "calm",
        "disagreement",
        "limit",
        "proven",
        "repeats",
        "right",
        "shares",
        "tried",
        "worse",
        "wrong",
    )

    def __init__(self, bands: int, alpha: float) -> None:
        self._alpha = alpha
        self._part = alpha / bands
        self._evidence = [-inf] * bands
        self.right = [0.0] * bands
        self.wrong = [0.0] * bands
        self.shares = [1.0] * bands
        self.repeats = [0.0, 0.0]
        self.disagreement = 0.0
        self.limit = 0.0
        self.bad = 1.0
        self.proven = -1
        self.worse = bands
        self.calm = 0.0
        self.tried = 0.0

    @property
    def weight(self) -> float:
        """Of all its audits: what would be lost with it."""
        return self.right[-1] + self.wrong[-1]

    def count(self, band: int, *, same: bool, share: float, tried: bool = False) -> None:
        """Take in an audit of a decision in a band.

        Args:
            share: the probability with which it was chosen, above 0. All decisions of an account count the same: an
                audit that was likelier than the least likely of them weighs less.
            tried: the hit was proven, by this stratum.
        """
        self.tried += tried
        sums = self.right if same else self.wrong
        most = MARGIN - log(self._part)
        floor = min(self.shares[:band], default=1.0)
        for at in range(band, len(sums)):
            floor = min(floor, self.shares[at])
            sums[at] += min(1.0, floor / share)
            self._evidence[at] = evidence_below(self.right[at], self.wrong[at], self.limit)
            if self._evidence[at] > most:
                self.right[at], self.wrong[at] = tempered(self.right[at], self.wrong[at], self.limit, most)
                self._evidence[at] = evidence_below(self.right[at], self.wrong[at], self.limit)
        self._conclude()

    def repeat(self, *, same: bool, alpha: float) -> None:
        """Take in what the judge said of two answers to one request; alpha is the bound's own."""
        self.repeats[not same] += 1.0
        self.disagreement = self._disagreement(alpha)

    def allow(self, limit: float, bad: float) -> None:
        """Set the rates at which audits may find a difference."""
        if (limit, bad) != (self.limit, self.bad):
            self.limit, self.bad = limit, bad
            self._weigh()

    def _disagreement(self, alpha: float) -> float:
        agreed, differed = self.repeats
        return lower_bound(agreed, differed, alpha) if differed else 0.0

    def _weigh(self) -> None:
        self._evidence = [
            evidence_below(right, wrong, self.limit) for right, wrong in zip(self.right, self.wrong, strict=True)
        ]
        self._conclude()

    def _conclude(self) -> None:
        """Find out what the evidence proves."""
        bands = len(self.right)
        self.proven, self.worse, self.calm = -1, bands, 0.0
        may = 0.0
        for at, evidence in enumerate(self._evidence):
            may += self._part
            if evidence >= -log(may):
                self.proven = at
                self.calm = min(1.0, (evidence + log(may)) / MARGIN)
                continue
            may = 0.0
            if self.worse == bands and self._is_worse(at):
                self.worse = at
        if self.proven < 0:
            self.tried = 0.0

    def _is_worse(self, at: int) -> bool:
        right, wrong = self.right[at], self.wrong[at]
        # the share itself must be above first: saves most of the sums
        return wrong > self.bad * (right + wrong) and evidence_above(right, wrong, self.bad) >= -log(self._alpha)

    def snapshot(self) -> JsonObject:
        """Return what was counted."""
        return {
            "right": self.right[:],
            "wrong": self.wrong[:],
            "shares": self.shares[:],
            "repeats": self.repeats[:],
            "limit": self.limit,
            "bad": self.bad,
            "tried": self.tried,
        }

    def restore(self, state: Any, alpha: float) -> None:
        """Take over a snapshot; alpha is that of the bound on the engine's disagreement with itself.

        Raises:
            ValueError, KeyError, TypeError: it is something else; nothing changed.
        """
        bands = len(self.right)
        sums = numbers(state["right"], bands), numbers(state["wrong"], bands)
        shares, repeats = numbers(state["shares"], bands, most=1.0), numbers(state["repeats"], 2)
        limit, bad = numbers([state["limit"], state["bad"]], 2, most=1.0)
        (tried,) = numbers([state["tried"]], 1)
        self.right, self.wrong = sums
        self.shares, self.repeats, self.tried = shares, repeats, tried
        self.limit, self.bad = limit, bad
        self.disagreement = self._disagreement(alpha)
        self._weigh()


def numbers(values: Any, length: int, most: float = inf) -> list[float]:
    """Return a list of so many finite numbers in [0, most].

    Raises:
        ValueError, TypeError: it is something else.
    """
    if not isinstance(values, list):
        raise TypeError("not a list")
    found: list[Any] = values  # pyright: ignore[reportUnknownVariableType]
    if len(found) != length:
        raise ValueError(f"not {length} numbers")
    if not all(isinstance(value, float) and 0.0 <= value <= most and value < inf for value in found):
        raise ValueError("a number is out of range")
    return [*found]
