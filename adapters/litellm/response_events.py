"""A kept response as the events of the Responses API, in OpenAI's order and with its numbers.

LiteLLM's own replay of a cached response puts the whole text into the events that announce it, sends it again piece by piece,
and numbers only some events: clients that add the pieces up get everything twice.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from litellm.responses.streaming_iterator import (  # pyright: ignore[reportMissingTypeStubs]
    CachedResponsesAPIStreamingIterator,
)
from litellm.types.llms.base import BaseLiteLLMOpenAIResponseObject  # pyright: ignore[reportMissingTypeStubs]
from litellm.types.llms.openai import (  # pyright: ignore[reportMissingTypeStubs]
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseInProgressEvent,
    ResponsesAPIResponse,
)

from ...middleware.chat import pieces
from ...middleware.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...middleware.records import JsonObject

Named = tuple[str, dict[str, Any]]


class ReplayedResponse(CachedResponsesAPIStreamingIterator):
    """The events of a kept response; the last one logs it, as LiteLLM does."""

    def __init__(self, body: JsonObject, kwargs: Mapping[str, Any], words: int) -> None:
        self._body = body
        self._words = words
        make: Any = super().__init__  # half typed
        make(
            response=ResponsesAPIResponse(**dict(body)),
            logging_obj=kwargs["litellm_logging_obj"],
            request_data=dict(kwargs),
            call_type="aresponses",
        )

    def _set_events_from_response(self, transformed: Any, logging_obj: Any) -> None:
        del logging_obj
        host: Any = self
        host._events = [_typed(name, data, transformed) for name, data in numbered(events(self._body, self._words))]  # noqa: SLF001
        host._idx = 0  # noqa: SLF001
        host.completed_response = host._events[-1]  # noqa: SLF001


def events(body: JsonObject, words: int) -> Iterator[Named]:
    """Yield the events of a response by name, without their numbers."""
    nothing: dict[str, Any] = {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
    begun = {**body, **{name: value for name, value in nothing.items() if name in body}}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(body.get("output") or ()):
        if is_object(item):
            yield from _item(index, item, words)
    yield "response.completed", {"response": dict(body)}


def numbered(given: Iterator[Named]) -> Iterator[Named]:
    """Give each event its sequence number, from 0."""
    for number, (name, data) in enumerate(given):
        yield name, {"type": name, "sequence_number": number, **data}


def _item(index: int, item: dict[str, Any], words: int) -> Iterator[Named]:
    item = {name: value for name, value in item.items() if value is not None}  # LiteLLM's types add what nobody sent
    at = {"output_index": index, "item_id": item.get("id")}
    begun = {**item, "status": "in_progress"} if "status" in item else dict(item)
    inside: list[Named] = []
    if item.get("type") == "message":
        begun["content"] = []
        for number, part in enumerate(item.get("content") or ()):
            if is_object(part):
                inside += _part({**at, "content_index": number}, part, words)
    elif item.get("type") == "function_call":
        begun["arguments"] = ""
        inside = _arguments(at, item, words)
    elif item.get("type") == "reasoning":
        begun["summary"] = []
        for number, part in enumerate(item.get("summary") or ()):
            if is_object(part):
                inside += _summary({**at, "summary_index": number}, part, words)
    yield "response.output_item.added", {"output_index": index, "item": begun}
    yield from inside
    yield "response.output_item.done", {"output_index": index, "item": item}


def _part(at: dict[str, Any], part: dict[str, Any], words: int) -> list[Named]:
    if part.get("type") == "refusal":
        name, field = "response.refusal", "refusal"
        deltas: list[dict[str, Any]] = [{"delta": piece} for piece in pieces(str(part.get(field) or ""), words)]
        done: dict[str, Any] = {field: part.get(field)}
        empty: dict[str, Any] = {**part, field: ""}
    else:
        name, field = "response.output_text", "text"
        deltas = _with_logprobs(str(part.get(field) or ""), part.get("logprobs"), words)
        done = {field: part.get(field), "logprobs": part.get("logprobs") or []}
        empty = {**part, field: "", "annotations": [], "logprobs": []}
    notes = part.get("annotations")
    return [
        ("response.content_part.added", {**at, "part": {key: value for key, value in empty.items() if key in part}}),
        *((f"{name}.delta", {**at, **delta}) for delta in deltas),
        *(
            (f"{name}.annotation.added", {**at, "annotation_index": number, "annotation": note})
            for number, note in enumerate(notes if is_array(notes) else ())
        ),
        (f"{name}.done", {**at, **done}),
        ("response.content_part.done", {**at, "part": part}),
    ]


def _with_logprobs(text: str, logprobs: Any, words: int) -> list[dict[str, Any]]:
    """Cut a text at its tokens where they are known, else at its words."""
    tokens: list[Any] = logprobs if is_array(logprobs) else []
    if tokens and "".join(str(token.get("token")) for token in tokens if is_object(token)) == text:
        groups = [tokens[start : start + words] for start in range(0, len(tokens), words)]
        return [{"delta": "".join(token["token"] for token in group), "logprobs": group} for group in groups]
    cut = pieces(text, words) if text else []
    return [{"delta": piece, "logprobs": tokens if not number else []} for number, piece in enumerate(cut)]


def _arguments(at: dict[str, Any], item: dict[str, Any], words: int) -> list[Named]:
    name, text = "response.function_call_arguments", str(item.get("arguments") or "")
    done = {**at, "name": item.get("name"), "arguments": text}
    return [
        *((f"{name}.delta", {**at, "delta": piece}) for piece in pieces(text, words) if text),
        (f"{name}.done", done),
    ]


def _summary(at: dict[str, Any], part: dict[str, Any], words: int) -> list[Named]:
    name, text = "response.reasoning_summary", str(part.get("text") or "")
    return [
        (f"{name}_part.added", {**at, "part": {**part, "text": ""}}),
        *((f"{name}_text.delta", {**at, "delta": piece}) for piece in pieces(text, words) if text),
        (f"{name}_text.done", {**at, "text": text}),
        (f"{name}_part.done", {**at, "part": part}),
    ]


def _typed(name: str, data: dict[str, Any], whole: Any) -> Any:
    """Return an event in LiteLLM's type: it encrypts the ids of the responses that are in its own types only."""
    if name == "response.completed":
        done: Any = ResponseCompletedEvent
        return done(**{**data, "response": whole})
    kinds: dict[str, Any] = {"response.created": ResponseCreatedEvent, "response.in_progress": ResponseInProgressEvent}
    if name in kinds:
        begun = ResponsesAPIResponse(**json.loads(json.dumps(data["response"])))
        return kinds[name](**{**data, "response": begun})
    make: Any = BaseLiteLLMOpenAIResponseObject
    return make(**data)
