"""A model of one engine that batches continuously, as vLLM's first-come scheduler does.

Each iteration every decoding sequence makes one token; what is left of the budget goes to prompts in chunks, those begun
first, then from the waiting queue while there is a place and the whole prompt fits into the KV cache. An iteration that
finishes a prompt yields that sequence's next token. When the decoding ones find no free block, the latest to be admitted
goes back to the head of the queue and is computed anew. Where the engine has a prefix cache, what is still there of a
sequence's own blocks, and of the blocks that prompts share, is not computed again; shared blocks are held once. Times come
from a `Law`.

A scheduler that is one iteration ahead (vLLM's asynchronous scheduling) composes the next iteration while one runs: it learns
of who came and who ended an iteration later.

Between two events (a finish, an arrival, a full cache) iterations that only decode are alike, so they are not gone through
one by one. Time is whole femtoseconds inside: k iterations at once are to the bit what they are one by one.

Not modelled: speculative decoding, time outside the engine.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

from .blocks import BlockPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..work.law import Law, Shape
    from .blocks import Given

SECOND = 10**15  # in femtoseconds
ENDLESS = 1 << 100  # of femtoseconds, and of iterations: a day has 2**67 of the former


@dataclass(slots=True, eq=False)
class _Sequence:
    """A job inside the engine.

    Attributes:
        need: tokens to prefill before it decodes: the prompt, and what was made before a preemption.
        left: output tokens still to make when it begins to decode.
        done: prefilled tokens of `need`.
        begun: its first iteration as a decoding one, -1 before.
        fresh: it has made no token yet.
        names: of the prompt's first blocks, which others can use.
        named: how many of those it has.
        kept, whole: the blocks it lost by a preemption, all but the named; how many were full, with those.
    """

    job: int
    need: int
    left: int
    names: Sequence[int] = ()
    named: int = 0
    done: int = 0
    begun: int = -1
    fresh: bool = True
    kept: Given | None = None
    whole: int = 0


class Replica:
    """One engine: `submit` puts a job into its queue, `advance` runs one iteration, or several that are alike.

    Attributes:
        now: simulated time in femtoseconds: the end of the last iteration.
        preempted: jobs preempted in the last `advance`.
        cached: tokens of prompts that were found in the prefix cache when they were first read.

    Raises:
        ValueError: `max_num_seqs` is not known.
    """

    def __init__(self, law: Law, shape: Shape) -> None:
        if shape.max_num_seqs is None:
            raise ValueError("simulator: max_num_seqs must be given")
        self._step_fs, self._prefill_fs, self._decode_fs, self._kv_fs = (
            round(value * SECOND) for value in law.coefficients
        )
        self._places = shape.max_num_seqs
        self._budget = shape.budget
        self._block = shape.block
        self._caches = shape.prefix_cache
        self._pool = BlockPool(
            None if shape.kv_tokens is None else shape.kv_tokens // shape.block, keeps=shape.prefix_cache
        )
        self._waiting: deque[_Sequence] = deque()
        # what the scheduler does not know of yet, where it is one iteration ahead
        self._ahead = shape.scheduled_ahead
        self._coming: list[_Sequence] = []
        self._leaving: list[tuple[int, Sequence[int]]] = []  # blocks of each that has ended, and the names of the first
        self._drained = True
        self._running: list[_Sequence] = []  # in the order of admission
        self._partial: _Sequence | None = None  # the budget leaves at most one prompt unfinished, the latest admitted
        self._finish: list[tuple[int, int, _Sequence]] = []  # heap: the iteration before which a decoding one is done
        # decoding ones by the iteration number, modulo the block, that takes a new block
        self._phases = [0] * shape.block
        self._tokens = 0  # that the decoding ones look back at in the next iteration
        self._iteration = 0
        self.now = 0
        self.preempted: list[int] = []
        self.cached = 0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._running or self._waiting or self._coming)

    @property
    def running(self) -> int:
        """Sequences admitted, the prefilling one among them."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs in the engine's own queue."""
        return len(self._waiting) + len(self._coming)

    @property
    def blocks(self) -> int:
        """KV blocks in use."""
        return self._pool.used

    def submit(self, job: int, prompt: int, output: int, prefix: Sequence[int] = ()) -> None:
        """Put a job at the end of the queue; no two inside may have the same number.

        Args:
            job: its number.
            prompt, output: its tokens.
            prefix: names of the prompt's first full blocks, each of all that lies before its end. Without a prefix cache they
                say nothing.

        Raises:
            ValueError: it can never fit into the KV cache.
        """
        if self._size(prompt + output) > self._pool.size:
            raise ValueError(f"simulator: job {job} does not fit into the KV cache")
        one = _Sequence(job, prompt, output, prefix[: prompt // self._block] if self._caches else ())
        (self._coming if self._ahead and not self._drained else self._waiting).append(one)

    def advance(self, until: int = ENDLESS) -> tuple[list[int], list[int]]:
        """Run one iteration, or as many alike as begin before `until`.

        Returns:
            Jobs that made their first token, and jobs that ended, both at `now`.
        """
        self.preempted = []
        while self._phases[self._iteration % self._block] > self._pool.free:
            self._preempt()
        decoding = len(self._finish)
        self._pool.take(self._phases[self._iteration % self._block])
        chunk, finished = self._fill(self._budget - decoding)
        changed = self._catch_up()
        same = not (chunk or self._partial is not None or self.preempted or changed)
        steps = self._alike(decoding, until) if same else 1
        cost = self._step_fs + self._prefill_fs * chunk + self._decode_fs * decoding + self._kv_fs * self._tokens
        self.now += steps * cost + self._kv_fs * decoding * (steps * (steps - 1) // 2)
        self._tokens += steps * decoding
        self._iteration += steps
        ended = self._finished()
        first = [one.job for one in finished if one.fresh]
        ended.extend(self._begin(finished))
        self._drained = self.idle
        if self._drained or not self._ahead:
            self._catch_up()
        return first, ended

    def _catch_up(self) -> bool:
        """Let the scheduler know who came and who ended, and return whether there was anything."""
        changed = bool(self._coming or self._leaving)
        self._waiting.extend(self._coming)
        self._coming.clear()
        for blocks, names in self._leaving:
            self._pool.give(blocks, names)
        self._leaving.clear()
        return changed

    def _size(self, tokens: int) -> int:
        return -(-tokens // self._block)

    def _fill(self, budget: int) -> tuple[int, list[_Sequence]]:
        """Give prompts what is left of the budget; return the tokens and whose prompts are finished by them."""
        used, finished = 0, list[_Sequence]()
        one = self._partial
        if one is not None:
            take = min(budget, one.need - one.done)
            if self._size(one.done + take) - self._size(one.done) > self._pool.free:
                self._preempt()
            else:
                used += self._prefill(one, take, finished)
        while (
            self._waiting
            and used < budget
            and len(self._running) + len(self._leaving) < self._places
            and not self.preempted
        ):
            one = self._waiting[0]
            most = (one.need - 1) // self._block  # of the last token there must be something to compute
            there, held = self._pool.find(one.names[:most])
            if self._size(one.need) - held > self._pool.free:
                break
            self._running.append(self._waiting.popleft())
            self._pool.share(one.names[:there])
            one.named = there
            if one.fresh:
                self.cached += self._block * there
            if one.kept is not None and there == len(one.names):
                there += self._pool.recall(one.kept, min(most, one.whole) - there)
            one.kept = None
            one.done = self._block * there
            used += self._prefill(one, min(budget - used, one.need - one.done), finished)
        return used, finished

    def _prefill(self, one: _Sequence, take: int, finished: list[_Sequence]) -> int:
        self._pool.take(self._size(one.done + take) - self._size(one.done))
        one.done += take
        new = one.names[one.named : one.done // self._block]
        if new:
            named = self._pool.name(new)
            one.named += named
            if named < len(new):
                one.names = one.names[: one.named]  # another has it: the last of a prompt is computed even so
        if one.done == one.need:
            finished.append(one)
            self._partial = None
        else:
            self._partial = one
        return take

    def _begin(self, finished: list[_Sequence]) -> list[int]:
        """Let those whose prompt is finished decode from the next iteration on; return those who have made all tokens."""
        ended = list[int]()
        for one in finished:
            one.fresh = False
            one.left -= 1
            if one.left:
                one.begun = self._iteration
                heapq.heappush(self._finish, (self._iteration + one.left, one.job, one))
                self._phases[(self._iteration - one.need) % self._block] += 1
                self._tokens += one.need + 1
            else:
                self._running.remove(one)
                self._leaving.append((self._size(one.need), one.names))
                ended.append(one.job)
        return ended

    def _finished(self) -> list[int]:
        ended = list[int]()
        while self._finish and self._finish[0][0] <= self._iteration:
            one = heapq.heappop(self._finish)[2]
            self._running.remove(one)
            self._leaving.append((self._size(one.need + self._leave(one)), one.names))
            ended.append(one.job)
        return ended

    def _leave(self, one: _Sequence) -> int:
        """Take one out of the decoding ones and return the tokens it made among them."""
        made = self._iteration - one.begun
        self._phases[(one.begun - one.need) % self._block] -= 1
        self._tokens -= one.need + 1 + made
        return made

    def _preempt(self) -> None:
        one = self._running.pop()
        if one is self._partial:
            self._partial = None
            blocks, one.whole = self._size(one.done), one.done // self._block
        else:
            made = self._leave(one)
            # a scheduler that is ahead did not know the newest token yet when it noted which blocks are full
            blocks, one.whole = self._size(one.need + made), (one.need + max(made - self._ahead, 0)) // self._block
            one.need += made + 1
            one.left -= made
            self._finish = [item for item in self._finish if item[2] is not one]
            heapq.heapify(self._finish)
        given = self._pool.give(blocks, one.names[: one.named])
        one.kept = given if one.named == len(one.names) else None
        one.done = 0
        self._waiting.appendleft(one)
        self.preempted.append(one.job)

    def _alike(self, decoding: int, until: int) -> int:
        """Return how many iterations only decode, the first of them having its blocks; takes the blocks of the others."""
        if not decoding:
            return 1
        most = min(self._finish[0][0] - self._iteration, self._before(decoding, until))
        cycles = min((most - 1) // self._block, self._pool.free // decoding)
        self._pool.take(cycles * decoding)
        steps = 1 + cycles * self._block
        while steps < most:
            new = self._phases[(self._iteration + steps) % self._block]
            if new > self._pool.free:
                break
            self._pool.take(new)
            steps += 1
        return steps

    def _before(self, decoding: int, until: int) -> int:
        """Return how many iterations begin before `until`, at least 1: the root of a quadratic, exactly."""
        if until >= ENDLESS:
            return ENDLESS
        gap = until - self.now
        grows = self._kv_fs * decoding
        first = self._step_fs + self._decode_fs * decoding + self._kv_fs * self._tokens
        if gap <= first or first == 0:
            return 1
        if not grows:
            return -(-gap // first)
        # k * first + grows * k * (k - 1) / 2 < gap, for the largest k; one more begins before `until`
        linear = 2 * first - grows
        k = (isqrt(linear * linear + 8 * grows * (gap - 1)) - linear) // (2 * grows)
        return k + 1
