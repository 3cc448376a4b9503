"""Epochs: everything, or all of one tenant, is invalidated by a number that grows, without looking at a single entry.

An entry keeps the epoch in which its request began. It may be served where neither of the epoch's two parts, of everything
and of its tenant, has grown since. A part grows to the time in microseconds of the Unix epoch, or by one where that is
less, so bumps on two machines that have not heard of each other are in the order of their clocks, and a process that has
lost its memory never begins below what it once was. What two processes know is merged by the larger number.
"""

from __future__ import annotations

import threading
from time import time
from typing import TYPE_CHECKING, Final

from .records import Selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from .records import Entry
    from .state import StateStore

TENANT_BITS: Final = 52
"""Of a packed epoch, the lower ones: microseconds until the year 2112."""
MOST: Final = 10_000
"""Tenants whose epochs are known one by one: about 1.5 MB."""
EVERYTHING_ROW: Final = "everything"
FLOOR_ROW: Final = "floor"
TENANT_ROW: Final = "tenant:"
_MASK: Final = (1 << TENANT_BITS) - 1


def parts_of(epoch: int) -> tuple[int, int]:
    """Return the two parts of a packed epoch: of everything, and of the tenant."""
    return epoch >> TENANT_BITS, epoch & _MASK


def packed(everything: int, tenant: int) -> int:
    """Return two parts as one number."""
    return (everything << TENANT_BITS) | tenant


def is_before(epoch: int, other: int) -> bool:
    """Return whether one part of an epoch, or both, is less than that of another."""
    return epoch >> TENANT_BITS < other >> TENANT_BITS or epoch & _MASK < other & _MASK


class Epochs:
    """The epochs that this process knows of. Safe to use from several threads.

    Where more than `most` tenants have one of their own, the older half of them is folded into a floor under all tenants:
    then whatever is older than those bumps is invalidated, of the other tenants, too. That costs hits, never a wrong one.

    Args:
        state: where they outlive a restart; several processes may share it.
        most: tenants that are known one by one.
        clock: Unix time in seconds.

    Raises:
        sqlite3.Error: the state store cannot be read.
    """

    def __init__(self, state: StateStore | None = None, *, most: int = MOST, clock: Callable[[], float] = time) -> None:
        self._state = state
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._everything = 0
        self._floor = 0
        self._tenants: dict[str, int] = {}
        self.refresh()

    def __len__(self) -> int:
        """Return how many tenants are known one by one."""
        return len(self._tenants)

    @property
    def kept(self) -> bool:
        """Whether they outlive this process: then a change waits for the disk."""
        return self._state is not None

    def of(self, tenant: str) -> int:
        """Return the epoch that an entry of a tenant is made in now.

        Args:
            tenant: keyed digest of the tenant.
        """
        return packed(self._everything, max(self._floor, self._tenants.get(tenant, 0)))

    def holds(self, entry: Entry) -> bool:
        """Return whether an entry has not been invalidated, as far as this process knows."""
        everything, own = parts_of(entry.epoch)
        return everything >= self._everything and own >= self._floor and own >= self._tenants.get(entry.tenant, 0)

    def selectors(self) -> list[Selector]:
        """Return what earlier epochs have, one selector for everything and one a tenant: it may be deleted."""
        of_all = packed(self._everything, self._floor)
        every = [Selector(epoch=of_all)] if of_all else []
        return every + [Selector(tenant=name, epoch=self.of(name)) for name in list(self._tenants)]

    def bump(self, tenant: str | None = None) -> Selector:
        """Invalidate all that a tenant has, or everything; it outlives this process when this returns.

        Takes some milliseconds where there is a state store: call it in a thread.

        Args:
            tenant: keyed digest of the tenant, None for everything.

        Returns:
            What the other workers are to be told.

        Raises:
            AdapterError: it could not be kept; here it holds until this process ends.
        """
        name = EVERYTHING_ROW if tenant is None else TENANT_ROW + tenant
        with self._lock:
            known = self._everything if tenant is None else max(self._floor, self._tenants.get(tenant, 0))
            value = max(int(self._clock() * 1e6), known + 1)
            self._raise(name, value)
        if self._state is not None:
            # another process may have gone further than this one has heard
            value = self._state.raise_epoch(name, value, over=(name,) if tenant is None else (name, FLOOR_ROW))
            with self._lock:
                self._raise(name, value)
        self._fold()
        with self._lock:
            return Selector(tenant=tenant, epoch=self._told(tenant))

    def heard(self, selector: Selector) -> None:
        """Take over what another worker has bumped, and keep it. Call it in a thread, as `bump`.

        Raises:
            AdapterError: it could not be kept; here it holds until this process ends.
        """
        if selector.epoch is None or selector.epoch < 0:
            return
        everything, own = parts_of(selector.epoch)
        of_tenant = FLOOR_ROW if selector.tenant is None else TENANT_ROW + selector.tenant
        grown = self._learn({EVERYTHING_ROW: everything, of_tenant: own})
        if self._state is not None:
            for name, value in grown.items():
                self._state.raise_epoch(name, value)
        self._fold()

    def seen(self, entry: Entry) -> None:
        """Learn from an entry that was made in a later epoch than this process knows of.

        So a process that missed a bump, or lost its state, catches up. It is kept soon, and not waited for.
        """
        if not is_before(self.of(entry.tenant), entry.epoch):
            return
        everything, own = parts_of(entry.epoch)
        grown = self._learn({EVERYTHING_ROW: everything, TENANT_ROW + entry.tenant: own})
        if self._state is not None:
            for name, value in grown.items():
                self._state.raise_epoch_soon(name, value)

    def refresh(self) -> None:
        """Take over what other processes of this machine have kept.

        Raises:
            sqlite3.Error: the state store cannot be read.
        """
        if self._state is not None:
            self._learn(self._state.epochs())
            self._fold()

    def _learn(self, values: dict[str, int]) -> dict[str, int]:
        """Take over what is higher than is known; return that."""
        with self._lock:
            return {name: value for name, value in values.items() if self._raise(name, value)}

    def _raise(self, name: str, value: int) -> bool:
        if name == EVERYTHING_ROW:
            grown, self._everything = value > self._everything, max(value, self._everything)
            return grown
        if name == FLOOR_ROW:
            grown, self._floor = value > self._floor, max(value, self._floor)
            return grown
        tenant = name.removeprefix(TENANT_ROW)
        grown = value > max(self._floor, self._tenants.get(tenant, 0))
        if grown:
            self._tenants[tenant] = value
        return grown

    def _told(self, tenant: str | None) -> int:
        return packed(self._everything, self._floor) if tenant is None else self.of(tenant)

    def _fold(self) -> None:
        """Let the older half of too many tenants' epochs become the floor."""
        with self._lock:
            if len(self._tenants) <= self._most:
                return
            floor = sorted(self._tenants.values())[len(self._tenants) // 2]
            self._floor = max(self._floor, floor)
            self._tenants = {name: value for name, value in self._tenants.items() if value > self._floor}
            floor = self._floor
        if self._state is not None:
            self._state.raise_epoch(FLOOR_ROW, floor)
            self._state.drop_epochs(floor, (EVERYTHING_ROW, FLOOR_ROW))
