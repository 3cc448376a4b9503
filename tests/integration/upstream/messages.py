"""/v1/messages in Anthropic's format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.integration.upstream.answer import PROMPT_TOKENS, Question, event, pieces, text_of

if TYPE_CHECKING:
    from tests.integration.upstream.answer import Answer

REASONS: Final[dict[str | None, str | None]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    None: None,
}


def read(body: dict[str, Any]) -> Question:
    body["max_tokens"]  # may not be left out
    messages: list[dict[str, Any]] = body["messages"]
    content: Any = messages[-1]["content"]
    blocks: list[dict[str, Any]] = [] if isinstance(content, str) else content
    choice: dict[str, Any] = body.get("tool_choice") or {"type": "auto"}
    tools = [tool for tool in body.get("tools") or () if "input_schema" in tool]
    if choice["type"] == "none" or any(block.get("type") == "tool_result" for block in blocks):
        tools = []
    elif choice["type"] == "tool":
        tools = [tool for tool in tools if tool["name"] == choice["name"]]
    config: dict[str, Any] = body.get("output_config") or {}
    thinking: dict[str, Any] = body.get("thinking") or {}
    wanted: dict[str, Any] | None = body.get("output_format") or config.get("format")
    return Question(
        {name: body.get(name) for name in ("system", "messages")},
        (text_of(content),),
        tools=[(tool["name"], tool["input_schema"]) for tool in tools],
        schema=wanted["schema"] if wanted else None,
        thinks=thinking.get("type") in ("enabled", "adaptive"),
    )


def whole(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    (output,) = answer.outputs
    reason = "refusal" if output.refusal is not None else REASONS[output.finish_reason]
    return {**_head(answer), "content": _blocks(answer), "stop_reason": reason, "usage": _usage(answer.words)}


def stream(answer: Answer, body: dict[str, Any]) -> list[bytes]:
    done = whole(answer, body)
    begun: dict[str, Any] = {**done, "content": [], "stop_reason": None, "usage": _usage(1)}
    out: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": begun})]
    for index, block in enumerate(done["content"]):
        empty, deltas = _parts(block)
        out.append(("content_block_start", {"index": index, "content_block": empty}))
        if index == 0:
            out.append(("ping", {}))
        out += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        out.append(("content_block_stop", {"index": index}))
    if done["stop_reason"] is not None:
        delta = {"stop_reason": done["stop_reason"], "stop_sequence": None}
        out.append(("message_delta", {"delta": delta, "usage": {"output_tokens": answer.words}}))
        out.append(("message_stop", {}))
    return [event({"type": name, **data}, name) for name, data in out]


def _head(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.mark}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
    }


def _usage(words: int) -> dict[str, Any]:
    return {
        "input_tokens": PROMPT_TOKENS,
        "output_tokens": words,
        "output_tokens_details": None,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": "global",
    }


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    (output,) = answer.outputs
    out: list[dict[str, Any]] = []
    if output.reasoning is not None:
        out.append({"type": "thinking", "thinking": output.reasoning, "signature": f"signed-{answer.digest}"})
    text = output.refusal if output.refusal is not None else output.text
    if text:
        out.append({"type": "text", "text": text, "citations": None})
    return out + [
        {
            "type": "tool_use",
            "caller": {"type": "direct"},
            "id": call.id.replace("call", "toolu", 1),
            "name": call.name,
            "input": json.loads(call.arguments),
        }
        for call in output.calls
    ]


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return how a block starts in a stream, and what is added to it."""
    if block["type"] == "thinking":
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signature]
    if block["type"] == "tool_use":
        arguments = json.dumps(block["input"])
        parts = ("", arguments[:9], arguments[9:])
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
