"""A fake of vLLM's ``LLM``, for tests that run without vLLM.

Its methods have vLLM's signatures, where a test holds them against the real ones. Its tokens follow from the prompt and the
choice alone: equal requests have equal answers.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ...middleware.narrow import is_array, is_object
from . import fake_types as types

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass
class Added:
    """One request in the fake: its arguments, and how far it is."""

    name: str
    prompt: dict[str, Any]
    params: Any
    given: dict[str, Any]
    made: int = 0


@dataclass
class FakeLLMEngine:
    """What an ``LLM`` runs: adds requests, and brings each a token further a step.

    Args:
        limit: requests that run at once.
        before_step: called before each step.

    Attributes:
        added: all requests that were.
        waiting: those that have not ended, in the order they came.
        most: how many ran at once at most.
    """

    limit: int = 4
    before_step: Callable[[], None] = lambda: None
    added: list[Added] = field(default_factory=list[Added])
    waiting: list[Added] = field(default_factory=list[Added])
    most: int = 0

    def __post_init__(self) -> None:
        self.model_config = SimpleNamespace(model="fake", served_model_name=["fake-model"], max_model_len=4096)
        self.vllm_config = SimpleNamespace(
            scheduler_config=SimpleNamespace(policy="fcfs", max_num_seqs=self.limit),
            parallel_config=SimpleNamespace(data_parallel_size=1, distributed_executor_backend=None),
        )

    def has_unfinished_requests(self) -> bool:
        """Return whether something is in it."""
        return bool(self.waiting)

    def abort_request(self, request_ids: list[str], internal: bool = False) -> None:  # noqa: ARG002
        """Drop requests."""
        self.waiting = [one for one in self.waiting if one.name not in request_ids]

    def step(self) -> list[types.RequestOutput]:
        """Make one token of each request that runs; return the outputs of those that ended."""
        self.before_step()
        running = self.waiting[: self.limit]
        self.most = max(self.most, len(running))
        for one in running:
            one.made += 1
        ended = [one for one in running if one.made >= min(_natural(one), one.params.max_tokens)]
        self.waiting = [one for one in self.waiting if one not in ended]
        return [_output(one) for one in ended]


class FakeLLM:
    """Answers with made-up tokens. A text's tokens are its bytes; a chat's text is its template, and its turns.

    Args:
        engine: what runs it.
    """

    def __init__(self, engine: FakeLLMEngine | None = None) -> None:
        self.llm_engine = engine or FakeLLMEngine()
        self.model_config = self.llm_engine.model_config
        self.request_counter = itertools.count()
        self.bare: list[str] = []

    def get_default_sampling_params(self) -> types.SamplingParams:
        """Return what is asked for where nothing is."""
        return types.SamplingParams()

    def get_weight_version(self) -> str:
        """Return the version of the model's weights."""
        return "default"

    def generate(
        self,
        prompts: Any,
        sampling_params: Any = None,
        *,
        use_tqdm: Any = True,  # noqa: ARG002
        lora_request: Any = None,
        priority: Any = None,
        tokenization_kwargs: Any = None,
        mm_processor_kwargs: Any = None,
    ) -> list[types.RequestOutput]:
        """Return the outputs of some prompts."""
        self.bare.append("generate")
        alone = isinstance(prompts, (str, dict)) or isinstance(prompts[0], int)
        self.enqueue(
            [prompts] if alone else prompts,
            sampling_params,
            lora_request=lora_request,
            priority=priority,
            tokenization_kwargs=tokenization_kwargs,
            mm_processor_kwargs=mm_processor_kwargs,
        )
        return self._run()

    def enqueue(
        self,
        prompts: Any,
        sampling_params: Any = None,
        *,
        lora_request: Any = None,
        priority: Any = None,
        use_tqdm: Any = True,  # noqa: ARG002
        tokenization_kwargs: Any = None,
        mm_processor_kwargs: Any = None,
    ) -> list[str]:
        """Add prompts; return their ids in the engine."""
        rendered = [self._preprocess_cmpl_one(prompt, tokenization_kwargs, mm_processor_kwargs) for prompt in prompts]
        return self._add(rendered, sampling_params, lora_request, priority)

    def chat(
        self,
        messages: Any,
        sampling_params: Any = None,
        use_tqdm: Any = True,  # noqa: ARG002
        *,
        lora_request: Any = None,
        priority: Any = None,
        chat_template: Any = None,
        chat_template_content_format: Any = "auto",
        add_generation_prompt: Any = True,
        continue_final_message: Any = False,
        tools: Any = None,
        chat_template_kwargs: Any = None,
        tokenization_kwargs: Any = None,
        mm_processor_kwargs: Any = None,
    ) -> list[types.RequestOutput]:
        """Return the outputs of some conversations."""
        self.bare.append("chat")
        self.enqueue_chat(
            [messages] if isinstance(messages[0], dict) else messages,
            sampling_params,
            lora_request=lora_request,
            priority=priority,
            chat_template=chat_template,
            chat_template_content_format=chat_template_content_format,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            tools=tools,
            chat_template_kwargs=chat_template_kwargs,
            tokenization_kwargs=tokenization_kwargs,
            mm_processor_kwargs=mm_processor_kwargs,
        )
        return self._run()

    def enqueue_chat(
        self,
        messages: Any,
        sampling_params: Any = None,
        use_tqdm: Any = True,  # noqa: ARG002
        *,
        lora_request: Any = None,
        priority: Any = None,
        chat_template: Any = None,
        chat_template_content_format: Any = "auto",
        add_generation_prompt: Any = True,
        continue_final_message: Any = False,
        tools: Any = None,
        chat_template_kwargs: Any = None,
        tokenization_kwargs: Any = None,
        mm_processor_kwargs: Any = None,
    ) -> list[str]:
        """Add conversations; return their ids in the engine."""
        rendered = [
            self._preprocess_chat_one(
                turns,
                chat_template=chat_template,
                chat_template_content_format=chat_template_content_format,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                tools=tools,
                chat_template_kwargs=chat_template_kwargs,
                tokenization_kwargs=tokenization_kwargs,
                mm_processor_kwargs=mm_processor_kwargs,
            )
            for turns in messages
        ]
        return self._add(rendered, sampling_params, lora_request, priority)

    def embed(self, prompts: Any) -> list[Any]:
        """Return something that forebay has no part in."""
        self.bare.append("embed")
        return [SimpleNamespace(prompt=prompt) for prompt in prompts]

    def collective_rpc(self, method: str) -> list[Any]:
        """Do something to the model, perhaps."""
        self.bare.append(method)
        return []

    def _preprocess_cmpl_one(
        self,
        prompt: Any,
        tokenization_kwargs: Any = None,
        mm_processor_kwargs: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        if isinstance(prompt, str):
            parsed: dict[str, Any] = {"prompt": prompt}
        else:
            parsed = dict(prompt) if is_object(prompt) else {"prompt_token_ids": prompt}
        if parsed.get("prompt_token_ids") is not None:
            return {"type": "token", **parsed}
        if "prompt" not in parsed:
            raise TypeError("Prompt dictionary must contain text, tokens, or embeddings")
        kept = tokenization_kwargs["truncate_prompt_tokens"] if tokenization_kwargs else None
        ids = list(parsed["prompt"].encode())[:kept]
        return {"type": "token", **parsed, "prompt_token_ids": ids}

    def _preprocess_chat_one(
        self,
        conversation: Any,
        *,
        chat_template_content_format: Any = "auto",  # noqa: ARG002
        tokenization_kwargs: Any = None,
        mm_processor_kwargs: Any = None,
        **template: Any,
    ) -> dict[str, Any]:
        shown = [f"{name}={value!r}" for name, value in sorted(template.items()) if value]
        turns = [f"{turn['role']}: {turn['content']}" for turn in conversation]
        return self._preprocess_cmpl_one("\n".join((*shown, *turns)), tokenization_kwargs, mm_processor_kwargs)

    def _add(self, prompts: Sequence[dict[str, Any]], params: Any, lora_request: Any, priority: Any) -> list[str]:
        params = params if params is not None else self.get_default_sampling_params()
        names: list[str] = []
        for at, prompt in enumerate(prompts):
            its: list[Any] = [value[at] if is_array(value) else value for value in (params, lora_request, priority)]
            its[0].output_kind = types.RequestOutputKind.FINAL_ONLY
            name = str(next(self.request_counter))
            added = Added(name, prompt, copy.copy(its[0]), {"lora_request": its[1], "priority": its[2] or 0})
            self.llm_engine.added.append(added)
            self.llm_engine.waiting.append(added)
            names.append(f"{name}-0a1b2c3d")
        return names

    def _run(self) -> list[types.RequestOutput]:
        outputs: list[types.RequestOutput] = []
        while self.llm_engine.has_unfinished_requests():
            outputs += self.llm_engine.step()
        return sorted(outputs, key=lambda output: int(output.request_id))


def _natural(one: Added) -> int:
    """Return how long an answer is by itself."""
    ids: list[int] = one.prompt["prompt_token_ids"]
    return 3 + sum(ids) % 5


def _output(one: Added) -> types.RequestOutput:
    ids = list(one.prompt["prompt_token_ids"])
    reason = "stop" if one.made >= _natural(one) else "length"
    choices: list[types.CompletionOutput] = []
    for choice in range(one.params.n):
        token_ids = [(sum(ids) * 31 + 7 * at + choice) % 997 for at in range(one.made)]
        asked = one.params.logprobs
        logprobs: Any = [{token: types.Logprob(-0.5, 1, f" t{token}")} for token in token_ids] if asked else None
        choices.append(
            types.CompletionOutput(
                index=choice,
                text="".join(f" t{token}" for token in token_ids),
                token_ids=token_ids,
                cumulative_logprob=-0.5 * len(token_ids) if asked else None,
                logprobs=logprobs,
                finish_reason=reason,
                stop_reason=None,
            )
        )
    return types.RequestOutput(
        request_id=one.name,
        prompt=one.prompt.get("prompt"),
        prompt_token_ids=ids,
        prompt_logprobs=None,
        outputs=list(choices),
        finished=True,
        lora_request=one.given["lora_request"],
        num_cached_tokens=0,
    )
