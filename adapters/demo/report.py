"""What the replies come to: wrong hits, hit rates, latencies, tokens."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.records import CacheStatus
from ...middleware.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .asking import Reply

HITS: Final = tuple(
    each.value for each in (CacheStatus.EXACT, CacheStatus.SEMANTIC, CacheStatus.INFLIGHT, CacheStatus.STALE)
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply and where its answer came from.

    Attributes:
        origin: id of the question whose answer it is, its own for a miss, "" where that cannot be told.
        wrong: a hit whose answer was made for a question of another group, or for one that cannot be told.
    """

    reply: Reply
    origin: str
    wrong: bool

    @property
    def hit(self) -> bool:
        """Whether the answer was handed out, not computed."""
        return self.reply.ok and self.reply.cache in HITS

    @property
    def tokens_saved(self) -> int:
        """Tokens that did not have to be read or generated again."""
        return self.reply.input_tokens + self.reply.output_tokens if self.hit else 0


def judge(replies: Sequence[Reply]) -> list[Judged]:
    """Trace every hit to the question that its answer was made for, by the completion's id."""
    made = {
        reply.completion_id: reply.ask
        for reply in replies
        if reply.ok and reply.cache not in HITS and reply.completion_id
    }
    judged: list[Judged] = []
    for reply in replies:
        hit = reply.ok and reply.cache in HITS
        origin = made.get(reply.completion_id)
        wrong = hit and (origin is None or origin.group != reply.ask.group)
        judged.append(Judged(reply, origin.id if origin is not None else "", wrong))
    return judged


def summarize(judged: Sequence[Judged], *, engine_tokens: int | None = None) -> dict[str, Any]:
    """Return the summary; ``hit_p50_ms`` and ``hit_p95_ms`` are those of exact and semantic hits.

    Args:
        judged: all replies.
        engine_tokens: how many tokens the engine says it generated for them.
    """
    answered = [each for each in judged if each.reply.ok]
    hits = [each for each in answered if each.hit]
    misses = [each for each in answered if each.reply.cache == CacheStatus.MISS.value]
    traps = [each for each in answered if each.reply.ask.trap]
    chances = [each for each in answered if each.reply.ask.kind == "paraphrase"]
    wrong = [each for each in hits if each.wrong]
    # a twin waits for the engine like a miss does: its time says nothing about the cache
    hit_ms = [each.reply.latency_ms for each in hits if each.reply.cache != CacheStatus.INFLIGHT.value]
    miss_ms = [each.reply.latency_ms for each in misses]
    hit_p50, miss_p50 = percentile(hit_ms, 0.5), percentile(miss_ms, 0.5)
    return {
        "requests": len(judged),
        "answered": len(answered),
        **{status.value: sum(each.reply.cache == status.value for each in judged) for status in CacheStatus},
        "hits": len(hits),
        "hit_rate": _share(len(hits), len(answered)),
        "wrong_hits": len(wrong),
        "wrong_hit_rate": _share(len(wrong), len(hits)),
        "traps": len(traps),
        "traps_right": sum(not each.wrong for each in traps),
        "paraphrases": len(chances),
        "paraphrases_served": sum(each.hit and not each.wrong for each in chances),
        "as_expected": sum(each.reply.cache in each.reply.ask.expect and not each.wrong for each in answered),
        "hit_p50_ms": hit_p50,
        "hit_p95_ms": percentile(hit_ms, 0.95),
        "miss_p50_ms": miss_p50,
        "miss_p95_ms": percentile(miss_ms, 0.95),
        "miss_over_hit_p50": round(miss_p50 / hit_p50, 2) if hit_p50 and miss_p50 else None,
        "tokens_saved": sum(each.tokens_saved for each in hits),
        "engine_answers": len({each.reply.completion_id for each in answered}),
        "engine_tokens": engine_tokens,
        "missed_tokens": sum(each.reply.output_tokens for each in answered if not each.hit),
    }


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least this share of all values do not exceed, None of none."""
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(share * len(values)) - 1)], 2)


def as_json(judged: Sequence[Judged], summary: dict[str, Any]) -> dict[str, Any]:
    """Return the whole report."""
    return {
        "command": "forebay demo",
        "version": __version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "rows": [_row(each) for each in judged],
        "summary": summary,
    }


def _row(each: Judged) -> dict[str, Any]:
    reply = each.reply
    return {
        "id": reply.ask.id,
        "group": reply.ask.group,
        "kind": reply.ask.kind,
        "stream": reply.ask.stream,
        "expect": "|".join(reply.ask.expect),
        "status": reply.status,
        "cache": reply.cache,
        "request_id": reply.request_id,
        "similarity": reply.similarity,
        "origin": each.origin,
        "wrong": each.wrong,
        "latency_ms": round(reply.latency_ms, 2),
        "first_token_ms": round(reply.first_ms, 2) if reply.first_ms is not None else None,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
        "tokens_saved": each.tokens_saved,
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
