"""The analyzer "pattern": what the last minutes of the stream look like, and what answering them as a batch would save."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ...middleware.analysis.stream import Pattern, Savings
from .bands import Bands
from .savings import expected_savings, learned
from .seconds import Seconds
from .vectors import APART, Ring, group_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ...middleware.analysis.stream import Arrival, StreamFacts
    from ...middleware.records import JsonObject

WINDOW_S: Final = 300.0
MOST: Final = 2000
VECTORS: Final = 1024
SIMILAR: Final = 0.88
"""Where MiniLM's near-duplicates begin: the acceptance policy "threshold" cuts there, too."""
MOST_BLOCKS: Final = 256
"""Prompt blocks that are looked at."""
SETTLED_S: Final = 30.0
"""Of two requests closer together nothing is learned: the first may still be computed, and the second, which waits for it, does not
show as answered."""
SHOWN: Final = 5
MOST_TOKENS: Final = 1e9
_NAME: Final = 128

# the columns of what is kept as numbers
_TIME, _INPUT, _OUTPUT, _BLOCKS, _SHARED, _SAME, _SIMILAR, _SAVED, _TOKENS, _WIDTH = range(10)


class _Names(NamedTuple):
    tenant: str
    template: str
    exact: str
    prefix: tuple[int, ...]


class _Known:
    """An answer of the window: how many ask for it, and the tokens it stands for."""

    __slots__ = ("asked", "since_s", "tokens")

    def __init__(self, tokens: float, since_s: float) -> None:
        self.asked = 0
        self.tokens = tokens
        self.since_s = since_s


class StreamPattern:
    """Watches a window of the stream, of at most `window_s` seconds and `most` requests; bursts over all of those seconds.

    A near-duplicate resembles one that was computed and whose vector the lookup had made, among the last `vectors` of those.
    State: per request ten numbers, two names and up to 256 digests of prompt blocks; and the vectors.

    Args:
        similar: cosine from which two requests are near-duplicates, in (0, 1]; it belongs to one embedder.
    """

    def __init__(
        self,
        *,
        window_s: float = WINDOW_S,
        most: int = MOST,
        vectors: int = VECTORS,
        similar: float = SIMILAR,
    ) -> None:
        self._window_s = window_s
        self._most = most
        self._similar = similar
        self.bands = Bands()
        self._numbers = np.zeros((most, _WIDTH))
        self._names: deque[_Names] = deque()
        self._first = 0
        self._since_s: float | None = None
        self._last_s = float("-inf")
        self._tenants: Counter[str] = Counter()
        self._templates: Counter[str] = Counter()
        self._known: dict[str, _Known] = {}
        self._blocks: dict[int, int] = {}
        self._number = 0
        self._seconds = Seconds(window_s)
        self._ring = Ring(vectors)
        self._ring_times = np.zeros(vectors)
        self._ring_tokens = np.zeros(vectors)

    def arrived(self, arrival: Arrival) -> None:
        """Note a request."""
        now_s = self._last_s = max(self._last_s, arrival.now_s)
        if self._since_s is None:
            self._since_s = now_s
        self._seconds.add(now_s)
        self._expire(now_s)
        if len(self._names) == self._most:
            self._forget()
        self._number += 1
        names = _Names(
            arrival.tenant[:_NAME], arrival.template[:_NAME], arrival.exact[:_NAME], arrival.prefix[:MOST_BLOCKS]
        )
        self._tenants[names.tenant] += 1
        if names.template:
            self._templates[names.template] += 1
        shared = self._prefix(names.prefix)
        tokens_in, tokens_out = _tokens(arrival.input_tokens), _tokens(arrival.output_tokens)
        same, near, saved, tokens = self._repeats(arrival, names.exact, tokens_in + tokens_out, now_s)
        at = (self._first + len(self._names)) % self._most
        self._numbers[at] = now_s, tokens_in, tokens_out, len(names.prefix), shared, same, near, saved, tokens
        self._names.append(names)

    def read(self, now_s: float, facts: StreamFacts) -> StreamFacts:
        """Return the facts with `pattern`, as of now."""
        now_s = max(now_s, self._last_s)
        self._expire(now_s)
        since_s = now_s if self._since_s is None else max(self._since_s, now_s - self._window_s)
        n = len(self._names)
        rows = self._numbers[(self._first + np.arange(n)) % self._most]
        span_s = now_s - since_s
        pattern = Pattern(window_s=span_s, requests=n, rate=n / max(span_s, 1.0))
        if n:
            pattern = replace(
                pattern,
                interarrival_cv=_variation(rows[:, _TIME]),
                burst=self._seconds.dispersion(now_s),
                same_share=float(rows[:, _SAME].mean()),
                similar_share=float(rows[:, _SIMILAR].mean()),
                tenants=_mix(self._tenants, n),
                templates=_mix(self._templates, n),
                input_tokens=_percentiles(rows[:, _INPUT]),
                output_tokens=_percentiles(rows[:, _OUTPUT]),
                prefix_share=float(rows[:, _SHARED].sum() / max(rows[:, _BLOCKS].sum(), 1.0)),
                savings=_savings(rows),
            )
        return replace(facts, pattern=pattern)

    def expected(self, arrivals: Sequence[Arrival]) -> Savings:
        """Return what answering a batch as one would save, by what was learned of this stream; see `expected_savings`."""
        return expected_savings(arrivals, learned(self.bands), same=self.bands.same())

    def report(self) -> Sequence[JsonObject]:
        """Return how often repeats and near-duplicates were expected to be served, and how often they were."""
        return self.bands.report()

    def snapshot(self) -> JsonObject:
        """Return what was learned; the window does not outlive the process."""
        return self.bands.snapshot()

    def restore(self, state: JsonObject) -> None:
        """Take over a state that `snapshot` returned.

        Raises:
            ValueError, KeyError, TypeError: it is another one's; nothing changed.
        """
        self.bands.restore(state)

    def _repeats(self, arrival: Arrival, exact: str, own: float, now_s: float) -> tuple[bool, bool, float, float]:
        """Return whether it is equal or nearly equal to an earlier one, how likely it is saved, and the tokens of that."""
        if not exact:
            return False, False, 0.0, 0.0
        known = self._known.get(exact)
        if known is not None:
            known.asked += 1
            known.tokens = max(known.tokens, own)  # of what is answered, no output is predicted
            likely = self.bands.same()
            if now_s - known.since_s >= SETTLED_S:
                self.bands.learn(None, served=arrival.hit)
            return True, False, likely, likely * known.tokens
        self._known[exact] = _Known(own, now_s)
        self._known[exact].asked = 1
        unit = self._ring.unit(arrival.vector)
        if unit is None:
            return False, False, 0.0, 0.0
        group = group_of(arrival.scope, arrival.comparable)
        cosines = self._ring.nearness(unit, group)
        cosines[self._ring_times < now_s - self._window_s] = APART
        row = int(cosines.argmax())
        similarity, tokens = float(cosines[row]), float(self._ring_tokens[row])
        likely = self.bands.similar(similarity)
        if now_s - self._ring_times[row] >= SETTLED_S:
            self.bands.learn(similarity, served=arrival.hit)
        if not arrival.hit:  # what was answered by another's answer is not kept
            row = self._ring.put(unit, group)
            self._ring_times[row], self._ring_tokens[row] = now_s, own
        return False, similarity >= self._similar, likely, likely * tokens

    def _prefix(self, prefix: tuple[int, ...]) -> int:
        """Return with how many blocks of it an earlier prompt began, and note them."""
        blocks = self._blocks
        low, high = 0, len(prefix)
        while low < high:  # each digest stands for all before it: where one is known, so are they
            middle = (low + high) // 2
            if prefix[middle] in blocks:
                low = middle + 1
            else:
                high = middle
        blocks.update(dict.fromkeys(prefix, self._number))
        return low

    def _expire(self, now_s: float) -> None:
        oldest_s = now_s - self._window_s
        while self._names and self._numbers[self._first, _TIME] < oldest_s:
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest; what is left is complete from its time on."""
        names = self._names.popleft()
        self._since_s = float(self._numbers[self._first, _TIME])
        self._first = (self._first + 1) % self._most
        _less(self._tenants, names.tenant)
        if names.template:
            _less(self._templates, names.template)
        known = self._known.get(names.exact)
        if known is not None:
            known.asked -= 1
            if not known.asked:
                del self._known[names.exact]
        number, blocks = self._number - len(self._names), self._blocks
        for digest in names.prefix:
            if blocks.get(digest) == number:  # no later prompt begins so
                del blocks[digest]


def _tokens(value: float) -> float:
    return min(float(value), MOST_TOKENS) if value > 0 else 0.0


def _less(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def _mix(counts: Counter[str], of: int) -> Mapping[str, float]:
    return {name: count / of for name, count in counts.most_common(SHOWN)}


def _variation(times: NDArray[np.float64]) -> float | None:
    gaps = np.diff(times)
    return float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.any() else None


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the 10th, 50th and 90th percentile of those that are known."""
    known = values[values > 0]
    if not len(known):
        return 0.0, 0.0, 0.0
    low, middle, high = np.percentile(known, (10, 50, 90)).tolist()
    return low, middle, high


def _savings(rows: NDArray[np.float64]) -> Savings:
    saved, same = rows[:, _SAVED], rows[:, _SAME] > 0
    return Savings(
        requests=float(saved.sum()),
        tokens=float(rows[:, _TOKENS].sum()),
        same=float(saved[same].sum()),
        similar=float(saved[~same].sum()),
    )
