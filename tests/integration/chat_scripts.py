"""Sixty ways in which a chat completions engine may answer, complete and not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.scripted import SSE, Wire

WORDS: Final = ("All", " is", " well")
TEXT: Final = "".join(WORDS)
USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
HEAD: Final[dict[str, Any]] = {"id": "chatcmpl-script", "created": 1_700_000_000, "model": "tiny"}
DONE: Final = b"data: [DONE]\n\n"
LONG: Final = (" " + "ever" * 5000,) * 20
"""The words of an answer of 400 kB."""


@dataclass(frozen=True, slots=True)
class Script:
    """One way to answer.

    Attributes:
        kept: whether it is a whole answer that ended as it should.
        whole, stream: what is sent to a request for a whole answer and for a stream; None where it has no such form.
        words: how many words the client has read when the connection breaks or it leaves; None where it reads to
            the end.
    """

    name: str
    kept: bool = False
    whole: Wire | None = None
    stream: Wire | None = None
    words: int | None = None


def body(**more: Any) -> dict[str, Any]:
    """Return a complete answer; `more` replaces its fields, and takes out those that are None."""
    return _without_none({**HEAD, "object": "chat.completion", "choices": [choice()], "usage": USAGE, **more})


def choice(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "message": {"role": "assistant", "content": TEXT, **message},
        "finish_reason": finish,
    }


def event(delta: dict[str, Any], finish: str | None = None, **head: Any) -> bytes:
    """Return one chunk of a stream."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return data(_without_none({**HEAD, "object": "chat.completion.chunk", "choices": choices, **head}))


def data(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def pieces(finish: str | None = "stop", words: tuple[str, ...] = WORDS, **head: Any) -> tuple[bytes, ...]:
    """Return a complete stream: a role, the words, the end, the usage, [DONE]."""
    return (
        event({"role": "assistant", "content": ""}, **head),
        *(event({"content": word}, **head) for word in words),
        *((event({}, finish, **head),) if finish is not None else ()),
        usage(**head),
        DONE,
    )


def usage(**head: Any) -> bytes:
    return data(_without_none({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": USAGE, **head}))


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if item is not None}


def whole_of(value: object, **more: Any) -> Wire:
    """Return a body to send."""
    return Wire((value if isinstance(value, bytes) else json.dumps(value).encode(),), **more)


def stream_of(*sent: bytes, **more: Any) -> Wire:
    """Return events to send."""
    return Wire(sent, content_type=more.pop("content_type", SSE), **more)


def _failures() -> list[Script]:
    said = {400: "invalid_request_error", 429: "rate_limit_error"}
    scripts: list[Script] = []
    for status in (400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 529):
        error = {"message": "scripted failure", "type": said.get(status, "server_error"), "code": str(status)}
        wire = whole_of({"error": error}, status=status)
        scripts.append(Script(f"status_{status}", whole=wire, stream=wire))
    return scripts


def _whole_bodies() -> list[Script]:
    complete = json.dumps(body()).encode()
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": '}}
    wires: dict[str, Wire] = {
        "error_body": whole_of({"error": {"message": "scripted failure", "type": "server_error", "code": 500}}),
        "error_beside_choices": whole_of(body(error={"message": "scripted failure", "code": 500})),
        "empty_body": Wire(()),
        "not_json": whole_of(b"<html><body>Bad gateway</body></html>", content_type="text/html"),
        "truncated_json": whole_of(complete[: len(complete) // 2]),
        "json_null": whole_of(None),
        "choices_empty": whole_of(body(choices=[])),
        "choices_missing": whole_of(body(choices=None)),
        "content_null": whole_of(body(choices=[choice(content=None)])),
        "content_blank": whole_of(body(choices=[choice(content="  \n")])),
        "refusal": whole_of(body(choices=[choice(content=None, refusal="I will not.")])),
        "invalid_utf8": whole_of(complete.replace(b"well", b"w\xff\xfel")),
        "cut": whole_of(complete[: len(complete) // 2], end="cut"),
        "broken_tool_arguments": whole_of(body(choices=[choice("tool_calls", content=None, tool_calls=[call])])),
    }
    return [Script(f"whole_{name}", whole=wire) for name, wire in wires.items()]


def _both() -> list[Script]:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sea"}'}}
    called = (
        event({"role": "assistant", "content": None}),
        event({"tool_calls": [{"index": 0, **call}]}),
        event({}, "tool_calls"),
        usage(),
        DONE,
    )
    return [
        Script("complete", kept=True, whole=whole_of(body()), stream=stream_of(*pieces())),
        Script(
            "tool_calls",
            kept=True,
            whole=whole_of(body(choices=[choice("tool_calls", content=None, tool_calls=[call])])),
            stream=stream_of(*called),
        ),
        Script(
            "oversized",
            kept=True,
            whole=whole_of(body(choices=[choice(content="".join(LONG))])),
            stream=stream_of(*pieces(words=LONG)),
        ),
        Script("id_missing", kept=True, whole=whole_of(body(id=None)), stream=stream_of(*pieces(id=None))),
        Script("model_missing", kept=True, whole=whole_of(body(model=None)), stream=stream_of(*pieces(model=None))),
        *(
            Script(
                f"finish_{name}",
                whole=whole_of(body(choices=[choice(finish)])),
                stream=stream_of(*pieces(finish)),
            )
            for name, finish in {
                "length": "length",
                "content_filter": "content_filter",
                "null": None,  # streamed: [DONE] without a finish_reason
                "error": "error",  # LiteLLM shows these two as "stop"
                "unknown": "weather",
            }.items()
        ),
    ]


def _streams() -> list[Script]:
    role, *words, end, used, done = pieces()
    error = data({"error": {"message": "scripted failure", "type": "server_error", "code": 500}})
    cut_short = event({"content": " well"})[:60] + b"\n\n"
    complete = pieces()
    wires: dict[str, tuple[bool, Wire]] = {
        "done_twice": (True, stream_of(*complete, DONE)),
        "data_after_done": (True, stream_of(*complete, event({"content": " ... not"}))),
        "comments": (True, stream_of(b": wait\n\n", role, *words, b": wait\n\n", end, used, done)),
        "ends_without_done": (True, stream_of(role, *words, end, used)),
        "ends_without_finish": (False, stream_of(role, *words)),
        "only_done": (False, stream_of(DONE)),
        "usage_only": (False, stream_of(used, DONE)),
        "invalid_utf8": (False, stream_of(role, words[0].replace(b"All", b"A\xff\xfe"), *words[1:], end, used, done)),
        "truncated_chunk": (False, stream_of(role, *words[:2], cut_short, end, used, done)),
        "error_first": (False, stream_of(error, DONE)),
        "error_midway": (False, stream_of(role, *words[:2], error, DONE)),
    }
    return [Script(f"stream_{name}", kept=kept, stream=wire) for name, (kept, wire) in wires.items()]


def _broken_off() -> list[Script]:
    complete = pieces()
    return [
        Script(
            f"eof_after_{k}",
            stream=stream_of(*complete[:k], end="cut_on_cue" if _read(k) else "cut"),
            words=_read(k),
            kept=k > complete.index(event({}, "stop")),  # the engine had said that it was done
        )
        for k in range(len(complete))
    ]


def _left() -> list[Script]:
    complete = pieces()
    return [
        Script(f"client_leaves_after_{k}", stream=stream_of(*complete[:k], end="hold"), words=_read(k))
        for k in range(len(complete))
    ]


def _read(sent: int) -> int:
    """Return how many words there are in so many pieces of a stream."""
    return min(max(sent - 1, 0), len(WORDS))


SCRIPTS: Final = (*_failures(), *_whole_bodies(), *_both(), *_streams(), *_broken_off(), *_left())
