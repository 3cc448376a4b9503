"""Notes from worker to worker in a Redis stream: what to forget, and who has done it.

A stream and not a channel: who was away for a moment reads on where it stopped.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ...middleware.coordination import Told
from ...middleware.errors import CoordinationError
from ..local.selectors import selector_from, selector_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ...middleware.records import Selector
    from .link import Link

log = logging.getLogger(__name__)
KEEP: Final = 1000
"""Notes in the stream; the oldest go."""
BLOCK_S: Final = 1.0
GRACE_S: Final = 2.0
FIRST_S: Final = 60
"""Seconds of notes that a worker does again when it starts: doing one twice does no harm."""
ANSWERS_S: Final = 60
ASK_S: Final = 0.02


class Notes:
    """The notes under one prefix.

    Args:
        name: of this process.
    """

    def __init__(self, link: Link, prefix: str, name: str) -> None:
        self._link = link
        self._stream = f"{prefix}:notes"
        self._answers = f"{prefix}:done:"
        self._name = name
        self._last = ""

    async def tell(self, selector: Selector, wait_s: float, others: Callable[[], set[str]]) -> Told:
        """Write a note and wait for those who live to have done it.

        Raises:
            CoordinationError: Redis is down.
        """
        client = self._link.client
        ends = monotonic() + wait_s
        fields = {"author": self._name, "selector": selector_text(selector)}
        number: Any = await self._link.call(
            lambda: client.xadd(self._stream, fields, maxlen=KEEP, approximate=False), probe=True
        )
        while True:
            answers: Any = await self._link.call(lambda: client.hgetall(f"{self._answers}{number}"))
            asked = others()
            if asked <= answers.keys() or monotonic() >= ends:
                dropped = sum(int(each) for each in answers.values())
                return Told(len(asked | answers.keys()), len(answers), dropped)
            await asyncio.sleep(ASK_S)

    async def done(self, number: str, dropped: int) -> None:
        """Write that this worker has done what a note says."""
        client, key = self._link.client, f"{self._answers}{number}"

        async def write() -> None:
            async with client.pipeline(transaction=False) as both:
                both.hset(key, self._name, dropped)
                both.expire(key, ANSWERS_S)
                await both.execute()

        await self._link.call(write)

    async def heard(self) -> AsyncIterator[tuple[str, Selector]]:
        """Yield number and selector of what others tell, from where the last reader stopped."""
        client = self._link.blocking
        if not self._last:
            async with asyncio.timeout(GRACE_S):
                seconds, _ = await client.time()
            self._last = f"{(int(seconds) - FIRST_S) * 1000}-0"
        while True:
            async with asyncio.timeout(BLOCK_S + GRACE_S):
                found: Any = await client.xread({self._stream: self._last}, block=round(BLOCK_S * 1000))
            for number, fields in found[0][1] if found else ():
                self._last = str(number)
                if fields.get("author") != self._name:
                    try:
                        selector = selector_from(str(fields.get("selector")))
                    except CoordinationError as error:
                        log.warning("%s", error)
                        continue
                    yield self._last, selector
