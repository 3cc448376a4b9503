"""This process as one of several workers: what it does for the others, and what it says about them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .errors import CoordinationError
from .events import Health
from .protocols import Placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .admission.lanes import Lanes
    from .config import Config
    from .coordination import Roster, Told
    from .epochs import Epochs
    from .keeper import Keeper
    from .protocols import Coordination
    from .records import Selector
    from .twins import Twins

log = logging.getLogger(__name__)
HOUSE: Final = "house"
"""The claim of the one process that sweeps and adopts in a store that several share."""


class Workers:
    """Forgets what others forget, divides the limits, and tells others to forget.

    Args:
        coordination: what the workers agree through.
        epochs: grow by what another worker has bumped.
    """

    def __init__(
        self,
        coordination: Coordination,
        keeper: Keeper,
        twins: Twins,
        lanes: Lanes,
        *,
        store: str = "store",
        epochs: Epochs | None = None,
    ) -> None:
        self._coordination = coordination
        self._keeper = keeper
        self._twins = twins
        self._lanes = lanes
        self._store = store
        self._epochs = epochs

    async def forget_everywhere(self, selector: Selector, wait_s: float = 5.0) -> tuple[int, Told]:
        """Forget what matches, here and in every worker.

        Returns:
            How many entries were dropped here, and what came of telling the others.

        Raises:
            CoordinationError: the others could not be told; here it is forgotten all the same.
            ForebayError: the store failed.
        """
        dropped = await self.forget(selector)
        return dropped, await self._coordination.tell(selector, wait_s)

    def refuse(self, selector: Selector) -> None:
        """Keep no answer, here, that matches and whose request began before now."""
        self._keeper.forgotten.note(selector)

    async def forget(self, selector: Selector) -> int:
        """Forget what matches, here; return how many entries that were.

        Of an epoch nothing is deleted now: what is older is not served any more, and swept later.
        """
        self._twins.forget(selector)
        if selector.epoch is not None and self._epochs is not None:
            # whose request began before it is not kept, whichever epoch it would be written in
            self._keeper.forgotten.note(replace(selector, epoch=None))
            if self._epochs.kept:
                await asyncio.to_thread(self._epochs.heard, selector)
            else:
                self._epochs.heard(selector)
            return 0
        return await self._keeper.forget(selector)

    def changed(self, roster: Roster) -> None:
        """Other workers came or went."""
        self._lanes.changed(roster)

    def about(self) -> str:
        """Say where this process keeps its answers."""
        store = self._keeper.store
        return store.place if isinstance(store, Placed) else self._store


async def keeps_house(coordination: Coordination) -> bool:
    """Return whether this process is the one that keeps house; it stays so until it ends."""
    try:
        return (await coordination.claim(HOUSE, "keeper", 1, 0.0)).granted
    except CoordinationError as error:
        log.info("nobody keeps house for now: %s", error)
        return False


def findings(roster: Roster, config: Config, places: int | None) -> Sequence[Health]:
    """Say which workers there are, and what they share (`forebay doctor`)."""
    count = len(roster.workers)
    if count == 0:
        return [Health("workers", ok=True, detail="none is running")]
    found: list[Health] = []
    named = "; ".join(f"pid {each.pid}: {each.about}" if each.about else f"pid {each.pid}" for each in roster.workers)
    found.append(Health("workers", ok=True, detail=f"{count} running: {named}"))
    if count == 1:
        return found
    redis = "coordination: {type: redis, url: …}"
    if places is None:
        found.append(Health("limits", ok=True, detail=f"{config.limit.type}: holds in each worker by itself"))
    elif roster.shared:
        found.append(Health("limits", ok=True, detail=f"{places} for each deployment, shared by {count} workers"))
    else:
        each = f"{places // count} to {-(-places // count)}" if places % count else f"{places // count}"
        if places < count:
            detail = (
                f"{places} divided by {count} workers would be less than one each: each lets 1 in, {count} together"
            )
            fix = f"set limit.max_inflight to at least {count}, or {redis} to share it"
            found.append(Health("limits", ok=False, detail=detail, fix=fix, required=False))
        else:
            detail = f"{places} for each deployment, divided by {count} workers: {each} each"
            found.append(Health("limits", ok=True, detail=detail))
    if config.cache.twins:
        how = "of all workers share" if roster.shared else "share one computation only within a worker"
        detail = f"equal requests {how}" + (" one computation" if roster.shared else f"; {redis} shares it")
        found.append(Health("twins", ok=True, detail=detail))
    own = [each for each in roster.workers if "of its own" in each.about]
    if own:
        detail = f"{len(own)} of {count} workers keep answers in memory of their own: each computes once"
        fix = "use a Milvus server (store.uri: http://HOST:19530) to share answers"
        found.append(Health("answers", ok=False, detail=detail, fix=fix, required=False))
    return found
