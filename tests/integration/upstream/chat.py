"""/v1/chat/completions in OpenAI's format."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from tests.integration.upstream.answer import DONE, LOGPROB, PROMPT_TOKENS, Question, event, pieces, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.integration.upstream.answer import Answer, Output

FINGERPRINT = "fp_upstream"


def read(body: dict[str, Any]) -> Question:
    messages: list[dict[str, Any]] = body["messages"]
    last = messages[-1]
    choice: Any = body.get("tool_choice")
    tools = [tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function"]
    if choice == "none" or last.get("role") == "tool":
        tools = []
    elif isinstance(choice, dict):
        tools = [tool for tool in tools if tool["name"] == choice["function"]["name"]]
    wanted: dict[str, Any] = body.get("response_format") or {"type": "text"}
    schema: dict[str, Any] | None = None
    if wanted["type"] != "text":
        schema = wanted.get("json_schema", {}).get("schema") or {}
    return Question(
        messages,
        (text_of(last.get("content")),),
        n=body.get("n") or 1,
        tools=[(tool["name"], tool.get("parameters") or {}) for tool in tools],
        schema=schema,
        thinks=body.get("reasoning_effort") is not None,
    )


def whole(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for index, output in enumerate(answer.outputs):
        message: dict[str, Any] = {"role": "assistant", "content": output.text, "refusal": output.refusal}
        message["annotations"] = []
        if output.reasoning is not None:
            message["reasoning_content"] = output.reasoning
        if output.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in output.calls
            ]
        choice = {"index": index, "message": message, "finish_reason": output.finish_reason}
        choices.append({**choice, "logprobs": _logprobs(output, body)})
    return {**_head(answer), "object": "chat.completion", "choices": choices, "usage": usage(answer)}


def stream(answer: Answer, body: dict[str, Any]) -> list[bytes]:
    """Return the events; the choices take turns."""
    options: dict[str, Any] = body.get("stream_options") or {}
    counts = options.get("include_usage")
    head = {**_head(answer), "object": "chat.completion.chunk"}
    chunks = take_turns(_deltas(index, output, body) for index, output in enumerate(answer.outputs))
    out = [event({**head, "choices": [choice], **({"usage": None} if counts else {})}) for choice in chunks]
    if counts:
        out.append(event({**head, "choices": [], "usage": usage(answer)}))
    return [*out, DONE]


def take_turns(choices: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [chunk for chunk in chain.from_iterable(zip_longest(*choices)) if chunk is not None]


def usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": answer.words,
        "total_tokens": PROMPT_TOKENS + answer.words,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.thoughts, "audio_tokens": 0},
    }


def _head(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.mark}",
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": FINGERPRINT,
        "service_tier": "default",
    }


def _deltas(index: int, output: Output, body: dict[str, Any]) -> list[dict[str, Any]]:
    def delta(finish: str | None = None, logprobs: Any = None, **what: Any) -> dict[str, Any]:
        return {"index": index, "delta": what, "logprobs": logprobs, "finish_reason": finish}

    first: dict[str, Any] = {"content": None if output.calls else "", "refusal": None}
    out = [delta(role="assistant", **first)]
    if output.reasoning is not None:
        out += [delta(reasoning_content=piece) for piece in pieces(output.reasoning)]
    logprobs = _logprobs(output, body)
    tokens: list[Any] = logprobs["content"] if logprobs and output.text else []
    for at, piece in enumerate(pieces(output.text)):
        if piece:
            out.append(delta(content=piece, logprobs={"content": [tokens[at]], "refusal": None} if tokens else None))
    if output.refusal is not None:
        out += [delta(refusal=piece) for piece in pieces(output.refusal)]
    for at, call in enumerate(output.calls):
        function = {"name": call.name, "arguments": ""}
        out.append(delta(tool_calls=[{"index": at, "id": call.id, "type": "function", "function": function}]))
        out += [delta(tool_calls=[{"index": at, "function": {"arguments": part}}]) for part in call.parts]
    if output.finish_reason is not None:
        out.append(delta(output.finish_reason))
    return out


def _logprobs(output: Output, body: dict[str, Any]) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    others = int(body.get("top_logprobs") or 0)
    tokens = [token(word, others) for word in pieces(output.text)] if output.text is not None else None
    return {"content": tokens, "refusal": None}


def token(word: str, others: int) -> dict[str, Any]:
    """Return a token with its log probability, and what else might have stood there."""
    top = [
        {"token": name, "logprob": LOGPROB - at, "bytes": list(name.encode())}
        for at, name in enumerate([word, *(f" other{at}" for at in range(1, others))][:others])
    ]
    return {"token": word, "logprob": LOGPROB, "bytes": list(word.encode()), "top_logprobs": top}
