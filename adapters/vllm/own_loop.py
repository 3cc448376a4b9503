"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class OwnLoop:
    """Runs until it is closed, or the process ends."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._threads = _Threads(thread_name_prefix="forebay-offline")
        self._loop.set_default_executor(self._threads)
        self._thread = threading.Thread(target=self._loop.run_forever, name="forebay-offline", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something on the loop; to be called from other threads."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something last, and end the loop; from any thread.

        Raises:
            Exception: whatever `last` raises, where it can be waited for.
        """
        ended = asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        if threading.current_thread() is not self._thread:  # a collector may call it from anywhere
            try:
                ended.result()
            finally:
                self._thread.join()
                self._threads.shutdown()
                self._loop.close()

    async def _end(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await last()
        finally:
            self._loop.call_soon(self._loop.stop)


class _Threads(ThreadPoolExecutor):
    """Runs what comes while the interpreter ends in the loop's thread: then there are no others any more."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function in a thread."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            done: Future[T] = Future()
            try:
                done.set_result(fn(*args, **kwargs))
            except Exception as error:
                done.set_exception(error)
            return done
