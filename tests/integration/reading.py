"""Reads what a proxy answers, whole or streamed, into one shape."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openai import AsyncOpenAI


@dataclass(slots=True)
class Seen:
    """One answer as its client sees it; `created` aside, equal answers are equal here."""

    id: str = ""
    model: str = ""
    system_fingerprint: str | None = None
    content: str | None = None
    finish_reason: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    tokens: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    usage: tuple[int, int, int] | None = None
    created: int = field(default=0, compare=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)

    @property
    def status(self) -> str:
        return self.headers["x-forebay-cache"]


async def ask(client: AsyncOpenAI, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Seen:
    """Send a chat request with the official client and read its whole answer."""
    sent: dict[str, Any] = {"model": "tiny", **body}
    if sent.get("stream"):
        sent["stream_options"] = {"include_usage": True}
    create: Any = client.chat.completions.with_raw_response.create
    raw = await create(**sent, extra_headers=dict(headers or {}))
    seen = Seen(headers=dict(raw.headers))
    if not sent.get("stream"):
        _take_whole(seen, raw.parse().model_dump())
        return seen
    async for chunk in raw.parse():
        _take_chunk(seen, chunk.model_dump())
    return seen


def question(text: str, **more: Any) -> dict[str, Any]:
    """Return the body of a request that asks one thing."""
    return {"messages": [{"role": "user", "content": text}], **more}


def events(text: str) -> list[dict[str, Any]]:
    """Return the chunks of a server-sent event stream; it must be well formed and end with [DONE]."""
    blocks = [block for block in text.split("\n\n") if block]
    assert all(block.startswith("data: ") for block in blocks), blocks
    assert blocks[-1] == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]


def _take_head(seen: Seen, body: Mapping[str, Any]) -> None:
    assert seen.id in ("", body["id"]), "every chunk has the same id"
    assert seen.created in (0, body["created"]), "every chunk has the same time"
    seen.id, seen.created, seen.model = body["id"], body["created"], body["model"]
    seen.system_fingerprint = body["system_fingerprint"] or seen.system_fingerprint
    usage = body.get("usage")
    if usage is not None:
        seen.usage = (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])


def _take_whole(seen: Seen, body: Mapping[str, Any]) -> None:
    _take_head(seen, body)
    (choice,) = body["choices"]
    message: dict[str, Any] = choice["message"]
    assert message["role"] == "assistant"
    seen.content = message["content"]
    seen.finish_reason = choice["finish_reason"]
    calls: list[dict[str, Any]] = message.get("tool_calls") or []
    for call in calls:
        function: dict[str, Any] = call["function"]
        named = {"name": function["name"], "arguments": function["arguments"]}
        seen.tool_calls.append({"id": call["id"], "type": call["type"], **named})
    seen.tokens = _tokens(choice)


def _take_chunk(seen: Seen, body: Mapping[str, Any]) -> None:
    _take_head(seen, body)
    for choice in body["choices"]:
        delta: dict[str, Any] = choice["delta"]
        if delta.get("content"):
            seen.content = (seen.content or "") + delta["content"]
        pieces: list[dict[str, Any]] = delta.get("tool_calls") or []
        for piece in pieces:
            at = int(piece["index"])
            while len(seen.tool_calls) <= at:
                seen.tool_calls.append({"id": None, "type": None, "name": "", "arguments": ""})
            call = seen.tool_calls[at]
            function: dict[str, Any] = piece.get("function") or {}
            call["id"] = piece.get("id") or call["id"]
            call["type"] = piece.get("type") or call["type"]
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""
        seen.tokens += _tokens(choice)
        if choice["finish_reason"] is not None:
            assert seen.finish_reason is None, "a stream ends once"
            seen.finish_reason = choice["finish_reason"]


def _tokens(choice: Mapping[str, Any]) -> list[tuple[str, float]]:
    logprobs: dict[str, Any] = choice.get("logprobs") or {}
    return [(item["token"], item["logprob"]) for item in logprobs.get("content") or ()]
