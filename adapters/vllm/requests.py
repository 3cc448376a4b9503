"""From the arguments of vLLM's ``generate`` to a `Request`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ...middleware.bodies import changes_the_answer
from ...middleware.narrow import is_object
from ...middleware.records import Controls, Request
from .sampling import params_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...middleware.records import JsonObject
    from .call import Call

UNKEPT: Final = Controls(no_cache=True, no_store=True)
_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_BESIDE: Final = ("messages", "prompt", "stream", "stream_options", "model")
_TOLD: Final = ("logprobs", "prompt_logprobs")
"""What is asked for beside the text; another prompt's would be wrong in any case."""
_PROMPT: Final = frozenset({"type", "prompt", "prompt_token_ids", "prompt_token_offsets", "arrival_time", "cache_salt"})
_MEDIA: Final = frozenset({"mm_kwargs", "mm_hashes", "mm_placeholders"})
"""Of a prompt with images: their hashes say all that the rest does."""


def request_of(
    prompt: object,
    sampling_params: object,
    request_id: str,
    given: Mapping[str, Any],
    *,
    call: Call,
    model: str,
    engine: str,
    stream: bool,
) -> Request:
    """Return what is asked of an engine, in our terms.

    Its answer is kept only where everything that it depends on is known: the prompt as token ids or text, with the hashes of
    its images.

    Args:
        prompt: vLLM's, in any of its forms.
        given: the other arguments by name.
        model: the name the engine serves it by.
        engine: digest of what else its answers depend on.
        stream: whether the caller reads it piece by piece.

    Raises:
        UncacheableError: a sampling field has no canonical form.
    """
    token_ids, text, beside = _read(prompt, given)
    sampling = params_of(sampling_params)
    params: dict[str, Any] = {**beside, "engine": engine} if beside is not None else {}
    lora = given.get("lora_request")
    if lora is not None:
        params["lora"] = [str(getattr(lora, name, "")) for name in ("lora_name", "lora_int_id", "lora_path")]
    for name in ("reasoning_ended", "reasoning_parser_kwargs"):  # a constraint may begin only after the reasoning
        if given.get(name) is not None:
            params[name] = json.dumps(given[name], sort_keys=True, default=str)
    chat = bool(call.messages) and not any(sampling.get(name) is not None for name in _TOLD)
    if chat:
        params |= {
            name: value
            for name, value in call.params.items()
            if value is not None and name not in _BESIDE and changes_the_answer(name)
        }
        if not any(call.params.get(name) is not None for name in _LIMITS):
            sampling.pop("max_tokens", None)  # then it is what the prompt leaves of the model's context
        params.setdefault("temperature", sampling.get("temperature"))  # the server's own default, for the analyzer
        params["sampling"] = sampling
    else:
        params |= sampling
    messages: Sequence[JsonObject] = call.messages or [{"role": "user", "content": text}]
    return Request(
        id=request_id,
        model=model,
        messages=messages,
        params=params,
        tenant=call.tenant,
        endpoint="chat" if chat else "tokens",
        stream=stream,
        controls=call.controls if beside is not None else UNKEPT,
        deadline_s=call.deadline_s,
        labels=call.labels,
        hints=_hints(call.hints, given.get("priority")),
        token_ids=token_ids,
    )


def _read(prompt: object, given: Mapping[str, Any]) -> tuple[Sequence[int], str, dict[str, Any] | None]:
    """Return a prompt's token ids, its text, and what else it holds; None for the last where we cannot tell."""
    if isinstance(prompt, str):
        return (), prompt, {"prompt": prompt, "tokenization": given.get("tokenization_kwargs")}
    if not is_object(prompt):
        return (), "", None
    text = prompt.get("prompt")
    if not isinstance(text, str):
        text = given.get("prompt_text") or ""
    ids = prompt.get("prompt_token_ids")
    salt = prompt.get("cache_salt")
    beside: dict[str, Any] = {} if salt is None else {"cache_salt": salt}
    unknown = {name for name, value in prompt.items() if value is not None} - _PROMPT
    hashes = prompt.get("mm_hashes")
    if unknown and unknown <= _MEDIA and is_object(hashes):
        beside["mm_hashes"] = {name: list(each) for name, each in hashes.items()}
    elif unknown:
        return (), text, None  # embeddings, an encoder's prompt, raw images, or what a later version adds
    if ids is not None:
        return ids, text, beside
    return (), text, {**beside, "prompt": text, "tokenization": given.get("tokenization_kwargs")} if text else None


def _hints(known: Mapping[str, str], priority: object) -> Mapping[str, str]:
    if isinstance(priority, int) and priority and "body.priority" not in known:
        return {**known, "body.priority": str(priority)}
    return known
