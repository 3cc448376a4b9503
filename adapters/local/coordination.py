"""Coordination through the shared state folder: for the workers of one machine, with nothing to run beside them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
from time import monotonic
from typing import TYPE_CHECKING, Final

from ...middleware.coordination import Claimed, Roster, Told
from ...middleware.errors import CoordinationError
from ...middleware.events import Health
from .files import ClaimFiles, WorkerFiles
from .notes import Notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...middleware.coordination import Listener
    from ...middleware.records import Selector

log = logging.getLogger(__name__)
LOOK_S: Final = 0.2
"""How often it is looked for notes."""
COUNT_EVERY: Final = 5
"""Looks between two counts of the workers: one a second."""
ASK_S: Final = 0.02


def worker_name() -> str:
    """Return a name for this process that no other has or will have."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


class LocalCoordination:
    """The workers that share a state folder.

    They forget what one is told to forget, one of them keeps house, and each knows how many there are. Limits
    are divided and twins are each worker's own.

    Args:
        folder: the shared state folder.
        serves: this process is a worker; else it only looks and tells.
    """

    def __init__(self, folder: Path, *, serves: bool = True, name: str | None = None) -> None:
        self.name = name or worker_name()
        self._folder = folder / "workers"
        self._serves = serves
        self._files = WorkerFiles(self._folder, self.name)
        self._claims = ClaimFiles(self._folder)
        self._notes: Notes | None = None
        self._listener: Listener | None = None
        self._roster = Roster()
        self._looks = 0
        self._last = 0
        self._behind = False
        self._timer: asyncio.TimerHandle | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._trouble = ""

    def roster(self) -> Roster:
        """Return the workers, as counted at most a second ago."""
        return self._roster

    def hear(self, listener: Listener) -> None:
        """Tell this listener what the others tell."""
        self._listener = listener

    async def start(self) -> None:
        """Be one of the workers.

        Raises:
            CoordinationError: the folder cannot be used; this process then works as if it were alone.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._notes = await asyncio.to_thread(Notes, self._folder / "notes.db")
            self._last = await asyncio.to_thread(self._notes.last)
            if self._serves:
                self._files.join()
        except (OSError, sqlite3.Error) as error:
            raise CoordinationError(
                f"{self._folder} cannot be used by several workers ({error}); state_dir must be on a local disk"
            ) from None
        self._look()

    async def stop(self) -> None:
        """Be one no longer, and give back what is claimed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)
        self._claims.close()
        self._files.leave()
        notes, self._notes = self._notes, None
        if notes is not None:
            await asyncio.to_thread(notes.close)

    async def check_ready(self) -> Sequence[Health]:
        """Say through what the workers agree."""
        if self._notes is None or self._trouble:
            fix = "state_dir must be on a local disk that this user can write to"
            detail = self._trouble or f"{self._folder} could not be opened"
            return [Health("coordination", ok=False, detail=detail, fix=fix, required=False)]
        return [Health("coordination", ok=True, detail=f"local: the workers that share {self._folder.parent}")]

    async def tell(self, selector: Selector, wait_s: float) -> Told:
        """Let every other worker forget what matches; see `Coordination.tell`."""
        notes = self._notes
        if notes is None:
            raise CoordinationError(f"the other workers cannot be told: {self._folder} could not be opened")
        ends = monotonic() + wait_s
        try:
            number = await asyncio.to_thread(notes.write, self.name, selector)
            while True:
                answers = await asyncio.to_thread(notes.answers, number)
                asked = {worker.name for worker in self._files.live()} - {self.name}
                if asked <= answers.keys() or monotonic() >= ends:
                    return Told(len(asked | answers.keys()), len(answers), sum(answers.values()))
                await asyncio.sleep(ASK_S)
        except (OSError, sqlite3.Error) as error:
            raise CoordinationError(f"the other workers cannot be told ({error})") from None

    async def claim(self, name: str, member: str, places: int, wait_s: float) -> Claimed:
        """Take the one place under a name, if it is free; see `Coordination.claim`."""
        if places != 1 or wait_s > 0:
            raise CoordinationError("without Redis, places are divided and not shared (coordination: {type: redis})")
        try:
            return Claimed(self._claims.claim(name, member))
        except OSError as error:
            raise CoordinationError(f"{self._folder} cannot be used ({error})") from None

    async def release(self, name: str, member: str, left: str | None = None) -> None:  # noqa: ARG002 - nobody waits
        """Give a place back."""
        self._claims.release(name, member)

    def _look(self) -> None:
        """Look for notes, and now and then for workers; runs on the event loop, for some microseconds."""
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        try:
            if self._looks % COUNT_EVERY == 0:
                self._count()
            idle = self._hearing is None or self._hearing.done()
            if self._notes is not None and self._serves and idle and (self._behind or self._notes.changed()):
                self._hearing = asyncio.get_running_loop().create_task(self._hear(self._notes))
            self._trouble = ""
        except (OSError, sqlite3.Error) as error:
            if not self._trouble:
                log.warning("the workers cannot agree through %s: %s", self._folder, error)
            self._trouble = str(error)
        self._looks += 1

    def _count(self) -> None:
        if self._listener is not None:
            self._files.say(self._listener.about())
        workers = self._files.live()
        names = [worker.name for worker in workers]
        rank = names.index(self.name) if self.name in names else 0
        before, self._roster = self._roster, Roster(workers, rank)
        if self._listener is not None and [worker.name for worker in before.workers] != names:
            self._listener.changed(self._roster)

    async def _hear(self, notes: Notes) -> None:
        self._behind = True
        try:
            for number, author, selector in await asyncio.to_thread(notes.since, self._last):
                self._last = number
                if author != self.name:
                    await self._do(notes, number, selector)
        except sqlite3.Error as error:
            log.info("notes of other workers cannot be read now: %s", error)
        else:
            self._behind = False

    async def _do(self, notes: Notes, number: int, selector: Selector) -> None:
        try:
            if self._listener is not None:
                dropped = await self._listener.forget(selector)
                await asyncio.to_thread(notes.done, number, self.name, dropped)
        except Exception as error:  # whoever told is not answered, and says so
            log.warning("could not forget what another worker told: %s", str(error) or type(error).__name__)
