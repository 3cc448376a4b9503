"""``/v1/completions``: a text to continue. Answered from exactly equal requests only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import litellm

from ....middleware.chat import answer_of, pieces
from ....middleware.narrow import is_array, is_object
from ..replay import ReplayedChunks, text_chunk
from .base import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ....middleware.flight import Flight
    from ....middleware.records import Answer, JsonObject

host: Any = litellm  # half typed
PARAMS: Final = frozenset(
    {
        "best_of",
        "echo",
        "extra_body",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "n",
        "presence_penalty",
        "seed",
        "stop",
        "suffix",
        "temperature",
        "top_k",
        "top_p",
    }
)


class Completions:
    """Text completions."""

    name = "completions"
    call_type = "atext_completion"
    metadata = "metadata"
    content = "prompt"
    params = PARAMS

    def messages(self, data: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return one user message: the text, or a part for each prompt of a list."""
        prompt = data.get("prompt")
        if isinstance(prompt, str):
            return [{"role": "user", "content": prompt}]
        if not is_array(prompt) or not prompt:
            return None
        if all(isinstance(token, int) for token in prompt):
            prompt = [prompt]
        # not text parts: several prompts are not one text
        return [{"role": "user", "content": [{"type": "prompt", "prompt": one} for one in prompt]}]

    def answer(self, flight: Flight, value: object, stream: object) -> Answer | None:
        """Return a ``text_completion``."""
        del flight, stream
        if not is_object(value) or value.get("object") != "text_completion":
            return None
        return answer_of({name: item for name, item in value.items() if name != "_response_ms"})

    def collected(self, flight: Flight, chunks: Sequence[object]) -> Answer | None:
        """Put a stream together: LiteLLM keeps none of this endpoint."""
        head: dict[str, Any] = {}
        choices: dict[int, dict[str, Any]] = {}
        for chunk in chunks:
            dump = getattr(chunk, "model_dump", None)
            piece: dict[str, Any] = dump() if dump is not None else {}
            head.update({name: value for name, value in piece.items() if name != "choices" and value is not None})
            for one in piece.get("choices") or ():
                _add(choices.setdefault(int(one.get("index") or 0), {"text": ""}), one)
        whole: dict[str, Any] = {
            **head,
            "object": "text_completion",
            "choices": [choices[at] for at in sorted(choices)],
        }
        usage = head.get("usage")
        if not is_object(usage) or not usage.get("total_tokens"):
            whole["usage"] = _counted(flight.request.messages, whole["choices"])
        return answer_of(whole) if choices else None

    def hand_out(self, flight: Flight, kwargs: Mapping[str, Any], words: int) -> object:
        """Return the whole object, or a stream of its chunks."""
        body = body_of(flight)
        if not flight.request.stream:
            return body
        options = kwargs.get("stream_options")
        usage = is_object(options) and options.get("include_usage") is True
        return ReplayedChunks(map(text_chunk, _replay(body, words, usage=usage)), body, kwargs)


def _counted(messages: Sequence[JsonObject], choices: Sequence[JsonObject]) -> dict[str, int]:
    """Count tokens as LiteLLM does where a stream said nothing of them."""
    prompt = messages[0].get("content")
    asked = prompt if isinstance(prompt, str) else "".join(str(part.get("prompt") or "") for part in prompt or ())
    read = host.token_counter(text=asked)
    written = sum(host.token_counter(text=str(choice.get("text") or "")) for choice in choices)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _add(choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name, value in piece.items():
        if name == "text":
            choice["text"] += value or ""
        elif name == "logprobs" and value is not None:
            before: dict[str, Any] = choice.get("logprobs") or {}
            choice["logprobs"] = {key: [*(before.get(key) or ()), *(value.get(key) or ())] for key in value}
        elif value is not None:
            choice[name] = value


def _replay(body: JsonObject, words: int, *, usage: bool) -> Iterator[JsonObject]:
    head = {name: value for name, value in body.items() if name not in ("choices", "usage")}
    for choice in body.get("choices") or ():
        rest = {name: value for name, value in choice.items() if name not in ("text", "finish_reason", "logprobs")}
        logprobs = choice.get("logprobs")
        for piece in pieces(choice.get("text") or "", words):
            yield {**head, "choices": [{**rest, "text": piece, "finish_reason": None, "logprobs": logprobs}]}
            logprobs = None
        yield {**head, "choices": [{**rest, "text": "", "finish_reason": choice.get("finish_reason")}]}
    if usage and body.get("usage") is not None:
        yield {**head, "choices": [], "usage": body["usage"]}
