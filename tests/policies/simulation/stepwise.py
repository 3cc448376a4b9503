"""The engine's rules written down a second time, as plainly as can be: every iteration and every block by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from forebay.policies.simulation.engine import SECOND
from forebay.policies.simulation.simulator import Job
from forebay.policies.work.law import Law, Shape


@dataclass(eq=False)
class Block:
    users: int = 1
    holds: object = None


@dataclass(eq=False)
class Seq:
    at: int
    prompt: int
    output: int
    prefix: Sequence[int]
    made: int = 0
    computed: int = 0
    decodes: bool = False
    blocks: list[Block] = field(default_factory=list[Block])

    @property
    def tokens(self) -> int:
        return self.prompt + self.made

    def content(self, at: int) -> object:
        """What its block at a place holds: what others can use has a name, the rest is its own."""
        return self.prefix[at] if at < len(self.prefix) else (self.at, at)


@dataclass
class Trace:
    """What happened: times in femtoseconds; the most sequences and blocks at a time; tokens given to prompts and decodes."""

    first: dict[int, int] = field(default_factory=dict[int, int])
    ended: dict[int, int] = field(default_factory=dict[int, int])
    preempted: dict[int, int] = field(default_factory=dict[int, int])
    running: int = 0
    blocks: int = 0
    decoded: int = 0
    cached: int = 0


class Cache:
    """Every block by itself, the free ones in the order in which they are taken."""

    def __init__(self, shape: Shape) -> None:
        self.size = 10**4 if shape.kv_tokens is None else shape.kv_tokens // shape.block
        self.block = shape.block
        self.caches = shape.prefix_cache
        self.free = [Block(0) for _ in range(self.size)]
        self.there: dict[object, Block] = {}

    def number(self, tokens: int) -> int:
        return -(-tokens // self.block)

    def grow(self, seq: Seq, tokens: int) -> bool:
        new = self.number(tokens) - len(seq.blocks)
        if new > len(self.free):
            return False
        for _ in range(new):
            block = self.free.pop(0)
            if block.holds is not None:
                del self.there[block.holds]
                block.holds = None
            block.users = 1
            seq.blocks.append(block)
        return True

    def keep(self, seq: Seq, tokens: int) -> None:
        """Note what the full blocks hold."""
        for at in range(tokens // self.block if self.caches else 0):
            block = seq.blocks[at]
            if block.holds is None:
                if seq.content(at) in self.there:  # the last block of a prompt is computed even where another has it
                    seq.prefix = seq.prefix[:at]
                block.holds = seq.content(at)
                self.there[block.holds] = block

    def find(self, seq: Seq) -> list[Block]:
        found = list[Block]()
        for at in range((seq.tokens - 1) // self.block):
            if (block := self.there.get(seq.content(at))) is None:
                break
            found.append(block)
        return found

    def use(self, seq: Seq, found: list[Block]) -> None:
        for block in found:
            if not block.users:
                self.free.remove(block)
            block.users += 1
            seq.blocks.append(block)

    def leave(self, seq: Seq) -> None:
        for block in reversed(seq.blocks):
            block.users -= 1
            if not block.users:
                self.free.append(block)
        seq.blocks.clear()


def run(jobs: Sequence[Job], law: Law, shape: Shape) -> Trace:
    """Simulate without a gate."""
    step, prefill, decode, kv = (round(value * SECOND) for value in law.coefficients)
    arrivals = [round(job.arrival_s * SECOND) for job in jobs]
    cache = Cache(shape)
    now, coming = 0, 0
    waiting, running = list[Seq](), list[Seq]()
    unseen, left = list[Seq](), list[Seq]()  # who came and who ended, as long as the scheduler does not know
    idle = True
    trace = Trace()
    while coming < len(jobs) or waiting or running or unseen:
        if idle:
            now = max(now, arrivals[coming])
        while coming < len(jobs) and arrivals[coming] <= now:
            queue = unseen if shape.scheduled_ahead and not idle else waiting
            job = jobs[coming]
            queue.append(Seq(coming, job.prompt, job.output, job.prefix[: job.prompt // shape.block]))
            coming += 1
        budget = shape.budget
        plan: list[tuple[Seq, int]] = []
        lost = False
        at = 0
        while at < len(running):
            seq = running[at]
            take = min(seq.tokens - seq.computed, budget)
            while not cache.grow(seq, seq.computed + take):
                victim = running.pop()
                cache.leave(victim)
                victim.computed, victim.decodes = 0, False
                trace.preempted[victim.at] = trace.preempted.get(victim.at, 0) + 1
                waiting.insert(0, victim)
                lost = True
                if victim is seq:
                    break
            else:
                # of a token that is only just being made the scheduler that is ahead knows nothing
                cache.keep(seq, seq.computed + take - (seq.decodes and shape.scheduled_ahead))
                plan.append((seq, take))
                budget -= take
            at += 1
        while not lost and waiting and budget > 0 and len(running) + len(left) < (shape.max_num_seqs or 0):
            seq = waiting[0]
            found = cache.find(seq)
            if cache.number(seq.tokens) - sum(block.users > 0 for block in found) > len(cache.free):
                break
            running.append(waiting.pop(0))
            cache.use(seq, found)
            seq.computed = shape.block * len(found)
            trace.cached += seq.computed
            take = min(seq.tokens - seq.computed, budget)
            assert cache.grow(seq, seq.computed + take)
            cache.keep(seq, seq.computed + take)
            plan.append((seq, take))
            budget -= take
        waiting += unseen
        unseen.clear()
        for seq in left:
            cache.leave(seq)
        left.clear()
        decodes = [seq for seq, _ in plan if seq.decodes]
        chunk = sum(take for seq, take in plan if seq not in decodes)
        now += step + prefill * chunk + decode * len(decodes) + kv * sum(seq.tokens for seq in decodes)
        trace.running = max(trace.running, len(running))
        trace.blocks = max(trace.blocks, cache.size - len(cache.free))
        trace.decoded += len(decodes)
        for seq, take in plan:
            seq.computed += take
            if seq.computed == seq.tokens:
                seq.made += 1
                seq.decodes = True
                trace.first.setdefault(seq.at, now)
                if seq.made == seq.output:
                    trace.ended[seq.at] = now
                    running.remove(seq)
                    left.append(seq)
        idle = not (waiting or running)
        if idle or not shape.scheduled_ahead:
            for seq in left:
                cache.leave(seq)
            left.clear()
    return trace
