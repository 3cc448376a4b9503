"""The arguments of one call of ``LLM.generate`` or ``LLM.chat``, taken apart into one request for each prompt."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from ...middleware.batch import PRIORITY_HINT
from ...middleware.keys import text_of
from ...middleware.narrow import is_array, is_object
from .asked import Asked
from .call import CALL, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .names import Names

_EACH: Final = ("lora_request", "priority")
_PLAIN: Final = frozenset({"prompt", "prompt_token_ids", "cache_salt"})
_PROCESS: Final = uuid.uuid4().hex[:8]
"""vLLM counts its requests from 0 in each process; ours are to be explained by their names afterwards."""


@dataclass(frozen=True)
class Member:
    """One prompt of a call.

    Attributes:
        asked: what is asked, with the prompt as vLLM renders it; None in its place where it was not rendered.
        number: what vLLM calls the request.
        add: puts it into the engine as it came, and returns its id there.
    """

    asked: Asked
    number: str
    add: Callable[[], Sequence[str]]

    @property
    def rank(self) -> tuple[int, Sequence[int]]:
        """Its place among those that are computed: by the caller's priority, then those with the same beginning together."""
        prompt = self.asked.prompt
        return self.asked.given.get("priority") or 0, prompt["prompt_token_ids"] if prompt is not None else []


@dataclass(frozen=True)
class Members:
    """What one call asks.

    Attributes:
        use_tqdm: vLLM's: whether there is a progress bar, or what makes it.
    """

    members: Sequence[Member]
    use_tqdm: Any


def members_of(llm: Any, names: Names, method: str, args: Sequence[Any], given: Mapping[str, Any]) -> Members:
    """Take a call apart.

    Args:
        llm: vLLM's ``LLM``.
        method: ``generate`` or ``chat``.

    Raises:
        Exception: vLLM would refuse the call, or it is not one that we can take apart.
    """
    bound = inspect.signature(getattr(llm, method)).bind(*args, **given)
    bound.apply_defaults()
    beside: dict[str, Any] = bound.arguments
    use_tqdm = beside.pop("use_tqdm")
    chat = method == "chat"
    prompts = _listed(beside.pop("messages" if chat else "prompts"), dict if chat else int)
    params = beside.pop("sampling_params")
    each_params = _each(params if params is not None else llm.get_default_sampling_params(), len(prompts))
    each = {name: _each(value, len(prompts)) for name in _EACH if (value := beside.pop(name)) is not None}
    call = CALL.get() or Call()
    call = replace(call, hints={PRIORITY_HINT: "batch", **call.hints})
    if chat or len(prompts) > 1:
        call = replace(call, messages=(), params={})
    made: list[Member] = []
    sampled: set[tuple[int, ...]] = set()
    for at, (prompt, its_params) in enumerate(zip(prompts, each_params, strict=True)):
        if not isinstance(its_params, names.sampling_params):
            raise TypeError("not sampling parameters")
        its_params.output_kind = names.output_kind.FINAL_ONLY  # as vLLM does with them, too
        its = {name: values[at] for name, values in each.items()}
        rendered = _rendered(llm, prompt, beside, chat=chat)
        its_call = _about(llm, call, prompt, its_params, beside) if chat and rendered is not None else call
        if rendered is not None and _varies(its_params):
            ids = tuple(rendered["prompt_token_ids"])
            if ids in sampled:  # who asks the same several times in one call wants several answers
                its_call = replace(its_call, controls=replace(call.controls, no_cache=True, no_store=True))
            sampled.add(ids)
        number = str(next(llm.request_counter))
        asked = Asked(its_call, rendered, its_params, f"offline-{_PROCESS}-{number}", (), its)
        add = partial(llm.enqueue_chat if chat else llm.enqueue, [prompt], its_params, use_tqdm=False, **its, **beside)
        made.append(Member(asked, number, add))
    return Members(made, use_tqdm)


def _listed(prompts: Any, part: type) -> Sequence[Any]:
    """Return prompts as a list, also where one came alone; a part is what a list that is one prompt holds."""
    if isinstance(prompts, str | bytes) or is_object(prompts):
        return [prompts]
    if is_array(prompts) and prompts and isinstance(prompts[0], part):
        return [prompts]
    if not _is_sequence(prompts) or not prompts:
        raise TypeError("not prompts")
    return prompts


def _each(value: Any, count: int) -> Sequence[Any]:
    """Return one value for each prompt, of one for all or of as many."""
    values: Sequence[Any] = value if _is_sequence(value) else [value] * count
    if len(values) != count:
        raise ValueError("not one for each prompt")
    return values


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence)


def _rendered(llm: Any, prompt: Any, beside: Mapping[str, Any], *, chat: bool) -> Any:
    """Return a prompt as vLLM's engine is given it; None for one with more than text, whose rendering is not ours to repeat."""
    if chat:
        plain = is_array(prompt) and all(is_object(turn) and not text_of(turn.get("content"))[1] for turn in prompt)
        render = llm._preprocess_chat_one  # noqa: SLF001  (vLLM offers no other way that takes its own arguments)
    else:
        held = [name for name, value in prompt.items() if value is not None] if is_object(prompt) else ()
        plain = isinstance(prompt, str | list) or (bool(held) and _PLAIN.issuperset(held))
        render = llm._preprocess_cmpl_one  # noqa: SLF001
    rendered = render(prompt, **beside) if plain else None
    return rendered if is_object(rendered) and is_array(rendered.get("prompt_token_ids")) else None


def _about(llm: Any, call: Call, conversation: Sequence[Any], params: Any, beside: Mapping[str, Any]) -> Call:
    """Return what is known of a chat: its messages, and all by which they are made into a prompt and its answer is sampled."""
    told = {name: getattr(params, name) for name in ("max_tokens", "temperature", "n")}
    template = beside.get("chat_template") or getattr(llm, "chat_template", None)
    return replace(call, messages=conversation, params={**told, **beside, "chat_template": template})


def _varies(params: Any) -> bool:
    """Return whether each answer is another one."""
    return params.temperature > 0 and params.seed is None
