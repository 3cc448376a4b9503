"""Keeps again what a batch had computed before it was stopped, where the cache ended with the process.

Repeats of those lines are hits then, as they would have been.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Final

from ...middleware.errors import EngineError
from ...middleware.records import CacheStatus
from .engine import answer_from
from .reading import lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...middleware.pipeline import Pipeline
    from ...middleware.records import Answer, Request
    from .journal import Done, Journal
    from .reading import Checked, Reading

AT_ONCE: Final = 16
"""Lines on their way at a time, so that their texts are embedded together; no more are in memory."""
MOST: Final = 10_000
"""Answers that are kept again, the last ones: what the default eviction policy has room for. The engine waits meanwhile, some
milliseconds for each where texts are embedded."""
COMPUTED: Final = frozenset({CacheStatus.MISS, CacheStatus.SHADOW})
"""Statuses of lines with an answer of their own: one from the cache may be that to another question."""


async def refill(
    pipeline: Pipeline,
    reading: Reading,
    checked: Checked,
    journal: Journal,
    *,
    skip: int = 0,
    clock: Callable[[], float] = time,
) -> int:
    """Keep the answers of lines that are done, where the write gate would; return how many were kept.

    They are as old as their lines; where the journal does not say when a line was done, its answer counts as new.

    Args:
        skip: how many of them are left out, the first ones.

    Raises:
        ForebayError: the input cannot be read.
    """
    kept, known = 0, islice(_known(reading, checked, journal, clock), skip, None)
    while some := list(islice(known, AT_ONCE)):
        found = await asyncio.gather(
            *(pipeline.remember(request, answer, age_s=age_s) for request, answer, age_s in some)
        )
        kept += found.count("")
    return kept


def _known(
    reading: Reading, checked: Checked, journal: Journal, clock: Callable[[], float]
) -> Iterator[tuple[Request, Answer, float]]:
    asked = (line.asked for line in lines(reading, checked) if line.index in journal)
    for done, line in zip(journal.done(), asked, strict=False):  # both in the order of the input; the rest is not read
        if line is None or not _is_clean(done):
            continue
        try:
            answer = answer_from(line.request, done.line["response"]["body"])
        except EngineError:
            continue
        yield line.request, answer, 0.0 if done.done_s is None else max(0.0, clock() - done.done_s)


def _is_clean(done: Done) -> bool:
    return done.ok and not done.reason and done.status in COMPUTED
