"""Runs a checked batch file: from where the journal ends, to the output file."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Final

from ...middleware.batch import BatchRun
from ...middleware.batch_checks import reason_of
from ...middleware.errors import EngineError, ForebayError
from .journal import Done
from .lines import answered, failed, line_id
from .reading import lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...middleware.batch import Member
    from ...middleware.batch_checks import Care
    from ...middleware.pipeline import Pipeline
    from ...middleware.protocols import Engine
    from ...middleware.records import Request
    from .journal import Journal
    from .reading import Checked, Line, Reading
    from .totals import Totals

SYNC_WITHIN_S: Final = 0.5


class EngineDownError(ForebayError):
    """The engine was not reached for so many lines in a row that going on would only fail the rest."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run.

    Attributes:
        max_parallel: how many lines are computed at once.
    """

    reading: Reading
    checked: Checked
    journal: Journal
    care: Care
    max_parallel: int


class Runner:
    """Runs one batch.

    Args:
        step: called whenever a line is done.
    """

    def __init__(self, job: Job, totals: Totals, step: Callable[[], None]) -> None:
        self._job = job
        self._totals = totals
        self._step = step
        self._asked: dict[int, Line] = {}
        self._unreached: list[tuple[Line, Member]] = []
        self._patience = max(8, 2 * job.max_parallel)
        self._unsynced = 0

    async def run(self, pipeline: Pipeline, engine: Engine) -> None:
        """Ask what is not done, and note it.

        Raises:
            EngineDownError: the engine cannot be reached; lines that met that are not noted, so that the next run asks them.
            ForebayError: the journal cannot be written, or the input was changed.
        """
        job = self._job
        run = BatchRun(pipeline, engine, max_parallel=job.max_parallel, care=job.care)
        syncing = asyncio.create_task(self._sync())
        try:
            async with aclosing(run.members(self._requests())) as members:
                async for member in members:
                    self._totals.retries = run.tally.retries
                    self._take(self._asked.pop(member.index), member)
            for line, member in self._unreached:
                self._note(line, member)
        finally:
            syncing.cancel()
            await asyncio.gather(syncing, return_exceptions=True)
            job.journal.sync()

    def _requests(self) -> Iterator[Request]:
        """Yield what is to be asked; lines that cannot be are noted on the way."""
        job, index = self._job, 0
        for line in lines(job.reading, job.checked):
            if line.index in job.journal:
                continue
            if line.asked is None:
                self._done(Done(line.index, line.failed(job.checked.digest), False, "", "invalid_line", 0, line.number))
                continue
            self._asked[index] = line
            index += 1
            yield line.asked.request

    def _take(self, line: Line, member: Member) -> None:
        """Note a member; failures to reach the engine wait until it answers again."""
        error = member.outcome
        if isinstance(error, EngineError) and error.status is None:
            self._unreached.append((line, member))
            if len(self._unreached) >= self._patience:
                raise EngineDownError(f"{error}; {len(self._unreached)} lines in a row met that")
            return
        for earlier in self._unreached:
            self._note(*earlier)
        self._unreached.clear()
        self._note(line, member)

    def _note(self, line: Line, member: Member) -> None:
        name = line_id(self._job.checked.digest, line.index)
        request, outcome, answer = member.request, member.outcome, member.answer
        if isinstance(outcome, Exception) or answer is None:
            error = outcome if isinstance(outcome, Exception) else EngineError("no answer")
            told = failed(name, line.custom_id, request, error)
            self._done(Done(line.index, told, False, "", reason_of(error), 0, line.number))
            return
        told = answered(name, line.custom_id, request, outcome.request_id, answer)
        saved, status = member.tokens_saved, outcome.status.value
        self._done(Done(line.index, told, True, status, member.warning, saved, line.number, time()))

    def _done(self, done: Done) -> None:
        self._job.journal.add(done)
        self._totals.add(done)
        self._unsynced += 1
        self._step()

    async def _sync(self) -> None:
        """Sync the journal now and then, in a thread: a slow disk must not hold up who waits for an answer."""
        while True:
            await asyncio.sleep(SYNC_WITHIN_S)
            if self._unsynced:
                self._unsynced = 0
                await asyncio.to_thread(self._job.journal.sync)
