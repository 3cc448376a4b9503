"""Serve only such hits as are proven to be wrong seldom enough: a bound on wrong hits among hits, from audits.

Another policy judges the pair. What it vetoes stays refused. What it accepts, or refuses for its confidence alone,
belongs to strata, from narrow to wide: the tenant's and the route's questions of one category, the category's, all. It
is served where one of them is proven for hits at least as confident, and no narrower one is known to be worse.

**The promise.** A stratum in which, from some confidence upward, the share of wrong hits is `delta` or more is ever
served from there with a probability of at most `alpha`: however often one looks, whatever share of the decisions is
audited, in whatever order audits end, as long as their outcome does not decide whether they end. A wrong hit is one
whose answer the judge would tell from a fresh one, corrected for what controls show the judge to overlook, and for how
often the engine's own answers to one request are told apart.

**Not promised.** The share of wrong ones among few hits may exceed `delta` by chance. A narrow stratum served on a
wider one's proof shares in that one's average until its own audits speak against it. A judge who overlooks subtle
differences more often than the coarse ones of the controls lets such errors through.

**Drift.** Evidence beyond what proof takes, and a margin, is forgotten: a stratum that turns bad loses its proof after
a few dozen audits, and its hits are computed until it is proven again. Until then they are as wrong as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from math import floor
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .sequence import upper_bound
from .strata import Stratum, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...middleware.protocols import Acceptance
    from ...middleware.records import Asked, Audit, Candidate, JsonObject, Verdict

Trust: TypeAlias = Literal["audited", "calibrated"]
_Place: TypeAlias = tuple[str, str, str]

BANDS: Final = (0.94, 0.88, 0.82, 0.76, 0.7, 0.64, 0.58, 0.5, 0.4, 0.3)
"""Cuts of the confidence, highest first."""
UNSURE: Final = "below_threshold"
"""Reason of a verdict that refuses for the confidence alone: such hits may be proven, those vetoed may not."""

_ALL: Final = ("all", "", "")
_HOPELESS: Final = 0.01
_DOUBTFUL: Final = 0.1
_TRIAL: Final = 25
"""Audits of served hits after which every second one is audited, of all in the beginning: serving changes what is kept,
and so what is found next, and what is proven early may not last."""
_FOR_JUDGE: Final = 0.1
"""Part of alpha spent on each of the two bounds on the judge's errors."""
_STEP: Final = 0.005
"""The judge's sensitivity is reckoned with in steps of this size, so that it seldom changes."""


class VerifiedAcceptance:
    """An acceptance policy whose hits are served once audits have proven such hits right.

    `judge` and `share` take the same time whatever was learned: a few look-ups. All else is done in `learn`.

    Args:
        inner: judges the pair; its confidence should rise with the chance of being right.
        inner_id: names `inner` and what its confidence comes from: what was proven of another is not taken over.
        delta: the share of wrong hits among hits that is allowed, in (0, 1).
        alpha: the probability with which the promise may fail, in (0, 1).
        trust: ``calibrated`` serves what `inner` accepts without proof; audits are then for the report alone.
        bands: cuts of the confidence in (0, 1], highest first; below the last only what `inner` accepts is ever served.
        budget: the share of served hits to audit while something is to be gained from it, in (0, 1]; more while a proof
            is new.
        steady: the same when nothing is, in (0, budget].
        sensitivity: how often the judge sees a difference where there is one, where that is known, in (0, 1]; None lets
            controls find out: about a hundred are needed before anything is proven.
        max_strata: how many strata are kept; the one with the fewest audits makes room.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        inner: Acceptance,
        *,
        inner_id: str = "",
        delta: float = 0.02,
        alpha: float = 0.05,
        trust: Trust = "audited",
        bands: Sequence[float] = BANDS,
        budget: float = 0.1,
        steady: float = 0.02,
        sensitivity: float | None = None,
        max_strata: int = 500,
    ) -> None:
        if not (0 < delta < 1 and 0 < alpha < 1):
            raise ValueError("delta and alpha must lie between 0 and 1")
        if not 0 < steady <= budget <= 1:
            raise ValueError("steady must be above 0 and at most budget, and budget at most 1")
        if sensitivity is not None and not 0 < sensitivity <= 1:
            raise ValueError("sensitivity must be above 0 and at most 1")
        if not bands or list(bands) != sorted(set(bands), reverse=True) or not (bands[-1] > 0 and bands[0] <= 1):
            raise ValueError("bands must be cuts in (0, 1], highest first")
        if max_strata < 1:
            raise ValueError("max_strata must be at least 1")
        self._inner = inner
        self._inner_id = inner_id
        self._delta = delta
        self._alpha = alpha
        self._audited = trust == "audited"
        self._cuts = tuple(bands)
        self._falling = [-cut for cut in bands]
        self._budget = budget
        self._steady = steady
        self._known = sensitivity
        self._max_strata = max_strata
        self._part = alpha * _FOR_JUDGE
        self._strata: dict[_Place, Stratum] = {}
        self._controls = [0.0, 0.0]  # differences overlooked, and seen
        self._sensitivity = self._measured()

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        """Return the inner policy's verdict and whether such are proven.

        A pair that the inner policy refuses as ``below_threshold`` is accepted from the last cut upward, and served
        where proven: its reason is ``uncertain``.
        """
        verdict = self._inner.judge(asked, candidate)
        if not self._audited:
            return verdict
        if not verdict.accepted:
            if verdict.reason != UNSURE or not verdict.confidence >= self._cuts[-1]:  # NaN, too
                return verdict
            verdict = replace(verdict, accepted=True, reason="uncertain")
        band = self._band(verdict)
        found = self._deciding(asked, band)
        if found is None:
            return replace(verdict, proven=False)
        place, stratum = found
        return replace(verdict, proven=stratum.proven >= band, stratum=self._label(place, stratum, band))

    def share(self, asked: Asked, verdict: Verdict) -> float:
        """Return with which probability to audit a decision.

        A hit that is not served costs its judgement alone: it is always audited, unless there is evidence that such
        hits are wrong too often. One that is served costs a call of the engine: all are audited at first, then fewer
        and fewer, down to `budget` while more may be proven or the proof hangs by a thread, else to `steady`.
        """
        if not verdict.accepted:
            return 0.0
        if not self._audited:
            return self._steady
        band = self._band(verdict)
        share = self._share(asked, band)
        for _, stratum in self._credited(asked, band):
            stratum.shares[band] = share
        return share

    def learn(self, audit: Audit) -> None:
        """Take an audit's outcome in; an abstention counts as a difference seen."""
        same = audit.same is True
        if audit.kind == "control":
            self._controls[not same] += 1.0
            self._notice()
        elif audit.kind == "repeat":
            for place in _places(audit.asked):
                stratum = self._at(place)
                stratum.repeat(same=same, alpha=self._part)
                stratum.allow(*self._limits(stratum))
        elif audit.verdict.accepted:
            band = self._band(audit.verdict)
            for place in _places(audit.asked):
                stratum = self._at(place)
                stratum.allow(*self._limits(stratum))
                decides = stratum.proven >= band or stratum.worse <= band
                # not audit.served: where nobody calls the engine behind, an audited hit is held out
                tried = audit.verdict.proven and stratum.proven >= band
                stratum.count(band, same=same, share=audit.share, tried=tried)
                if decides:  # a wider stratum has no say about such hits, and learns nothing from them
                    return

    def report(self) -> Sequence[JsonObject]:
        """Return what is known, one row a stratum and band that has audits.

        ``audits`` and ``wrong_share`` are of what is remembered; ``upper_bound`` bounds the share of wrong hits among
        hits at least as confident.
        """
        return [
            {
                "stratum": " ".join(filter(None, place)),
                "confidence_from": cut,
                "audits": round(right + wrong, 1),
                "wrong_share": wrong / (right + wrong),
                "upper_bound": self._rate(stratum, upper_bound(right, wrong, self._alpha)),
                "proven": at <= stratum.proven,
                "worse": at >= stratum.worse > stratum.proven,
                "judge_sensitivity": self._sensitivity,
                "engine_disagreement": stratum.disagreement,
            }
            for place, stratum in self._strata.items()
            for at, (cut, right, wrong) in enumerate(zip(self._cuts, stratum.right, stratum.wrong, strict=True))
            if right + wrong > 0
        ]

    def snapshot(self) -> JsonObject:
        """Return all that was learned."""
        return {
            **self._identity(),
            "controls": self._controls[:],
            "strata": [[*place, stratum.snapshot()] for place, stratum in self._strata.items()],
        }

    def restore(self, state: JsonObject) -> None:
        """Take over a snapshot of a policy with the same settings.

        Raises:
            ValueError: it is something else; nothing changed.
        """
        try:
            if {name: state[name] for name in self._identity()} != self._identity():
                raise ValueError("another policy's")
            controls = numbers(state["controls"], 2)
            strata: dict[_Place, Stratum] = {}
            for kind, name, category, kept in state["strata"]:
                if not (isinstance(kind, str) and isinstance(name, str) and isinstance(category, str)):
                    raise TypeError("a stratum without a name")
                stratum = strata[kind, name, category] = self._empty()
                stratum.restore(kept, self._part)
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                "not a snapshot of the acceptance policy 'verified' with these settings; delete it to start with none"
            ) from None
        self._controls = controls
        self._strata = strata
        self._sensitivity = self._measured()
        while len(self._strata) > self._max_strata:
            self._drop()

    def _band(self, verdict: Verdict) -> int:
        """Return the index of the cut that a verdict reaches; what is accepted below the last one counts to it."""
        return min(bisect_left(self._falling, -verdict.confidence), len(self._cuts) - 1)

    def _deciding(self, asked: Asked, band: int) -> tuple[_Place, Stratum] | None:
        """Return the narrowest stratum that is proven or known to be worse, else the widest there is."""
        last = None
        for found in self._credited(asked, band):
            last = found
        return last

    def _credited(self, asked: Asked, band: int) -> Iterator[tuple[_Place, Stratum]]:
        """Yield the known strata that learn from such a decision, narrowest first: up to the one that decides."""
        for place in _places(asked):
            stratum = self._strata.get(place)
            if stratum is not None:
                yield place, stratum
                if stratum.proven >= band or stratum.worse <= band:
                    return

    def _share(self, asked: Asked, band: int) -> float:
        found = self._deciding(asked, band)
        if found is None:
            return 1.0
        stratum = found[1]
        if stratum.proven >= band:
            following = stratum.proven + 1
            nothing_near = following == len(self._cuts) or stratum.worse <= following
            wanted = self._budget - (self._budget - self._steady) * stratum.calm * nothing_near
            return max(wanted, _TRIAL / (_TRIAL + stratum.tried))
        if stratum.worse > band:
            return 1.0
        narrowest = next(self._credited(asked, band))[1]
        return _HOPELESS if stratum is narrowest else _DOUBTFUL

    def _at(self, place: _Place) -> Stratum:
        stratum = self._strata.get(place)
        if stratum is None:
            if len(self._strata) >= self._max_strata:
                self._drop()
            stratum = self._strata[place] = self._empty()
        return stratum

    def _empty(self) -> Stratum:
        # what is left of alpha: the bounds on the judge's errors have their parts
        return Stratum(len(self._cuts), self._alpha - self._part * (1 if self._known is not None else 2))

    def _drop(self) -> None:
        """Make room: the widest stratum is kept."""
        del self._strata[min(self._strata, key=lambda place: (place == _ALL, self._strata[place].weight))]

    def _measured(self) -> float:
        """Return a lower bound on how often the judge sees a difference where there is one, in whole steps."""
        if self._known is not None:
            return self._known
        overlooked, seen = self._controls
        return floor((1.0 - upper_bound(seen, overlooked, self._part)) / _STEP) * _STEP if seen else 0.0

    def _notice(self) -> None:
        """Reckon with the judge's sensitivity: everywhere if it is less than thought, else as each stratum learns."""
        before, self._sensitivity = self._sensitivity, self._measured()
        if self._sensitivity < before:
            for stratum in self._strata.values():
                stratum.allow(*self._limits(stratum))

    def _limits(self, stratum: Stratum) -> tuple[float, float]:
        """Return how often audits find a difference at least, and at most, where a share of delta is wrong.

        Of wrong hits the judge sees at least `sensitivity`, and all at most; of right ones it calls at least
        `disagreement` different, as it does with the engine's own answers.
        """
        disagreement = stratum.disagreement
        least = min(self._sensitivity, disagreement + self._delta * (self._sensitivity - disagreement))
        return least, disagreement + self._delta * (1.0 - disagreement)

    def _rate(self, stratum: Stratum, seen: float) -> float:
        """Return the share of wrong hits at most, where audits find a difference at most this often."""
        disagreement = stratum.disagreement
        if self._sensitivity <= disagreement:
            return 1.0
        return min(1.0, max(0.0, (seen - disagreement) / (self._sensitivity - disagreement)))

    def _label(self, place: _Place, stratum: Stratum, band: int) -> str:
        at = max(stratum.proven, band)
        return " ".join((*(part[:16] for part in place if part), f">= {self._cuts[at]:g}"))

    def _identity(self) -> JsonObject:
        return {
            "policy": "verified",
            "inner": self._inner_id,
            "delta": self._delta,
            "alpha": self._alpha,
            "bands": list(self._cuts),
            "sensitivity": self._known,
        }


def _places(asked: Asked) -> Iterator[_Place]:
    """Yield the strata that a decision belongs to, narrowest first."""
    if asked.tenant:
        yield "tenant", asked.tenant, asked.category
    if asked.route:
        yield "route", asked.route, asked.category
    if asked.category:
        yield "category", "", asked.category
    yield _ALL
