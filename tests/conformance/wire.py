"""What a proxy sends: read, made comparable, and put together from the events of a stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from litellm.proxy.common_utils.encrypt_decrypt_utils import (  # pyright: ignore[reportMissingTypeStubs]
    decrypt_if_encrypted_with,
)

from forebay.middleware.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

IDS: Final = frozenset({"id", "item_id", "call_id", "tool_call_id", "response_id", "previous_response_id"})
TIMES: Final = frozenset({"created", "created_at", "completed_at"})


@dataclass(slots=True)
class Got:
    """One answer as it came over the wire.

    Attributes:
        body: of a whole answer.
        events: of a streamed one; ``{"done": True}`` stands for ``[DONE]``.
        upstream: how many requests the engine got meanwhile.
    """

    status: int
    headers: Mapping[str, str]
    body: Any = None
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    upstream: int = 0

    @property
    def forebay(self) -> str | None:
        """What forebay says it did, None where it took no part."""
        return self.headers.get("x-forebay-cache")

    @property
    def kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    @property
    def sent(self) -> Any:
        return self.events or self.body


def read(response: httpx.Response, key: str) -> Got:
    got = Got(response.status_code, dict(response.headers))
    if got.kind == "text/event-stream":
        got.events = opened(parse(response.text), key)
    else:
        got.body = opened(response.json(), key)
    return got


def opened(value: Any, key: str) -> Any:
    """Return a copy in which the ids of responses are decrypted: LiteLLM encrypts one id anew each time."""
    if is_array(value):
        return [opened(item, key) for item in value]
    if is_object(value):
        return {name: opened(item, key) for name, item in value.items()}
    if isinstance(value, str) and value.startswith("resp_"):
        return decrypt_if_encrypted_with(value.removeprefix("resp_"), key) or value
    return value


def parse(text: str) -> list[dict[str, Any]]:
    """Return the data of server-sent events; an event's name must be its type."""
    out: list[dict[str, Any]] = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n") if line and not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        if "data" not in fields:
            continue
        if fields["data"] == "[DONE]":
            out.append({"done": True})
            continue
        data: dict[str, Any] = json.loads(fields["data"])
        assert fields.get("event", data.get("type")) == data.get("type"), block
        out.append(data)
    return out


def comparable(value: Any) -> Any:
    """Return a copy whose ids are numbers in the order they come in, and whose times are 0."""
    return _copy(value, {})


def timeless(value: Any) -> Any:
    """Return a copy whose times are 0."""
    return _copy(value, None)


def _copy(value: Any, ids: dict[str, str] | None) -> Any:
    if is_array(value):
        return [_copy(item, ids) for item in value]
    if not is_object(value):
        return value
    out: dict[str, Any] = {}
    for name, inner in value.items():
        if name in TIMES and inner is not None:
            out[name] = 0
        elif ids is not None and name in IDS and isinstance(inner, str):
            out[name] = ids.setdefault(inner, f"id {len(ids)}")
        else:
            out[name] = _copy(inner, ids)
    return out


def filled(value: Any) -> Any:
    """Return a copy without fields that are null or empty, and without a cost."""
    if is_array(value):
        return [filled(item) for item in value]
    if not is_object(value):
        return value
    fields = {name: filled(inner) for name, inner in value.items() if name != "cost"}
    return {name: inner for name, inner in fields.items() if inner not in (None, "", [], {})}


def answer(got: Got) -> dict[str, Any]:
    """Return the answer in one shape, however it was sent."""
    if not got.events:
        body = got.body
        return _whole(body) if "choices" in body else dict(body)
    first = got.events[0]
    if "choices" in first:
        return _choices(got.events)
    if first.get("type") == "message_start":
        return _blocks(got.events)
    last = [event["response"] for event in got.events if "response" in event][-1]
    return dict(last)


def _whole(body: Mapping[str, Any]) -> dict[str, Any]:
    choices: dict[int, dict[str, Any]] = {}
    for choice in body["choices"]:
        message: dict[str, Any] = choice.get("message") or {"content": choice.get("text")}
        choices[choice["index"]] = {
            "content": message.get("content") or None,
            "reasoning_content": message.get("reasoning_content"),
            "refusal": refusal(message),
            "tool_calls": [_call(call) for call in message.get("tool_calls") or ()],
            "logprobs": _logprobs(choice.get("logprobs")),
            "finish_reason": choice["finish_reason"],
        }
    return {**_head(body), "choices": choices, "usage": body.get("usage")}


def _head(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("id", "model", "system_fingerprint", "service_tier")}


def refusal(message: Mapping[str, Any]) -> str | None:
    """Return the refusal; LiteLLM moves it into a field of its own."""
    fields: dict[str, Any] = message.get("provider_specific_fields") or {}
    return message.get("refusal") or fields.get("refusal")


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": call["id"], "name": call["function"]["name"], "arguments": call["function"]["arguments"]}


def _logprobs(logprobs: Mapping[str, Any] | None) -> list[Any]:
    if not logprobs:
        return []
    if "tokens" in logprobs:
        return [list(row) for row in zip(*(logprobs[name] for name in sorted(logprobs)), strict=True)]
    return list(logprobs.get("content") or ())


def _choices(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {**_head(events[0]), "choices": {}, "usage": None}
    for event in events:
        if "done" in event:
            continue
        assert event["id"] == out["id"], "every chunk has the same id"
        out["usage"] = event.get("usage") or out["usage"]
        for choice in event["choices"]:
            empty: dict[str, Any] = {"tool_calls": [], "logprobs": [], "finish_reason": None}
            texts: dict[str, Any] = dict.fromkeys(("content", "reasoning_content", "refusal"))
            _add(out["choices"].setdefault(choice["index"], {**empty, **texts}), choice)
    return out


def _add(into: dict[str, Any], choice: Mapping[str, Any]) -> None:
    delta: dict[str, Any] = choice.get("delta") or {"content": choice.get("text")}
    said: dict[str, Any] = {**delta, "refusal": refusal(delta)}
    for name in ("content", "reasoning_content", "refusal"):
        if said.get(name):
            before: str = into[name] or ""
            into[name] = before + said[name]
    into["logprobs"] += _logprobs(choice.get("logprobs"))
    pieces: list[dict[str, Any]] = delta.get("tool_calls") or []
    for piece in pieces:
        calls: list[dict[str, Any]] = into["tool_calls"]
        if piece["index"] == len(calls):
            calls.append({"id": piece["id"], "name": "", "arguments": ""})
        call = calls[int(piece["index"])]
        function: dict[str, Any] = piece.get("function") or {}
        call["name"] += function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""
    if choice.get("finish_reason"):
        assert into["finish_reason"] is None, "a choice ends once"
        into["finish_reason"] = choice["finish_reason"]


def _blocks(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = dict(events[0]["message"])
    blocks: list[dict[str, Any]] = []
    for event in events:
        if event.get("type") == "content_block_start":
            assert event["index"] == len(blocks), "blocks come in order"
            begun: dict[str, Any] = event["content_block"]
            blocks.append({**begun, "json": ""})
        elif event.get("type") == "content_block_delta":
            delta: dict[str, Any] = event["delta"]
            block = blocks[int(event["index"])]
            for name, value in delta.items():
                target = "json" if name == "partial_json" else name
                if name != "type":
                    block[target] = block.get(target, "") + value
        elif event.get("type") == "message_delta":
            out |= event["delta"]
            counted: dict[str, Any] = event.get("usage") or {}
            out["usage"] = {**out["usage"], **{name: count for name, count in counted.items() if count is not None}}
    return {**out, "content": [_ended(block) for block in blocks]}


def _ended(block: dict[str, Any]) -> dict[str, Any]:
    written: str = block.pop("json")
    return {**block, "input": json.loads(written)} if written else block
