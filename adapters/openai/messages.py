"""``/v1/messages``: Anthropic's Messages API, whatever the provider behind it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...middleware.chat import answer_of, pieces
from ...middleware.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ...middleware.records import Answer, JsonObject


def assemble(events: Iterable[Mapping[str, Any]]) -> Answer | None:
    """Return the message that a stream's events build, None where they do not end with message_stop."""
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    texts: dict[int, str] = {}
    stopped = False
    for event in events:
        kind = event.get("type")
        index = event.get("index")
        if kind == "message_start" and is_object(event.get("message")):
            message = dict(event["message"])
        elif kind == "content_block_start" and isinstance(index, int) and is_object(event.get("content_block")):
            blocks[index] = dict(event["content_block"])
        elif kind == "content_block_delta" and isinstance(index, int) and is_object(event.get("delta")):
            if index not in blocks:
                return None
            _add(blocks[index], texts, index, event["delta"])
        elif kind == "message_delta":
            delta = event.get("delta")
            message.update(delta if is_object(delta) else {})
            usage = event.get("usage")
            message["usage"] = {**(message.get("usage") or {}), **(usage if is_object(usage) else {})}
        elif kind == "message_stop":
            stopped = True
        elif kind == "error":
            return None
    if not stopped or message.get("type") != "message":
        return None
    for index, text in texts.items():
        try:
            blocks[index]["input"] = json.loads(text or "{}")
        except ValueError:
            return None
    return answer_of({**message, "content": [blocks[index] for index in sorted(blocks)]})


def data_of(events: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the data of server-sent events, each in a text of its own; what is no JSON object is left out."""
    for event in events:
        lines = [line[5:].strip() for line in event.splitlines() if line.startswith("data:")]
        try:
            data: Any = json.loads("\n".join(lines)) if lines else None
        except ValueError:
            continue
        if is_object(data):
            yield data


def replay(body: JsonObject, words: int) -> Iterator[str]:
    """Yield a message as server-sent events."""
    given = body.get("usage")
    usage: dict[str, Any] = given if is_object(given) else {}
    begun = {**usage, "output_tokens": 0}
    start: dict[str, Any] = {**body, "content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
    yield _event("message_start", message=start)
    for index, block in enumerate(_blocks(body)):
        opened, deltas = _pieces(block, words)
        yield _event("content_block_start", index=index, content_block=opened)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    end = {"stop_reason": body.get("stop_reason"), "stop_sequence": body.get("stop_sequence")}
    yield _event("message_delta", delta=end, usage=usage)
    yield _event("message_stop")


def _add(block: dict[str, Any], texts: dict[int, str], index: int, delta: Mapping[str, Any]) -> None:
    kind = delta.get("type")
    if kind == "input_json_delta":
        texts[index] = texts.get(index, "") + str(delta.get("partial_json") or "")
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
    else:
        for name, value in delta.items():
            if name != "type" and isinstance(value, str):
                block[name] = (block.get(name) or "") + value


def _pieces(block: dict[str, Any], words: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it begins, and what is added to it."""
    kind = block.get("type")
    if kind == "text":
        opened: dict[str, Any] = {**block, "citations": []} if block.get("citations") else block
        deltas: list[dict[str, Any]] = [{"type": "text_delta", "text": text} for text in pieces(block["text"], words)]
        deltas += [{"type": "citations_delta", "citation": one} for one in block.get("citations") or ()]
        return {**opened, "text": ""}, deltas
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": text} for text in pieces(block.get("thinking") or "", words)]
        if block.get("signature"):
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {**block, "thinking": "", "signature": ""}, deltas
    if kind == "tool_use":
        text = json.dumps(block.get("input") or {})
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return block, []


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def _blocks(body: JsonObject) -> list[dict[str, Any]]:
    content = body.get("content")
    return [block for block in content if is_object(block)] if is_array(content) else []
