"""Ways in which engines may answer on other endpoints than chat completions, complete and not."""

from __future__ import annotations

import json
from math import inf, nan
from typing import TYPE_CHECKING, Any, Final, cast

from forebay.middleware.narrow import is_array
from tests.integration.chat_scripts import DONE, TEXT, WORDS, Script, data, stream_of, whole_of
from tests.integration.scripted import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Piece = tuple[str, dict[str, Any]]
"""An event's type and what else is in it."""
COMPLETION: Final[dict[str, Any]] = {
    "id": "cmpl-script",
    "object": "text_completion",
    "created": 1_700_000_000,
    "model": "tiny",
}
COUNTS: Final = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_script",
    "object": "response",
    "created_at": 1_700_000_000,
    "model": "tiny",
    "error": None,
    "incomplete_details": None,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
}
MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_script",
    "type": "message",
    "role": "assistant",
    "model": "tiny",
    "stop_sequence": None,
    "usage": {"input_tokens": 7, "output_tokens": 3},
}
FAILURE: Final = {"message": "scripted failure", "type": "server_error", "code": "server_error"}


def _ends(
    pieces: Sequence[bytes], heard: Callable[[int], int], kept_from: int, errors: Mapping[str, bytes]
) -> list[Script]:
    """Return the streams that break off or that the client leaves, after every event, and those with an error inside.

    Args:
        pieces: the events of a complete stream.
        heard: how many words a client has read after so many events.
        kept_from: after so many events the engine has said that it was done.
        errors: events by name.
    """
    scripts: list[Script] = []
    for k in range(len(pieces)):
        words = heard(k)
        wire = stream_of(*pieces[:k], end="cut_on_cue" if words else "cut")
        scripts += [
            Script(f"cut_after_{k}", stream=wire, words=words, kept=k >= kept_from),
            Script(f"eof_after_{k}", stream=stream_of(*pieces[:k]), kept=k >= kept_from),
            Script(f"client_leaves_after_{k}", stream=stream_of(*pieces[:k], end="hold"), words=words),
        ]
    middle = next(k for k in range(len(pieces)) if heard(k) == 2)
    for name, event in errors.items():
        scripts.append(Script(f"{name}_first", stream=stream_of(event)))
        scripts.append(Script(f"{name}_midway", stream=stream_of(*pieces[:middle], event)))
    return scripts


def _broken_bodies(complete: dict[str, Any]) -> list[Script]:
    """Return what no endpoint may take for an answer."""
    text = json.dumps(complete).encode()
    wires: dict[str, Wire] = {
        "error_body": whole_of({"error": FAILURE}),
        "error_beside": whole_of({**complete, "error": FAILURE}),
        "empty_body": Wire(()),
        "json_null": whole_of(None),
        "not_json": whole_of(b"<html><body>Bad gateway</body></html>", content_type="text/html"),
        "truncated_json": whole_of(text[: len(text) // 2]),
        "cut": whole_of(text[: len(text) // 2], end="cut"),
        "status_429": whole_of({"error": {**FAILURE, "type": "rate_limit_error"}}, status=429),
        "status_500": whole_of({"error": FAILURE}, status=500),
        "client_leaves": Wire((), end="hold"),
    }
    return [Script(f"whole_{name}", whole=wire) for name, wire in wires.items()]


# text completions


def _completion(finish: str | None = "stop", text: str | None = TEXT) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {**COMPLETION, "choices": [choice], "usage": COUNTS}


def _completion_pieces(finish: str | None = "stop", words: Sequence[str] = WORDS) -> tuple[bytes, ...]:
    def chunk(text: str, end: str | None = None) -> bytes:
        return data({**COMPLETION, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": end}]})

    end = () if finish is None else (chunk("", finish),)
    return (*map(chunk, words), *end, data({**COMPLETION, "choices": [], "usage": COUNTS}), DONE)


def _completions() -> list[Script]:
    def both(name: str, finish: str | None, *, kept: bool = False) -> Script:
        whole, stream = whole_of(_completion(finish)), stream_of(*_completion_pieces(finish))
        return Script(name, kept=kept, whole=whole, stream=stream)

    empty: dict[str, dict[str, Any]] = {
        "choices_empty": {**_completion(), "choices": []},
        "text_empty": _completion(text=""),
        "text_blank": _completion(text=" \n"),
        "text_null": _completion(text=None),
    }
    return [
        both("complete", "stop", kept=True),
        *(both(f"finish_{name}", finish) for name, finish in FINISHES.items()),
        *_broken_bodies(_completion()),
        *(Script(f"whole_{name}", whole=whole_of(value)) for name, value in empty.items()),
        Script("stream_empty", stream=stream_of(*_completion_pieces(words=()))),
        Script("stream_only_done", stream=stream_of(DONE)),
        Script("stream_done_twice", kept=True, stream=stream_of(*_completion_pieces(), DONE)),
        *_ends(_completion_pieces(), lambda k: min(k, 3), 4, {"error": data({"error": FAILURE})}),
    ]


FINISHES: Final[Mapping[str, str | None]] = {
    "null": None,
    "length": "length",
    "content_filter": "content_filter",
    "unknown": "weather",
}
COMPLETIONS: Final = tuple(_completions())


# the Responses API


def _part(text: str = TEXT) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(*parts: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    content = list(parts) if parts else [_part()]
    return {"id": "msg_script", "type": "message", "role": "assistant", "status": status, "content": content}


def _called(arguments: str) -> dict[str, Any]:
    named = {"call_id": "call_script", "name": "look", "arguments": arguments}
    return {"id": "fc_script", "type": "function_call", "status": "completed", **named}


def _response(*items: dict[str, Any], status: str | None = "completed", **more: Any) -> dict[str, Any]:
    return {**RESPONSE, "status": status, "output": list(items) if items else [_item()], **more}


def _response_pieces(last: str, done: dict[str, Any]) -> tuple[bytes, ...]:
    begun: dict[str, Any] = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    at = {"output_index": 0, "item_id": "msg_script", "content_index": 0}
    events: list[Piece] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**_item(status="in_progress"), "content": []}}),
        ("response.content_part.added", {**at, "part": _part("")}),
        *(("response.output_text.delta", {**at, "delta": word, "logprobs": []}) for word in WORDS),
        ("response.output_text.done", {**at, "text": TEXT, "logprobs": []}),
        ("response.content_part.done", {**at, "part": _part()}),
        ("response.output_item.done", {"output_index": 0, "item": _item()}),
        (last, {"response": done}),
    ]
    return tuple(_named(kind, sequence_number=number, **more) for number, (kind, more) in enumerate(events))


def _named(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\n".encode() + data({"type": kind, **more})


def _responses() -> list[Script]:
    refused = {"type": "refusal", "refusal": "I will not."}
    thought = {"id": "rs_script", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    said: dict[str, tuple[str, dict[str, Any]]] = {
        "incomplete_length": (
            "response.incomplete",
            _response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        ),
        "incomplete_filter": (
            "response.incomplete",
            _response(status="incomplete", incomplete_details={"reason": "content_filter"}),
        ),
        "failed": ("response.failed", _response(status="failed", error={"code": "server_error", "message": "no"})),
        "status_in_progress": ("response.completed", _response(status="in_progress")),
        "status_queued": ("response.completed", _response(status="queued")),
        "status_cancelled": ("response.completed", _response(status="cancelled")),
        "status_null": ("response.completed", _response(status=None)),
        "item_incomplete": ("response.completed", _response(_item(status="incomplete"))),
    }
    bodies: dict[str, dict[str, Any]] = {
        "output_empty": {**_response(), "output": []},
        "text_empty": _response(_item(_part(""))),
        "refusal": _response(_item(refused)),
        "only_reasoning": _response(thought),
        "broken_arguments": _response(_called('{"at": ')),
    }
    complete = _response_pieces("response.completed", _response())
    error = _named("error", code="server_error", message="scripted failure", param=None, sequence_number=4)
    failed = _named("response.failed", sequence_number=4, response=said["failed"][1])
    both = [
        Script(name, whole=whole_of(body), stream=stream_of(*_response_pieces(last, body)))
        for name, (last, body) in said.items()
    ]
    wholes = [Script(f"whole_{name}", whole=whole_of(body)) for name, body in bodies.items()]
    called = _response(_called('{"at": "sea"}'))
    return [
        Script("complete", kept=True, whole=whole_of(_response()), stream=stream_of(*complete)),
        Script("function_call", kept=True, whole=whole_of(called)),
        Script("stream_then_done", kept=True, stream=stream_of(*complete, DONE)),
        *both,
        *wholes,
        *_broken_bodies(_response()),
        *_ends(complete, lambda k: min(max(k - 4, 0), 3), len(complete), {"error": error, "failed": failed}),
    ]


RESPONSES: Final = tuple(_responses())


# Anthropic's Messages API


def _message(reason: str | None = "end_turn", *blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    content = list(blocks) if blocks else [{"type": "text", "text": TEXT}]
    return {**MESSAGE, "content": content, "stop_reason": reason, **more}


def _message_pieces(reason: str | None = "end_turn", words: Sequence[str] = WORDS) -> tuple[bytes, ...]:
    begun: dict[str, Any] = {**_message(None), "content": [], "usage": {"input_tokens": 7, "output_tokens": 1}}
    ended = {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 3}}
    events: list[Piece] = [
        ("message_start", {"message": begun}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        *(("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}}) for word in words),
        ("content_block_stop", {"index": 0}),
        ("message_delta", ended),
        ("message_stop", {}),
    ]
    return tuple(_named(kind, **more) for kind, more in events)


def _messages() -> list[Script]:
    reasons = {
        "null": None,
        "max_tokens": "max_tokens",
        "refusal": "refusal",
        "pause": "pause_turn",
        "unknown": "weather",
    }
    use = {"type": "tool_use", "id": "toolu_script", "name": "look", "input": {"at": "sea"}}
    bodies: dict[str, dict[str, Any]] = {
        "content_empty": _message(content=[]),
        "text_empty": _message("end_turn", {"type": "text", "text": ""}),
        "only_thinking": _message("end_turn", {"type": "thinking", "thinking": "Hm.", "signature": "s"}),
        "error_event": {"type": "error", "error": {"type": "overloaded_error", "message": "scripted failure"}},
    }
    error = _named("error", error={"type": "overloaded_error", "message": "scripted failure"})
    complete = _message_pieces()
    return [
        Script("complete", kept=True, whole=whole_of(_message()), stream=stream_of(*complete)),
        Script("tool_use", kept=True, whole=whole_of(_message("tool_use", use))),
        *(
            Script(f"stop_{name}", whole=whole_of(_message(reason)), stream=stream_of(*_message_pieces(reason)))
            for name, reason in reasons.items()
        ),
        *_broken_bodies(_message()),
        *(Script(f"whole_{name}", whole=whole_of(body)) for name, body in bodies.items()),
        Script("stream_empty", stream=stream_of(*_message_pieces(words=()))),
        Script("stream_pings", kept=True, stream=stream_of(complete[0], _named("ping"), *complete[1:])),
        *_ends(complete, lambda k: min(max(k - 2, 0), 3), len(complete), {"error": error}),
    ]


MESSAGES: Final = tuple(_messages())


# embeddings

ROWS: Final = ([0.25, -0.5], [0.75, 0.125])


def _row(index: int | None, vector: object) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": vector}


def _vectors(*rows: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 6, "total_tokens": 6}
    return {"object": "list", "data": list(rows), "model": "tiny", "usage": usage}


def _embeddings() -> list[Script]:
    first, second = (_row(index, vector) for index, vector in enumerate(ROWS))
    bodies: dict[str, dict[str, Any]] = {
        "no_rows": _vectors(),
        "too_few_rows": _vectors(first),
        "too_many_rows": _vectors(first, second, _row(2, ROWS[0])),
        "rows_null": {**_vectors(), "data": None},
        "row_null": _vectors(first, cast("Any", None)),
        "vector_empty": _vectors(first, _row(1, [])),
        "vectors_empty": _vectors(_row(0, []), _row(1, [])),
        "vector_null": _vectors(first, _row(1, None)),
        "nan": _vectors(first, _row(1, [nan, 0.5])),
        "infinite": _vectors(_row(0, [inf, 0.5]), second),
        "words": _vectors(first, _row(1, ["a", "b"])),
        "other_size": _vectors(first, _row(1, [0.5])),
        "index_swapped": _vectors(_row(1, ROWS[1]), _row(0, ROWS[0])),
        "index_repeated": _vectors(first, _row(0, ROWS[1])),
        "index_missing": _vectors(first, _row(None, ROWS[1])),
        "index_beyond": _vectors(first, _row(2, ROWS[1])),
    }
    return [
        Script("complete", kept=True, whole=whole_of(_vectors(first, second))),
        *_broken_bodies(_vectors(first, second)),
        *(Script(f"whole_{name}", whole=whole_of(body)) for name, body in bodies.items()),
    ]


EMBEDDINGS: Final = tuple(_embeddings())


def prompt_of(body: dict[str, Any]) -> str:
    """Return what an engine is asked, in whatever format LiteLLM asks it."""
    found: Any = body.get("prompt") or body.get("input") or body["messages"]
    while not isinstance(found, str):
        found = found[-1] if is_array(found) else found.get("content") or found["text"]
    return found.partition("#")[0]
