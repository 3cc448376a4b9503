"""/v1/responses in OpenAI's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.upstream.answer import PROMPT_TOKENS, Question, event, pieces, text_of
from tests.integration.upstream.chat import token

if TYPE_CHECKING:
    from tests.integration.upstream.answer import Answer

LOGPROBS = "message.output_text.logprobs"


def read(body: dict[str, Any], before: str | None) -> Question:
    """Read a request; `before` is the digest of the conversation it goes on with."""
    given: Any = body["input"]
    items: list[dict[str, Any]] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    last: dict[str, Any] = items[-1]
    choice: Any = body.get("tool_choice") or "auto"
    tools = [tool for tool in body.get("tools") or () if tool.get("type") == "function"]
    if choice == "none" or last.get("type") == "function_call_output":
        tools = []
    elif not isinstance(choice, str):
        tools = [tool for tool in tools if tool["name"] == choice["name"]]
    text: dict[str, Any] = body.get("text") or {}
    wanted: dict[str, Any] = text.get("format") or {"type": "text"}
    return Question(
        {"before": before, "instructions": body.get("instructions"), "input": items},
        (text_of(last.get("content")),),
        tools=[(tool["name"], tool.get("parameters") or {}) for tool in tools],
        schema=None if wanted["type"] == "text" else wanted.get("schema") or {},
        thinks=body.get("reasoning") is not None,
    )


def whole(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    (output,) = answer.outputs
    ends: dict[str | None, tuple[str, str | None]] = {
        "length": ("incomplete", "max_output_tokens"),
        "content_filter": ("incomplete", "content_filter"),
        "failed": ("failed", None),
        None: ("in_progress", None),
    }
    status, reason = ends.get(output.finish_reason, ("completed", None))
    error = {"code": "server_error", "message": "scripted failure"} if status == "failed" else None
    return {
        **_head(answer, body),
        "status": status,
        "completed_at": answer.created if status == "completed" else None,
        "error": error,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": _items(answer, body, "incomplete" if status == "incomplete" else "completed"),
        "usage": {
            "input_tokens": PROMPT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answer.words,
            "output_tokens_details": {"reasoning_tokens": answer.thoughts},
            "total_tokens": PROMPT_TOKENS + answer.words,
        },
    }


def stream(answer: Answer, body: dict[str, Any]) -> list[bytes]:
    done = whole(answer, body)
    nothing: dict[str, Any] = {
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
    begun = {**_head(answer, body), "status": "in_progress", **nothing}
    out: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    for index, item in enumerate(done["output"]):
        out += _item(index, item)
    if done["status"] != "in_progress":
        out.append((f"response.{done['status']}", {"response": done}))
    return [event({"type": name, "sequence_number": number, **data}, name) for number, (name, data) in enumerate(out)]


def _head(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAI repeats from the request, and what it adds."""
    said: dict[str, Any] = {
        "frequency_penalty": 0.0,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
    head = {"id": f"resp_{answer.mark}", "object": "response", "created_at": answer.created, "background": False}
    tools = [{"description": None, "strict": True, **tool} for tool in body.get("tools") or ()]
    repeated = {name: body[name] if body.get(name) is not None else value for name, value in said.items()}
    return {**head, "model": answer.model, "service_tier": "default", "tools": tools, **repeated}


def _items(answer: Answer, body: dict[str, Any], status: str) -> list[dict[str, Any]]:
    (output,) = answer.outputs
    items: list[dict[str, Any]] = []
    if output.reasoning is not None:
        summary = [{"type": "summary_text", "text": output.reasoning}]
        items.append({"id": f"rs_{answer.mark}", "type": "reasoning", "summary": summary})
    part: dict[str, Any] | None = None
    if output.refusal is not None:
        part = {"type": "refusal", "refusal": output.refusal}
    elif output.text is not None:
        asked: list[str] = body.get("include") or []
        others = int(body.get("top_logprobs") or 0)
        logprobs = [token(word, others) for word in pieces(output.text)] if LOGPROBS in asked else []
        part = {"type": "output_text", "text": output.text, "annotations": [], "logprobs": logprobs}
    if part is not None:
        message = {"id": f"msg_{answer.mark}", "type": "message", "role": "assistant"}
        items.append({**message, "status": status, "content": [part]})
    for call in output.calls:
        named = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
        items.append({"id": f"fc_{call.id}", "type": "function_call", "status": status, **named})
    return items


def _item(index: int, item: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    at: dict[str, Any] = {"output_index": index, "item_id": item["id"]}
    begun: dict[str, Any]
    if item["type"] == "reasoning":
        begun, inside = {**item, "summary": list[Any]()}, _summary(at, item["summary"][0])
    elif item["type"] == "message":
        begun, inside = {**item, "content": list[Any](), "status": "in_progress"}, _part(at, item["content"][0])
    else:
        name, arguments = "response.function_call_arguments", str(item["arguments"])
        begun = {**item, "arguments": "", "status": "in_progress"}
        inside = [(f"{name}.delta", {**at, "delta": part}) for part in (arguments[:9], arguments[9:])]
        inside.append((f"{name}.done", {**at, "name": item["name"], "arguments": arguments}))
    return [
        ("response.output_item.added", {"output_index": index, "item": begun}),
        *inside,
        ("response.output_item.done", {"output_index": index, "item": item}),
    ]


def _summary(at: dict[str, Any], part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    name, at = "response.reasoning_summary", {**at, "summary_index": 0}
    return [
        (f"{name}_part.added", {**at, "part": {**part, "text": ""}}),
        *((f"{name}_text.delta", {**at, "delta": piece}) for piece in pieces(part["text"])),
        (f"{name}_text.done", {**at, "text": part["text"]}),
        (f"{name}_part.done", {**at, "part": part}),
    ]


def _part(at: dict[str, Any], part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    at = {**at, "content_index": 0}
    if part["type"] == "refusal":
        empty: dict[str, Any] = {**part, "refusal": ""}
        inside = [("response.refusal.delta", {**at, "delta": piece}) for piece in pieces(part["refusal"])]
        inside.append(("response.refusal.done", {**at, "refusal": part["refusal"]}))
    else:
        empty = {**part, "text": "", "logprobs": []}
        tokens: list[Any] = part["logprobs"]
        inside = [
            ("response.output_text.delta", {**at, "delta": piece, "logprobs": tokens[number : number + 1]})
            for number, piece in enumerate(pieces(part["text"]))
        ]
        inside.append(("response.output_text.done", {**at, "text": part["text"], "logprobs": tokens}))
    return [
        ("response.content_part.added", {**at, "part": empty}),
        *inside,
        ("response.content_part.done", {**at, "part": part}),
    ]
