"""A fake of vLLM's engine client, for tests that run without vLLM.

Its class has every abstract member of vLLM's own protocol, by name, so that a wrapper which forgets to pass one on is seen. Its
tokens follow from the prompt and the choice alone: equal requests have equal answers.
"""

from __future__ import annotations

import asyncio
from abc import ABC
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from ...middleware.narrow import is_object
from . import fake_types as types
from .names import Names

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

MEMBERS: Final = (
    "abort",
    "add_lora",
    "check_health",
    "dead_error",
    "do_log_stats",
    "encode",
    "errored",
    "generate",
    "is_paused",
    "is_running",
    "is_sleeping",
    "is_stopped",
    "is_tracing_enabled",
    "notify_kv_transfer_request_rejected",
    "pause_generation",
    "release_kv_cache_memory",
    "reset_encoder_cache",
    "reset_mm_cache",
    "reset_prefix_cache",
    "resume_generation",
    "shutdown",
    "sleep",
    "start_profile",
    "stop_profile",
    "wake_up",
)
"""The abstract members of vLLM 0.32's ``EngineClient``."""


class GracefulHTTPError(Exception):
    """As vLLM's: an error that the server answers with its status."""

    def __init__(self, message: str, http_status: Any) -> None:
        super().__init__(message)
        self.message = message
        self.http_status = http_status


@dataclass
class Called:
    """One call of the fake: its arguments, and what became of it."""

    prompt: Any
    params: Any
    request_id: str
    given: dict[str, Any]
    ended: str = ""
    tokens: int = 0


@dataclass
class FakeEngine:
    """Yields made-up tokens.

    Args:
        step: awaited before each token; by default the event loop has one turn.
        length_of: natural number of tokens of an answer, from the prompt's token ids.
        room: requests inside beyond which `check_admission` refuses; None for any number.

    Attributes:
        calls: all that were made.
        running: those that have not ended.
        asked: the other members that were called.
    """

    step: Callable[[], Any] | None = None
    length_of: Callable[[Sequence[int]], int] = field(default=lambda ids: 3 + sum(ids) % 5)
    room: int | None = None
    tracing: bool = False
    calls: list[Called] = field(default_factory=list[Called])
    running: dict[str, Called] = field(default_factory=dict[str, Called])
    asked: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.model_config = SimpleNamespace(model="fake", served_model_name=["fake-model"], max_model_len=4096)
        self.vllm_config = SimpleNamespace(scheduler_config=SimpleNamespace(policy="fcfs", max_num_seqs=4))

    def __getattr__(self, name: str) -> Any:
        if name in MEMBERS:
            self.asked.append(name)
            return self._member
        raise AttributeError(name)

    async def _member(self, *_: Any, **__: Any) -> None: ...

    async def is_tracing_enabled(self) -> bool:
        """Return whether it takes trace headers."""
        return self.tracing

    def check_admission(self, n: int = 1, request_id: str | None = None) -> None:  # noqa: ARG002
        """Refuse what it has no room for.

        Raises:
            GracefulHTTPError: 503.
        """
        if self.room is not None and len(self.running) + n > self.room:
            raise GracefulHTTPError("the engine is full", 503)

    async def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, **given: Any
    ) -> AsyncGenerator[types.RequestOutput, None]:
        """Yield the outputs of one request, token by token."""
        called = Called(prompt, sampling_params, request_id, given)
        self.calls.append(called)
        self.running[request_id] = called
        try:
            async for output in self._outputs(called):
                yield output
            called.ended = "finished"
        except BaseException as error:
            called.ended = type(error).__name__
            raise
        finally:
            self.running.pop(request_id, None)

    async def encode(
        self, prompt: Any, pooling_params: Any, request_id: str, **given: Any
    ) -> AsyncGenerator[SimpleNamespace, None]:
        """Yield one vector."""
        self.calls.append(Called(prompt, pooling_params, request_id, given))
        await self._turn()
        yield SimpleNamespace(request_id=request_id, outputs=[SimpleNamespace(data=[1.0])], finished=True)

    async def _outputs(self, called: Called) -> AsyncGenerator[types.RequestOutput, None]:
        params, kind = called.params, called.params.output_kind
        ids: list[int] = list(called.prompt.get("prompt_token_ids") or ()) if is_object(called.prompt) else []
        natural = self.length_of(ids)
        length = min(natural, params.max_tokens) if params.max_tokens is not None else natural
        reason = "stop" if natural <= length else "length"
        made = [[(sum(ids) * 31 + 7 * at + choice) % 997 for at in range(length)] for choice in range(params.n)]
        for at in range(1, length + 1):
            await self._turn()
            called.tokens = at
            last = at == length
            if kind is types.RequestOutputKind.FINAL_ONLY and not last:
                continue
            begin = at - 1 if kind is types.RequestOutputKind.DELTA else 0
            outputs = [
                types.CompletionOutput(
                    index=choice,
                    text="".join(f" t{token}" for token in tokens[begin:at]),
                    token_ids=tokens[begin:at],
                    cumulative_logprob=None,
                    logprobs=None,
                    finish_reason=reason if last else None,
                    stop_reason=None,
                )
                for choice, tokens in enumerate(made)
            ]
            yield types.RequestOutput(
                request_id=called.request_id,
                prompt=None,
                prompt_token_ids=ids,
                prompt_logprobs=None,
                outputs=outputs,
                finished=last,
            )

    async def _turn(self) -> None:
        await (asyncio.sleep(0) if self.step is None else self.step())


def fake_names() -> Names:
    """Return look-alikes of what forebay takes from vLLM."""

    class EngineClient(ABC):  # noqa: B024  (only registered with)
        """Where wrappers are registered."""

    return Names(
        version="0.32.0",
        request_output=types.RequestOutput,
        completion_output=types.CompletionOutput,
        logprob=types.Logprob,
        flat_logprobs=types.FlatLogprobs,
        output_kind=types.RequestOutputKind,
        sampling_params=types.SamplingParams,
        weight_span=types.WeightVersionSpan,
        engine_client=EngineClient,
        http_error=GracefulHTTPError,
    )
