"""In-flight twins of all workers: equal requests share one computation wherever they came in.

In each worker equal requests form a group, as without coordination. The group's leader then claims the key
among the workers; where another worker has it, the whole group waits for that one's answer. Every doubt ends
in computing: an answer that cannot be read, one that was forgotten, workers that cannot agree.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from .errors import CoordinationError, PayloadError
from .payload import decode_entry, encode_entry
from .twins import Turn, Twins

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .forgotten import Forgotten
    from .keys import Keyring
    from .protocols import Coordination
    from .records import Entry
    from .twins import Live

log = logging.getLogger(__name__)
MOST_BYTES: Final = 1 << 20
"""Answers beyond this size are not handed to other workers; theirs compute for themselves."""
DOUBT_S: Final = 30.0
"""An answer from another worker is not taken where something like it was forgotten so recently."""

_numbers = itertools.count(1)


class SharedTwins(Twins):
    """The groups of equal requests in flight, over all workers. Belongs to one event loop.

    Args:
        keyring: signs and checks what goes from worker to worker.
        forgotten: what was forgotten lately.
    """

    def __init__(
        self,
        coordination: Coordination,
        keyring: Keyring,
        forgotten: Forgotten,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__()
        self._coordination = coordination
        self._keyring = keyring
        self._forgotten = forgotten
        self._monotonic = clock
        self._claims: dict[str, str] = {}  # keys that this worker leads among all, and the claims' members
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, key: str, flight_id: str, timeout_s: float, form: str | None = None) -> Entry | Turn | Live:
        """Lead the key's group here and among the workers, or follow; see `Twins.join`."""
        ends = self._monotonic() + timeout_s
        found = await super().join(key, flight_id, timeout_s, form)
        if found is not Turn.LEAD or key in self._claims or not self._coordination.roster().shared:
            return found
        member = str(next(_numbers))
        try:
            claimed = await self._coordination.claim(_name(key), member, 1, max(0.0, ends - self._monotonic()))
        except CoordinationError:
            return found  # twins of this worker alone
        except BaseException:
            self.hand_over(key, flight_id)
            raise
        if claimed.granted:
            if key in self._claims or not self.leads(key, flight_id):  # its flight ended while it waited
                self._soon(self._coordination.release(_name(key), member))
            else:
                self._claims[key] = member
            return found
        if claimed.left is None:
            return found  # its time is up: it computes, and leads those here
        entry = self._read(key, claimed.left)
        super().answered(key, flight_id, entry)
        return Turn.ALONE if entry is None else entry

    def answered(self, key: str, flight_id: str, entry: Entry | None) -> int:
        """End a led group here and among the workers; see `Twins.answered`."""
        leads = self.leads(key, flight_id)
        woken = super().answered(key, flight_id, entry)
        if leads:
            self._release(key, "" if entry is None else self._written(entry))
        return woken

    def hand_over(self, key: str, flight_id: str) -> None:
        """Give up leading: a follower here leads, else one of another worker; see `Twins.hand_over`."""
        leads = self.leads(key, flight_id)
        super().hand_over(key, flight_id)
        if leads and key not in self._groups:
            self._release(key, None)

    def _release(self, key: str, left: str | None) -> None:
        member = self._claims.pop(key, None)
        if member is not None:
            self._soon(self._coordination.release(_name(key), member, left))

    def _written(self, entry: Entry) -> str:
        try:
            text = encode_entry(entry, self._keyring)
        except PayloadError:
            return ""
        return text if len(text) <= MOST_BYTES else ""

    def _read(self, key: str, text: str) -> Entry | None:
        if not text:
            return None
        try:
            entry = decode_entry(key, text, self._keyring)
        except PayloadError as error:
            log.warning("an answer of another worker is not used: %s", error)
            return None
        fresh = entry.expires_s > time() and not self._forgotten.lately(entry, DOUBT_S)
        return entry if fresh else None

    def _soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _name(key: str) -> str:
    return f"twin:{key}"
