"""An ``LLM``'s engine, run in the thread that asked for answers, as ``LLM.generate`` does, while another thread says what to run."""

from __future__ import annotations

import asyncio
import contextlib
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future


class Stepping:
    """Runs an engine until a batch is done. vLLM is touched by the thread that calls `run` only.

    Args:
        engine: vLLM's ``LLMEngine``; nothing is in it.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._waiting: dict[str, Callable[[Any], None]] = {}

    def post(self, job: Callable[[], None]) -> None:
        """Do something in the engine's thread; from any thread."""
        self._jobs.put(job)

    async def output(self, add: Callable[[], Sequence[str]]) -> Any:
        """Return what the engine answers in the end.

        Args:
            add: puts one request into the engine, and returns its id.
        """
        loop = asyncio.get_running_loop()
        came: asyncio.Future[Any] = loop.create_future()

        def brought(output: Any) -> None:
            if not came.done():
                came.set_result(output)

        def bring(output: Any) -> None:
            loop.call_soon_threadsafe(brought, output)

        def added() -> None:
            (name,) = add()
            # its output has the name without what vLLM adds to tell two of the same name apart
            self._waiting[name.partition("-")[0]] = bring

        self._jobs.put(added)
        return await came

    def run(self, batch: Future[Any]) -> None:
        """Do what is posted, and step the engine while there is something in it, until the batch is done.

        Raises:
            BaseException: whatever the engine raises, or the caller's interrupt; then the batch is cancelled, and the engine empty.
        """
        batch.add_done_callback(lambda _: self._jobs.put(None))
        try:
            while self._work():
                for output in self._engine.step() if self._waiting else ():
                    if output.finished:
                        self._waiting.pop(output.request_id, _nobody)(output)
        finally:
            batch.cancel()  # of one that is done this is nothing
            if self._waiting:
                with contextlib.suppress(Exception):  # of a dead engine
                    self._engine.abort_request(list(self._waiting))

    def _work(self) -> bool:
        """Do all that is posted, waiting for something where the engine has nothing to do; return whether the batch goes on."""
        with contextlib.suppress(Empty):
            job = self._jobs.get(block=not self._waiting)
            while job is not None:
                job()
                job = self._jobs.get(block=not self._waiting)
            return False
        return True


def _nobody(output: object) -> None:
    """An output of something that was in the engine before."""
