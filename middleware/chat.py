"""OpenAI chat answers as a whole and as a stream: one from the other.

A stream may be answered from an answer that was computed whole, and the reverse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .narrow import is_array, is_object
from .records import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .records import JsonObject

_WORDS = re.compile(r"\s*\S+\s*$|\s*\S+")


class Assembler:
    """Builds the whole answer of a stream from its chunks."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, dict[int, dict[str, Any]]] = {}
        self._usage: dict[str, Any] | None = None

    def add(self, chunk: JsonObject) -> None:
        """Take one ``chat.completion.chunk``; unknown fields of chunks, choices and deltas are kept."""
        for name, value in chunk.items():
            if name not in ("choices", "usage", "object") and value is not None:
                self._head.setdefault(name, value)
        usage = chunk.get("usage")
        if is_object(usage):
            self._usage = usage
        for piece in chunk.get("choices") or ():
            index = int(piece.get("index") or 0)
            choice = self._choices.setdefault(
                index, {"message": {"role": "assistant", "content": None}, "finish_reason": None}
            )
            for name, value in piece.items():
                if name not in ("index", "delta") and value is not None:
                    choice[name] = _joined(choice.get(name), value) if name == "logprobs" else value
            delta: dict[str, Any] = dict(piece.get("delta") or {})
            calls = self._calls.setdefault(index, {})
            for call in delta.pop("tool_calls", None) or ():
                _add_tool_call(calls, call)
            for name, value in delta.items():
                if name != "role" and value is not None:
                    choice["message"][name] = _joined(choice["message"].get(name), value)

    def answer(self) -> Answer:
        """Return the answer so far; it has a finish_reason only where the stream had one."""
        body: dict[str, Any] = {
            **self._head,
            "object": "chat.completion",
            "choices": [self._choice(index) for index in sorted(self._choices)],
        }
        if self._usage is not None:
            body["usage"] = self._usage
        return answer_of(body)

    def _choice(self, index: int) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, **self._choices[index]}
        calls = self._calls[index]
        if calls:
            choice["message"] = {**choice["message"], "tool_calls": [calls[at] for at in sorted(calls)]}
        return choice


def answer_of(body: JsonObject) -> Answer:
    """Return a whole answer of any endpoint as an `Answer`, with the token counts of its usage block."""
    usage = body.get("usage")
    counts = usage if is_object(usage) else dict[str, Any]()
    read = _count(counts.get("prompt_tokens")) or _count(counts.get("input_tokens"))
    return Answer(body, read, _count(counts.get("completion_tokens")) or _count(counts.get("output_tokens")))


def assemble(chunks: Iterable[JsonObject]) -> Answer:
    """Return the whole answer of a stream."""
    assembler = Assembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler.answer()


def replay(body: JsonObject, *, include_usage: bool = False, words: int = 1) -> Iterator[JsonObject]:
    """Yield a whole answer as chunks: a role, the text, tool calls, the end, then usage if asked for.

    Args:
        words: of the text in one chunk.
    """
    head = {k: v for k, v in body.items() if k not in ("choices", "usage", "object")}
    head["object"] = "chat.completion.chunk"

    def chunk(index: int, delta: dict[str, Any], **more: Any) -> JsonObject:
        return {**head, "choices": [{"index": index, "delta": delta, "finish_reason": None, **more}]}

    for choice in body.get("choices") or ():
        index = int(choice.get("index") or 0)
        message: dict[str, Any] = dict(choice.get("message") or {})
        content = message.pop("content", None)
        calls = message.pop("tool_calls", None)
        spelled = isinstance(content, str) and content != ""
        yield chunk(index, {"role": message.pop("role", "assistant"), "content": "" if spelled else content})
        extra = {name: value for name, value in message.items() if value is not None}
        if extra:
            yield chunk(index, extra)
        logprobs = choice.get("logprobs")
        for word in pieces(content, words) if spelled else ():
            more = {"logprobs": logprobs} if logprobs is not None else {}
            logprobs = None
            yield chunk(index, {"content": word}, **more)
        if calls:
            yield chunk(index, {"tool_calls": [{**call, "index": at} for at, call in enumerate(calls)]})
        last = {name: value for name, value in choice.items() if name not in ("index", "message", "delta", "logprobs")}
        if logprobs is not None:
            last["logprobs"] = logprobs
        yield chunk(index, {}, **last)
    if include_usage and body.get("usage") is not None:
        yield {**head, "choices": [], "usage": body["usage"]}


def pieces(text: str, words: int = 1) -> list[str]:
    """Return a text in pieces of so many words, blanks included: joined, they are the text."""
    found = _WORDS.findall(text) or [text]
    return found if words == 1 else ["".join(found[at : at + words]) for at in range(0, len(found), words)]


def _add_tool_call(calls: dict[int, dict[str, Any]], piece: JsonObject) -> None:
    call = calls.setdefault(int(piece.get("index") or 0), {"id": None, "type": "function"})
    for name, value in piece.items():
        if name in ("id", "type"):  # sent once, or again in each piece
            call[name] = value or call[name]
        elif name != "index":
            call[name] = _joined(call.get(name), value)


def _joined(before: Any, value: Any) -> Any:
    """Return what two pieces of one field make together."""
    if value is None:
        return before
    if isinstance(before, str) and isinstance(value, str):
        return before + value
    if is_array(before) and is_array(value):
        return [*before, *value]
    if is_object(before) and is_object(value):
        return {**before, **{name: _joined(before.get(name), item) for name, item in value.items()}}
    return value


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
