"""In-flight twins: equal requests share one computation.

The first with a key leads, later ones follow. A leader that answers wakes all followers with the answer. A
leader whose caller left hands over to the first follower. A leader that failed releases its followers to run
on their own: electing a new leader then would fail them one after another. A leader may also let those who want the same
form of answer read its own while it is computed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from time import time
from typing import TYPE_CHECKING, TypeAlias

from .forgotten import matches
from .generation import Generation

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .records import Entry, Selector

    Live: TypeAlias = Generation[Any]


class Turn(StrEnum):
    """What a follower does when it is woken without an answer."""

    LEAD = "lead"
    ALONE = "alone"


@dataclass(slots=True)
class _Follower:
    future: asyncio.Future[Entry | Turn | Live]
    form: str | None


@dataclass(slots=True)
class _Group:
    leader: str
    followers: dict[str, _Follower] = field(default_factory=dict[str, _Follower])
    live: Live | None = None
    opened: bool = False

    def reads(self, form: str | None) -> bool:
        """Return whether the leader's answer can be read in this form while it is computed."""
        return self.live is not None and form is not None and self.live.form == form


class Twins:
    """The groups of equal requests in flight. Belongs to one event loop.

    Attributes:
        clock: Unix time, by which held answers expire.
    """

    def __init__(self, *, clock: Callable[[], float] = time) -> None:
        self.clock = clock
        self._groups: dict[str, _Group] = {}
        self._held: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def leads(self, key: str, flight_id: str) -> bool:
        """Return whether this flight leads the key's group."""
        group = self._groups.get(key)
        return group is not None and group.leader == flight_id

    def busy(self, key: str) -> bool:
        """Return whether somebody is computing this key, or its answer is on its way into the store."""
        held = self._held.get(key)
        return key in self._groups or (held is not None and held.expires_s > self.clock())

    async def join(self, key: str, flight_id: str, timeout_s: float, form: str | None = None) -> Entry | Turn | Live:
        """Lead the key's group, or follow its leader until it ends.

        Args:
            key: `Key.exact`.
            timeout_s: how long to follow; after that the follower runs alone.
            form: of answer that the follower could read while it is computed, None for none.

        Returns:
            The leader's answer, or the call to read it from; `Turn.LEAD` for the one who must compute it; `Turn.ALONE` for
            one who must compute for itself only.
        """
        held = self._held.get(key)
        if held is not None and held.expires_s > self.clock():
            return held
        group = self._groups.get(key)
        if group is None or group.leader == flight_id:
            self._groups[key] = group or _Group(flight_id)
            return Turn.LEAD
        future: asyncio.Future[Entry | Turn | Live] = asyncio.get_running_loop().create_future()
        group.followers[flight_id] = _Follower(future, form)
        self._ask(group, form, future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return future.result() if future.done() and not future.cancelled() else Turn.ALONE
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result() is Turn.LEAD:
                self.hand_over(key, flight_id)  # elected at the very moment its caller left
            raise
        finally:
            group.followers.pop(flight_id, None)

    async def follow(self, key: str, flight_id: str, timeout_s: float) -> Entry | None:
        """Wait for the answer of another key's leader, without ever leading: the question is a similar one.

        Returns:
            The answer; None where nobody computes that key, where it failed, or the time is up.
        """
        if not self.busy(key):
            return None
        found = await Twins.join(self, key, flight_id, timeout_s)
        if found is Turn.LEAD:
            self.hand_over(key, flight_id)
        return None if isinstance(found, (Turn, Generation)) else found

    def offer(self, key: str, flight_id: str, live: Live) -> None:
        """Let those who follow this leader read what it computes, as soon as one of them wants to."""
        if not self.leads(key, flight_id):
            return
        group = self._groups[key]
        group.live = live
        live.opened = lambda: self._open(group)
        if any(group.reads(follower.form) for follower in group.followers.values()):
            live.want()

    def passed(self, key: str, flight_id: str, successor: str) -> None:
        """The leader left, and one who read along pays for the rest."""
        if self.leads(key, flight_id):
            self._groups[key].leader = successor

    def answered(self, key: str, flight_id: str, entry: Entry | None) -> int:
        """End a led group: with an answer, or with None where it failed. Return how many followed."""
        if not self.leads(key, flight_id):
            return 0
        group = self._groups.pop(key)
        woken = 0
        for follower in group.followers.values():
            if not follower.future.done():
                follower.future.set_result(Turn.ALONE if entry is None else entry)
                woken += 1
        return woken

    def hold(self, key: str, entry: Entry) -> None:
        """Answer who comes now with an entry that is on its way into the store: neither tier knows it yet."""
        self._held[key] = entry

    def let_go(self, key: str, entry: Entry) -> None:
        """The store has the entry, or will not have it."""
        if self._held.get(key) is entry:
            del self._held[key]

    def forget(self, selector: Selector) -> None:
        """Answer nobody with what matches any more."""
        for key, entry in list(self._held.items()):
            if matches(selector, entry):
                del self._held[key]

    def hand_over(self, key: str, flight_id: str) -> None:
        """Give up leading without an answer: the first follower leads, or the group ends."""
        if not self.leads(key, flight_id):
            return
        group = self._groups[key]
        group.live, group.opened = None, False
        for name, follower in list(group.followers.items()):
            del group.followers[name]
            if not follower.future.done():
                group.leader = name
                follower.future.set_result(Turn.LEAD)
                return
        del self._groups[key]

    @staticmethod
    def _ask(group: _Group, form: str | None, future: asyncio.Future[Entry | Turn | Live]) -> None:
        """Read along where that is possible now, else as soon as it is."""
        if group.live is None or not group.reads(form):
            return
        if group.opened:
            future.set_result(group.live)
        else:
            group.live.want()

    @staticmethod
    def _open(group: _Group) -> None:
        group.opened = True
        for follower in group.followers.values():
            if group.live is not None and group.reads(follower.form) and not follower.future.done():
                follower.future.set_result(group.live)
