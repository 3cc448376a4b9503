"""vLLM's ``LLM`` behind forebay: many prompts in one call, as few computations as they need.

The wrapper is composed, not derived, and nothing of vLLM is patched: all that it does not do itself goes to the ``LLM``, with
the arguments as they came.
"""

from __future__ import annotations

import logging
import threading
import weakref
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final

from ...middleware.config import Config
from ...middleware.runtime import Runtime
from .asked import About
from .group import AHEAD, Group
from .limits import limits_of
from .members import members_of
from .names import installed
from .own_loop import OwnLoop
from .progress import Progress
from .stepping import Stepping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from ...middleware.batch_report import BatchReport
    from .names import Names

log = logging.getLogger(__name__)
USUAL: Final = 256
"""Requests that an engine runs at once, where it does not say."""
CHANGING: Final = frozenset(
    {"apply_model", "collective_rpc", "start_draft_weight_update", "start_weight_update", "update_weights"}
)
"""Members of an ``LLM`` that may give it other weights than its kept answers come from."""


def wrap_llm(llm: Any, config: Config | None = None) -> ForebayLLM:
    """Return an ``LLM`` with forebay in front of it.

    Example::

        with wrap_llm(LLM(model=MODEL)) as llm:
            outputs = llm.generate(prompts, SamplingParams(temperature=0))

    Args:
        llm: vLLM's ``LLM``.
        config: forebay's; by default that of a wrapped engine, see docs/vllm.md.

    Raises:
        MissingExtraError, PluginError: there is no vLLM, or one that forebay does not know.
        ConfigError: something that the config names cannot be built.
    """
    return ForebayLLM(llm, Runtime(config or Config()), installed())


class ForebayLLM:
    """See `wrap_llm`. Has all that the ``LLM`` has; `generate` and `chat` go through forebay. One call at a time.

    Args:
        runtime: started with the first call and stopped by `close`, when the wrapper is collected, or when the process ends.

    Attributes:
        report: what became of the last call's prompts; None where it went by.
    """

    def __init__(self, llm: Any, runtime: Runtime, names: Names) -> None:
        self._llm = llm
        self._names = names
        self._turn = threading.Lock()
        self._loop: OwnLoop | None = None
        self._past = ""
        self._closing: weakref.finalize[..., Any] | None = None
        self.runtime = runtime
        self.report: BatchReport | None = None

    def __getattr__(self, name: str) -> Any:
        if name in CHANGING:
            self._goes_by("its weights may be others now")
        return getattr(self._llm, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def generate(self, prompts: Any, *args: Any, **given: Any) -> Sequence[Any]:
        """Return an output for each prompt, in their order: a kept one, an equal prompt's, or its own.

        Prompts with the same sampled parameters and no seed are computed each for itself, but the first.

        Args:
            prompts, args, given: those of ``LLM.generate``.

        Raises:
            Exception: whatever vLLM raises.
        """
        return self._answered("generate", (prompts, *args), given)

    def chat(self, messages: Any, *args: Any, **given: Any) -> Sequence[Any]:
        """Return an output for each conversation, as `generate` does, and by similarity where the config says so.

        Args:
            messages, args, given: those of ``LLM.chat``.

        Raises:
            Exception: whatever vLLM raises.
        """
        return self._answered("chat", (messages, *args), given)

    def close(self) -> None:
        """Finish what forebay does in the background, and close it; the ``LLM`` stays, and later calls go to it."""
        with self._turn:
            self._goes_by("it was closed")
            if self._closing is not None:
                self._closing()

    def _answered(self, method: str, args: Sequence[Any], given: Mapping[str, Any]) -> Sequence[Any]:
        with self._turn:
            self.report = None
            outputs = self._through(method, args, given) if self._ready() else None
            if outputs is not None:
                return outputs
        bare: Sequence[Any] = getattr(self._llm, method)(*args, **given)
        return bare

    def _through(self, method: str, args: Sequence[Any], given: Mapping[str, Any]) -> Sequence[Any] | None:
        """Answer a call, None where it is to go by."""
        engine = self._llm.llm_engine
        try:
            loop = self._opened()
            asked = members_of(self._llm, self._names, method, args, given)
            about, weights = About.of(engine), str(self._llm.get_weight_version())
        except Exception as error:
            self._failed(error)
            return None
        stepping = Stepping(engine)
        bar = Progress(asked.use_tqdm, sum(member.asked.params.n for member in asked.members))
        places = AHEAD * (limits_of(engine.vllm_config).max_num_seqs or USUAL)
        group = Group(self.runtime, self._names, about, stepping, weights=weights, places=places, done=bar.done)
        answers = loop.submit(group.answers(asked.members))
        try:
            stepping.run(answers)
        finally:
            bar.close()
        try:
            outputs = answers.result()
        except (Exception, CancelledError) as error:
            self._failed(error)
            return None
        self.report = group.tally.report()
        return outputs

    def _ready(self) -> bool:
        """Return whether a call may go through: no other requests are in the engine, and no other process must do the same."""
        if self._past:
            return False
        parallel = getattr(self._llm.llm_engine.vllm_config, "parallel_config", None)
        if getattr(parallel, "distributed_executor_backend", None) == "external_launcher":
            self._goes_by("each of its processes must run the same requests")
        elif getattr(parallel, "data_parallel_size", 1) > 1:
            self._goes_by("its engines must step together")
        return not self._past and not self._llm.llm_engine.has_unfinished_requests()

    def _goes_by(self, why: str) -> None:
        """Let all later calls go to the ``LLM``."""
        if not self._past:
            log.info("calls go past forebay: %s", why)
        self._past = self._past or why

    def _opened(self) -> OwnLoop:
        """Return the loop that forebay runs on, started.

        Raises:
            ConfigError, PluginError: something that the config names cannot be opened; later calls go by.
        """
        if self._loop is None:
            loop = self._loop = OwnLoop()
            self._closing = weakref.finalize(self, loop.close, self.runtime.stop)
            try:
                loop.submit(self.runtime.start()).result()
            except Exception as error:
                log.warning("going on without forebay: %s", error)
                self._goes_by("it did not start")
                raise
        return self._loop

    def _failed(self, error: BaseException) -> None:
        self.runtime.telemetry.dependency_error("vllm", type(error).__name__)
        log.debug("a call goes by", exc_info=error)
