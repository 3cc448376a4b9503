"""What an engine did while each request was inside, worked out from what became of the requests alone.

While a request decodes, each iteration of the engine gives it one token, so its output counts the iterations, and the time
from its first to its last token is linear in the law's coefficients: a * iterations + b * prompt tokens read meanwhile +
c * sum of the decoding sequences + d * sum of the tokens in their KV cache. The three sums follow from when the other
requests of the same engine had their first and last tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .law import BUDGET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = "NDArray[np.float64]"

CAPACITY = 2048
_AT_ONCE = 32
_INSTANT = 1e-9
# below this share of its neighbours' speed a request is taken to have lost its KV cache; chosen on simulated runs, with
# the measured runs' figures in view, too
_STALLED = 0.92
_LEAST_TOKENS = 8
_LONGEST_S = 86_400.0
_MOST_TOKENS = 10_000_000
# how much an equation weighs: a first token waits for the iteration that is under way, which nobody sees
_DECODING, _WHOLE, _READING = 1.0, 0.3, 0.1
_ENTERED, _FIRST, _ENDED, _PROMPT, _OUTPUT, _AGAIN, _WANTED, _SEEN = range(8)


@dataclass(frozen=True, slots=True)
class Stay:
    """One request's time inside an engine.

    Attributes:
        entered_s, first_s, ended_s: monotonic; the first token is None where only the whole answer was seen.
        prompt, output: tokens as the engine counted them.

    Raises:
        ValueError: the times do not follow each other or a number of tokens cannot be.
    """

    entered_s: float
    first_s: float | None
    ended_s: float
    prompt: int
    output: int

    def __post_init__(self) -> None:
        first = self.entered_s if self.first_s is None else self.first_s
        if (
            not (self.entered_s <= first <= self.ended_s <= self.entered_s + _LONGEST_S)
            or self.ended_s == self.entered_s
        ):
            raise ValueError("stay: times that do not follow each other within a day")
        if not (1 <= self.prompt <= _MOST_TOKENS and 1 <= self.output <= _MOST_TOKENS):
            raise ValueError("stay: a number of tokens that cannot be")


@dataclass(frozen=True, slots=True)
class Rows:
    """Equations of the law.

    Attributes:
        terms: iterations, prompt tokens, sum of decoding sequences, sum of their KV tokens (n x 4).
        seconds: what they took (n).
        weights: how far they can be relied on, at most 1 (n).
    """

    terms: Floats
    seconds: Floats
    weights: Floats


class Ledger:
    """The last requests of one engine, at most 2,048 of them: about 130 kB."""

    def __init__(self) -> None:
        self._book = np.zeros((CAPACITY, 8))
        self._added = 0
        self._judged = 0
        self._waiting: list[int] = []

    def add(self, stay: Stay, *, clean: bool = True) -> None:
        """Note a request that has ended; one that did not end cleanly was a neighbour, but gives no equation."""
        first = stay.entered_s if stay.first_s is None else stay.first_s
        seen = stay.first_s is not None
        if len(self._waiting) == CAPACITY:
            self._waiting.pop(0)
        self._book[self._added % CAPACITY] = (
            *(stay.entered_s, first, stay.ended_s),
            *(stay.prompt, stay.output, 0, clean, seen),
        )
        self._waiting.append(self._added)
        self._added += 1

    def work_out(self, until_s: float) -> Rows | None:
        """Return equations of requests that ended by `until_s`: all that were inside together with those are noted.

        Each is used once, at most 32 in a call, so that a call takes bounded time. None where there are none.
        """
        self._judge()
        ready = list[int]()
        left = list[int]()
        for number in self._waiting:
            if number <= self._added - 1 - CAPACITY:
                continue
            due = len(ready) < _AT_ONCE and self._book[number % CAPACITY, _ENDED] <= until_s
            (ready if due else left).append(number)
        self._waiting = left
        at = np.array([number % CAPACITY for number in ready], np.intp)
        at = at[self._book[at, _WANTED] > 0]
        if not len(at):
            return None
        parts = [self._while_decoding(at), self._before_the_first(at)]
        terms, seconds, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Rows(terms, seconds, weights) if len(seconds) else None

    def decoding_at(self, now_s: float) -> int:
        """Return how many of those noted decoded at some time."""
        book = self._book[: min(self._added, CAPACITY)]
        return int(((book[:, _FIRST] <= now_s) & (book[:, _ENDED] > now_s)).sum())

    def _judge(self) -> None:
        """Find those among the newly noted that were slower than their neighbours: the engine computed them anew."""
        book = self._book[: min(self._added, CAPACITY)]
        while self._judged < self._added:
            last = min(self._judged + _AT_ONCE, self._added)
            at = np.arange(max(self._judged, self._added - CAPACITY), last) % CAPACITY
            self._judged = last
            if not len(at):
                continue
            slow = (book[at, _SEEN] > 0) & (self._speed(book[at]) < _STALLED * self._neighbours_speed(at))
            book[at, _AGAIN] = np.where(slow, book[at, _PROMPT] + book[at, _OUTPUT] / 2, 0.0)

    def _speed(self, book: Floats) -> Floats:
        speed: Floats = (book[:, _OUTPUT] - 1) / np.maximum(book[:, _ENDED] - book[:, _FIRST], _INSTANT)
        return speed

    def _neighbours_speed(self, at: NDArray[np.intp]) -> Floats:
        book = self._book[: min(self._added, CAPACITY)]
        overlap = self._overlap(book, at)
        overlap[:, book[:, _SEEN] == 0] = 0.0
        speed: Floats = overlap @ self._speed(book) / np.maximum(overlap.sum(1), _INSTANT)
        return speed

    def _overlap(self, book: Floats, at: NDArray[np.intp]) -> Floats:
        since, till = book[at, _FIRST, None], book[at, _ENDED, None]
        overlap: Floats = np.maximum(np.minimum(book[:, _ENDED], till) - np.maximum(book[:, _FIRST], since), 0.0)
        return overlap

    def _while_decoding(self, at: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """Equations of the time between first and last token."""
        at = at[(self._book[at, _OUTPUT] >= _LEAST_TOKENS) & (self._book[at, _AGAIN] == 0)]
        book = self._book[: min(self._added, CAPACITY)]
        first, ended, prompt = book[:, _FIRST], book[:, _ENDED], book[:, _PROMPT]
        since, till = first[at, None], ended[at, None]
        span, speed = np.maximum(ended - first, _INSTANT), self._speed(book)
        overlap = self._overlap(book, at)
        # within a stretch that two share, each made a token an iteration: one that lies inside the other tells by its own
        # count, else the mean of their speeds is the better guess
        inside, around = (first >= since) & (ended <= till), (first <= since) & (ended >= till)
        pace = np.where(inside, speed, np.where(around, speed[at, None], (speed + speed[at, None]) / 2))
        shared = pace * overlap
        depth = prompt + 1 + speed * (np.maximum(first, since) + overlap / 2 - first)
        # when a preempted one was read again is not known: evenly over its stay
        read = ((first > since) & (first <= till)) @ prompt + (overlap / span) @ book[:, _AGAIN]
        # of an answer seen only whole, the prompt is part of its time
        whole = book[at, _SEEN] == 0
        steps = book[at, _OUTPUT] - 1 + whole
        terms = np.stack([steps, read + whole * prompt[at], shared.sum(1), (shared * depth).sum(1)], axis=1)
        return terms, span[at], np.where(whole, _WHOLE, _DECODING)

    def _before_the_first(self, at: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """Equations of the time to the first token of those whose prompt was the only one to be read."""
        book = self._book[: min(self._added, CAPACITY)]
        at = at[(self._book[at, _SEEN] > 0) & (self._book[at, _FIRST] > self._book[at, _ENTERED])]
        entered, first = book[at, _ENTERED, None], book[at, _FIRST, None]
        reading = (book[:, _ENTERED] < first) & (book[:, _FIRST] > entered) | (book[:, _FIRST] == first)
        alone = reading.sum(1) == 1
        at, entered, first = at[alone], entered[alone], first[alone]
        decoding = ((book[:, _FIRST] <= entered) & (book[:, _ENDED] > first)).astype(np.float64)
        depth = book[:, _PROMPT] + self._speed(book) * np.maximum(entered - book[:, _FIRST], 0.0)
        busy = decoding.sum(1)
        steps = np.ceil(book[at, _PROMPT] / BUDGET) + 0.5 * (busy > 0)
        terms = np.stack([steps, book[at, _PROMPT], steps * busy, steps * (decoding * depth).sum(1)], axis=1)
        return terms, book[at, _FIRST] - book[at, _ENTERED], np.full(len(at), _READING)
