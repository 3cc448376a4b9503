"""``forebay vllm serve``: vLLM's own OpenAI server on an engine with forebay in front of it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ....middleware.cli.components import chosen
from ....middleware.cli.session import Session
from ..limits import EngineLimits, with_limits
from ..names import installed
from .options import check_one_process, parsed
from .server import serve

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from types import FrameType

FAILED: Final = 128
"""Added to the number of the signal that ended a process, as shells do."""
_SOME: Final = EngineLimits(max_num_seqs=1, kv_tokens=1, max_num_batched_tokens=1, block_size=1)


class _Stopped(KeyboardInterrupt):
    """A signal came before the server was there to take it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(words: Sequence[str]) -> int:
    """Serve until a signal and return the exit status: 0 after a stop that was asked for.

    Raises:
        ConfigError, PluginError: a word, or forebay's own config, is wrong.
    """
    installed()
    # before vLLM reads it: as `vllm serve` does, which expects that nobody has used the processor's accelerator before
    import_module("vllm.entrypoints.serve.utils.api_utils").cli_env_setup()
    try:
        options = parsed(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    check_one_process(options, os.environ)
    session = Session(options.forebay_config or os.environ.get("FOREBAY_CONFIG"))
    # before the engine starts, which takes long; what only the engine can say is there in its place
    chosen(with_limits(session.config, _SOME), session.plugins.registry, source=session.source)

    loop: Any = import_module("uvloop")
    try:
        with _stopping():
            loop.run(serve(options, session))
    except _Stopped as stopped:
        return FAILED + stopped.number
    return 0


@contextmanager
def _stopping() -> Generator[None]:
    """Let signals end the start; the server takes them over once it runs. Outside the main thread they are left alone."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Stopped(number)

    main = threading.current_thread() is threading.main_thread()
    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT) if main}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
