"""Batches texts across callers and remembers their vectors: what all embedders here share."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import OrderedDict, deque
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...middleware.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from ...middleware.records import Vector


@dataclass(eq=False, slots=True)
class _Waiting:
    text: str
    digest: bytes
    future: asyncio.Future[Vector]


class Batcher:
    """Hands texts to a model in batches, many callers at a time.

    Texts that arrive while the model is busy wait together and form the next batch; equal texts in a batch are computed
    once. Vectors are kept in memory by SHA-256 of their text, least recently used out first. Belongs to one event loop.

    Args:
        compute: returns one vector a text, in order, or the error of that text alone.
        max_batch: texts in one call of `compute`.
        lanes: calls of `compute` at a time.
        memo: how many vectors to keep, 0 for none.
        name: of the tasks, for debuggers.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[str]], Awaitable[Sequence[Vector | EmbedderError]]],
        *,
        max_batch: int,
        memo: int,
        lanes: int = 1,
        name: str = "forebay-embedder",
    ) -> None:
        self._compute = compute
        self._max_batch = max_batch
        self._lanes = lanes
        self._name = name
        self._memo_size = memo
        self._memo: OrderedDict[bytes, Vector] = OrderedDict()
        self._pending: deque[_Waiting] = deque()
        self._workers: set[asyncio.Task[None]] = set()

    @property
    def remembered(self) -> int:
        """How many vectors are kept in memory."""
        return len(self._memo)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one vector a text, in order.

        Cancelling the caller leaves the batch it is part of, and so the other callers, alone.

        Raises:
            EmbedderError: the model failed, or `stop` was called meanwhile.
        """
        loop = asyncio.get_running_loop()
        found: list[Vector | asyncio.Future[Vector]] = []
        for text in texts:
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            vector = self._memo.get(digest)
            if vector is not None:
                self._memo.move_to_end(digest)
                found.append(vector)
                continue
            waiting = _Waiting(text, digest, loop.create_future())
            self._pending.append(waiting)
            found.append(waiting.future)
        batches = math.ceil(len(self._pending) / self._max_batch)
        for _ in range(min(batches, self._lanes - len(self._workers))):
            # in a context of its own: a batch is not part of the trace of whoever came first
            self._workers.add(loop.create_task(self._work(), name=self._name, context=Context()))
        futures = [item for item in found if isinstance(item, asyncio.Future)]
        if futures:
            await asyncio.gather(*futures)
        return [item.result() if isinstance(item, asyncio.Future) else item for item in found]

    async def stop(self) -> None:
        """Fail what runs and what waits."""
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)
        self._fail(self._pending, EmbedderError("the embedder was stopped"))
        self._pending.clear()

    async def _work(self) -> None:
        """Run batches until nothing waits."""
        try:
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(self._max_batch, len(self._pending)))]
                batch = [waiting for waiting in batch if not waiting.future.done()]
                try:
                    await self._run(batch)
                except asyncio.CancelledError:
                    self._fail(batch, EmbedderError("the embedder was stopped"))
                    raise
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._workers.discard(task)

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        texts = {waiting.digest: waiting.text for waiting in batch}
        try:
            computed = await self._compute(list(texts.values()))
            made = dict(zip(texts, computed, strict=True))
        except EmbedderError as error:
            self._fail(batch, error)
            return
        except Exception as error:
            # the text of the error may quote the input, its type cannot
            self._fail(batch, EmbedderError(f"the embedding model failed ({type(error).__name__})"))
            return
        for waiting in batch:
            result = made[waiting.digest]
            if waiting.future.done():
                continue
            if isinstance(result, EmbedderError):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)
        for digest, result in made.items():
            if not isinstance(result, EmbedderError):
                self._memo[digest] = result
                self._memo.move_to_end(digest)
        while len(self._memo) > self._memo_size:
            self._memo.popitem(last=False)

    @staticmethod
    def _fail(batch: Iterable[_Waiting], error: EmbedderError) -> None:
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(error)
