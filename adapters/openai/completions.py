"""``/v1/completions``: a text to continue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...middleware.chat import answer_of, pieces
from ...middleware.narrow import is_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ...middleware.records import Answer, JsonObject


def messages_of(prompt: object) -> Sequence[JsonObject] | None:
    """Return one user message: the text, or a part for each prompt of a list; None where there is none."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if not is_array(prompt) or not prompt:
        return None
    if all(isinstance(token, int) for token in prompt):
        prompt = [prompt]
    # not text parts: several prompts are not one text
    return [{"role": "user", "content": [{"type": "prompt", "prompt": one} for one in prompt]}]


class TextAssembler:
    """Builds the whole answer of a stream from its chunks."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: JsonObject) -> None:
        """Take one chunk."""
        self._head.update({name: value for name, value in chunk.items() if name != "choices" and value is not None})
        for one in chunk.get("choices") or ():
            _add(self._choices.setdefault(int(one.get("index") or 0), {"text": ""}), one)

    def answer(self) -> Answer:
        """Return the answer so far."""
        choices = [self._choices[at] for at in sorted(self._choices)]
        return answer_of({**self._head, "object": "text_completion", "choices": choices})


def replay(body: JsonObject, *, include_usage: bool = False, words: int = 1) -> Iterator[JsonObject]:
    """Yield a whole answer as chunks.

    Args:
        words: of the text in one chunk.
    """
    head = {name: value for name, value in body.items() if name not in ("choices", "usage")}
    for choice in body.get("choices") or ():
        rest = {name: value for name, value in choice.items() if name not in ("text", "finish_reason", "logprobs")}
        logprobs = choice.get("logprobs")
        for piece in pieces(choice.get("text") or "", words):
            yield {**head, "choices": [{**rest, "text": piece, "finish_reason": None, "logprobs": logprobs}]}
            logprobs = None
        yield {**head, "choices": [{**rest, "text": "", "finish_reason": choice.get("finish_reason")}]}
    if include_usage and body.get("usage") is not None:
        yield {**head, "choices": [], "usage": body["usage"]}


def _add(choice: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name, value in piece.items():
        if name == "text":
            choice["text"] += value or ""
        elif name == "logprobs" and value is not None:
            before: dict[str, Any] = choice.get("logprobs") or {}
            choice["logprobs"] = {key: [*(before.get(key) or ()), *(value.get(key) or ())] for key in value}
        elif value is not None:
            choice[name] = value
