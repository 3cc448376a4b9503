"""The predictor "neighbours": how a request relates to those in flight and to recent ones."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Neighbours
from .vectors import Ring, group_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import Outcome, RequestFacts, Subject
    from ...middleware.records import JsonObject
    from .vectors import Floats

WINDOW_S: Final = 300.0
MOST: Final = 256
SIMILAR: Final = 0.88
CLUSTERS: Final = 64
ALIKE: Final = 0.6
"""Cosine with a cluster's first member from which a request belongs to it."""
_SCHEMA: Final = 1
_STEP: Final = 0.2
_NAME: Final = 128


@dataclass(slots=True)
class _Recent:
    """A recent request.

    Attributes:
        row: where its vector lies, None without one.
        cluster: which it was put into, None without a vector.
        live: the engine works on it.
    """

    seen_s: float
    exact: str
    row: int | None = None
    cluster: int | None = None
    live: bool = True


class RequestNeighbours:
    """Counts equal and nearly equal requests among those in flight and the recent ones, and groups questions that are alike.

    Recent are the last `most` requests of the last `window_s` seconds that the engine was to be asked, those in flight included;
    one is in flight from its prediction until its outcome, at most as long as it is recent. Only requests of one scope and comparable context are compared by
    vector.

    Clusters are made by their leaders: a question belongs to the nearest first member at least `alike` near, else it is the
    first of a new cluster, which takes the place of the one that was joined longest ago. Numbers of clusters are not used again.

    Args:
        similar: cosine from which two requests are nearly equal; it belongs to one embedder.
        clusters: how many there are at most.
    """

    def __init__(
        self,
        *,
        window_s: float = WINDOW_S,
        most: int = MOST,
        similar: float = SIMILAR,
        clusters: int = CLUSTERS,
        alike: float = ALIKE,
    ) -> None:
        self._window_s = window_s
        self._most = most
        self._similar = similar
        self._alike = alike
        self._recent: OrderedDict[str, _Recent] = OrderedDict()
        self._same: dict[str, int] = {}
        self._live_same: dict[str, int] = {}
        self._ring = Ring(most)
        self._row_names = [""] * most
        self._clusters = _Clusters(clusters)
        self._now_s = float("-inf")
        self._scores = _Scores()

    def predict(self, subject: Subject) -> RequestFacts:
        """Return the facts with `neighbours`; as they are for a request that shares with nobody."""
        key, name = subject.key, subject.request.id
        if key is None:
            return subject.facts
        self._now_s = now_s = max(self._now_s, subject.now_s)
        if name in self._recent:
            self._leave(name)
        self._expire(now_s)
        exact = key.exact[:_NAME]
        same, live_same = self._same.get(exact, 0), self._live_same.get(exact, 0)
        recent = _Recent(now_s, exact)
        similar = live_similar = size = 0
        unit = self._ring.unit(subject.vector)
        if unit is not None:
            group = group_of(key.scope, key.comparable)
            recent.cluster, size = self._clusters.join(unit, group, self._alike)
            recent.row = self._place(name, unit, group)
            for row in self._ring.near(recent.row, self._similar):
                other = self._recent[self._row_names[row]]
                if other.exact != exact:
                    similar += 1
                    live_similar += other.live
        self._enter(name, recent)
        found = Neighbours(live_same, live_similar, same, similar, recent.cluster, size)
        return subject.facts.having(neighbours=found)

    def learn(self, outcome: Outcome) -> None:
        """A request is out of the engine."""
        name = outcome.subject.request.id
        self._land(name)
        facts = outcome.subject.facts
        if facts.neighbours is not None and outcome.complete and not outcome.truncated and outcome.output_tokens > 0:
            self._scores.learn(facts.neighbours, outcome.output_tokens)

    def report(self) -> Sequence[JsonObject]:
        """Return how many had neighbours, and what the cluster tells about the length of an answer."""
        return self._scores.report()

    def snapshot(self) -> JsonObject:
        """Return nothing but the schema: neighbours do not outlive the process."""
        return {"schema": _SCHEMA}

    def restore(self, state: JsonObject) -> None:
        """Take over nothing.

        Raises:
            ValueError, KeyError, TypeError: the state is another one's.
        """
        if state["schema"] != _SCHEMA or len(state) != 1:
            raise ValueError("the state is not this predictor's")

    def _enter(self, name: str, recent: _Recent) -> None:
        self._recent[name] = recent
        for counts in (self._same, self._live_same):
            counts[recent.exact] = counts.get(recent.exact, 0) + 1

    def _place(self, name: str, unit: Floats, group: int) -> int:
        row = self._ring.put(unit, group)
        before = self._recent.get(self._row_names[row])
        if before is not None and before.row == row:
            before.row = None
        self._row_names[row] = name
        return row

    def _land(self, name: str) -> None:
        recent = self._recent.get(name)
        if recent is None or not recent.live:
            return
        recent.live = False
        _less(self._live_same, recent.exact)

    def _leave(self, name: str) -> None:
        """Forget a request, if it is known: it is asked about again, or is too old."""
        self._land(name)
        recent = self._recent.pop(name, None)
        if recent is None:
            return
        _less(self._same, recent.exact)
        if recent.row is not None:
            self._ring.drop(recent.row)
        if recent.cluster is not None:
            self._clusters.leave(recent.cluster)

    def _expire(self, now_s: float) -> None:
        while self._recent:
            name, oldest = next(iter(self._recent.items()))
            if len(self._recent) < self._most and oldest.seen_s >= now_s - self._window_s:
                return
            self._leave(name)


class _Clusters:
    """Groups of like questions, by the vector of the first of each."""

    def __init__(self, most: int) -> None:
        self._leaders = Ring(most)
        self._numbers = [-1] * most
        self._rows = OrderedDict.fromkeys(range(most))  # the one joined longest ago first
        self._sizes: dict[int, int] = {}
        self._made = 0

    def join(self, unit: Floats, group: int, alike: float) -> tuple[int, int]:
        """Put a question into a cluster; return its number and size."""
        row, cosine = self._leaders.nearest(unit, group)
        if cosine < alike:
            row = self._leaders.put(unit, group, next(iter(self._rows)))
            self._sizes.pop(self._numbers[row], None)
            self._numbers[row] = self._made
            self._made += 1
        self._rows.move_to_end(row)
        number = self._numbers[row]
        size = self._sizes[number] = self._sizes.get(number, 0) + 1
        return number, size

    def leave(self, number: int) -> None:
        """A question is no longer a recent one."""
        if self._sizes.get(number, 0) > 0:
            self._sizes[number] -= 1


class _Scores:
    """Running figures: shares of neighbours, and the error of a cluster's usual length against that of all."""

    def __init__(self) -> None:
        self._n = 0
        self._same = 0
        self._similar = 0
        self._usual: float | None = None
        self._clusters: OrderedDict[int, float] = OrderedDict()
        self._judged = 0
        self._error = 0.0
        self._error_of_all = 0.0

    def learn(self, found: Neighbours, output_tokens: int) -> None:
        """Score first, then take in."""
        self._n += 1
        self._same += found.recent_same > 0
        self._similar += found.recent_similar > 0
        length = log(output_tokens)
        cluster = found.cluster
        usual = self._clusters.pop(cluster, None) if cluster is not None else None
        if usual is not None and self._usual is not None:
            self._judged += 1
            self._error += abs(length - usual)
            self._error_of_all += abs(length - self._usual)
        self._usual = length if self._usual is None else self._usual + _STEP / 10 * (length - self._usual)
        if cluster is not None:
            self._clusters[cluster] = length if usual is None else usual + _STEP * (length - usual)
            if len(self._clusters) > 2 * CLUSTERS:
                self._clusters.popitem(last=False)

    def report(self) -> list[JsonObject]:
        """Return one row, none before anything was seen."""
        if not self._n:
            return []
        ratio = self._error / self._error_of_all if self._error_of_all > 0 else None
        return [
            {
                "n": self._n,
                "same_share": round(self._same / self._n, 4),
                "similar_share": round(self._similar / self._n, 4),
                "clustered": self._judged,
                "length_error_over_all": round(ratio, 4) if ratio is not None else None,
            }
        ]


def _less(counts: dict[str, int], name: str) -> None:
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]
