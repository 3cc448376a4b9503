"""/v1/completions in OpenAI's format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.integration.upstream.answer import DONE, LOGPROB, PROMPT_TOKENS, Question, event, pieces
from tests.integration.upstream.chat import FINGERPRINT, take_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.upstream.answer import Answer, Output


def read(body: dict[str, Any]) -> Question:
    return Question(
        {name: body.get(name) for name in ("prompt", "suffix")}, _prompts(body["prompt"]), n=body.get("n") or 1
    )


def whole(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for index, output in enumerate(answer.outputs):
        words = _words(index, output, body)
        one = {"index": index, "text": "".join(words), "finish_reason": output.finish_reason}
        choices.append({**one, "logprobs": _logprobs(words, 0, body)})
    return {**_head(answer), "choices": choices, "usage": _usage(answer, body)}


def stream(answer: Answer, body: dict[str, Any]) -> list[bytes]:
    options: dict[str, Any] = body.get("stream_options") or {}
    counts = options.get("include_usage")
    chunks = take_turns(_parts(index, output, body) for index, output in enumerate(answer.outputs))
    out = [event({**_head(answer), "choices": [choice], **({"usage": None} if counts else {})}) for choice in chunks]
    if counts:
        out.append(event({**_head(answer), "choices": [], "usage": _usage(answer, body)}))
    return [*out, DONE]


def _prompts(prompt: Any) -> Sequence[str]:
    """Return the prompts: a text, token ids, or a list of either."""
    if isinstance(prompt, str):
        return (prompt,)
    items: list[Any] = prompt
    if items and isinstance(items[0], int):
        return (json.dumps(items),)
    return [item if isinstance(item, str) else json.dumps(item) for item in items]


def _head(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"cmpl-{answer.mark}",
        "object": "text_completion",
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": FINGERPRINT,
    }


def _words(index: int, output: Output, body: dict[str, Any]) -> list[str]:
    echoed = _prompts(body["prompt"])[index // (body.get("n") or 1)]
    return [*(pieces(echoed) if body.get("echo") else []), *(word for word in pieces(output.text) if word)]


def _parts(index: int, output: Output, body: dict[str, Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    offset = 0
    for word in _words(index, output, body):
        logprobs = _logprobs([word], offset, body)
        out.append({"index": index, "text": word, "logprobs": logprobs, "finish_reason": None})
        offset += len(word)
    if output.finish_reason is not None:
        out.append({"index": index, "text": "", "logprobs": None, "finish_reason": output.finish_reason})
    return out


def _logprobs(words: list[str], offset: int, body: dict[str, Any]) -> dict[str, Any] | None:
    wanted = body.get("logprobs")
    if wanted is None:
        return None
    offsets: list[int] = []
    for word in words:
        offsets.append(offset)
        offset += len(word)
    return {
        "tokens": words,
        "token_logprobs": [LOGPROB for _ in words],
        "top_logprobs": [
            {word: LOGPROB, **{f" other{at}": LOGPROB - at for at in range(1, int(wanted))}} for word in words
        ],
        "text_offset": offsets,
    }


def _usage(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    prompt = PROMPT_TOKENS * len(_prompts(body["prompt"]))
    return {"prompt_tokens": prompt, "completion_tokens": answer.words, "total_tokens": prompt + answer.words}
