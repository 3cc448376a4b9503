"""``/v1/completions``: a text to continue. Answered from exactly equal requests only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import litellm

from ....middleware.chat import answer_of
from ....middleware.narrow import is_object
from ...openai.completions import TextAssembler, messages_of, replay
from ..replay import ReplayedChunks, text_chunk
from .base import body_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        return messages_of(data.get("prompt"))

    def answer(self, flight: Flight, value: object, stream: object) -> Answer | None:
        """Return a ``text_completion``."""
        del flight, stream
        if not is_object(value) or value.get("object") != "text_completion":
            return None
        return answer_of({name: item for name, item in value.items() if name != "_response_ms"})

    def collected(self, flight: Flight, chunks: Sequence[object]) -> Answer | None:
        """Put a stream together: LiteLLM keeps none of this endpoint."""
        assembler = TextAssembler()
        for chunk in chunks:
            dump = getattr(chunk, "model_dump", None)
            assembler.add(dump() if dump is not None else {})
        whole = assembler.answer().body
        usage = whole.get("usage")
        if not is_object(usage) or not usage.get("total_tokens"):
            whole = {**whole, "usage": _counted(flight.request.messages, whole["choices"])}
        return answer_of(whole) if whole["choices"] else None

    def hand_out(self, flight: Flight, kwargs: Mapping[str, Any], words: int) -> object:
        """Return the whole object, or a stream of its chunks."""
        body = body_of(flight)
        if not flight.request.stream:
            return body
        options = kwargs.get("stream_options")
        usage = is_object(options) and options.get("include_usage") is True
        return ReplayedChunks(map(text_chunk, replay(body, include_usage=usage, words=words)), body, kwargs)


def _counted(messages: Sequence[JsonObject], choices: Sequence[JsonObject]) -> dict[str, int]:
    """Count tokens as LiteLLM does where a stream said nothing of them."""
    prompt = messages[0].get("content")
    asked = prompt if isinstance(prompt, str) else "".join(str(part.get("prompt") or "") for part in prompt or ())
    read = host.token_counter(text=asked)
    written = sum(host.token_counter(text=str(choice.get("text") or "")) for choice in choices)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
