"""The endpoints whose answers the front handles; all others pass through."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...middleware.chat import Assembler, answer_of
from ...middleware.chat import replay as replay_chat
from ...middleware.narrow import is_array, is_object
from ..openai import completions, messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ...middleware.errors import ShedError
    from ...middleware.records import Answer, JsonObject

DONE: Final = "[DONE]"
_WORDS: Final = 64
"""In a piece of a kept answer's stream: it is sent at once, and fewer pieces cost less."""
_LIMITED: Final = 429


class Assembling(Protocol):
    """Puts a stream's events together."""

    def add(self, data: str) -> bool:
        """Take the data of one event; return whether it brings output.

        Raises:
            ValueError: it is not of this endpoint; nothing will be kept.
        """
        ...

    def answer(self) -> Answer | None:
        """Return the whole answer, None where the stream has no proper end."""
        ...


class Endpoint(Protocol):
    """One endpoint.

    Attributes:
        name: `Request.endpoint`.
        content: the field of the body that holds what is asked.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def content(self) -> str: ...  # noqa: D102

    def messages(self, body: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return what is asked as chat messages, None where it cannot be read: the server will say what is wrong."""
        ...

    def whole(self, body: JsonObject) -> Answer | None:
        """Return the answer that a body is, None where it is none."""
        ...

    def assembler(self) -> Assembling:
        """Return what puts a stream together."""
        ...

    def fits(self, answer: JsonObject, body: Mapping[str, Any]) -> bool:
        """Return whether a kept answer holds all that this request wants to be sent."""
        ...

    def events(self, answer: JsonObject, body: Mapping[str, Any]) -> Iterator[str]:
        """Yield a kept answer as server-sent events."""
        ...

    def refusal(self, error: ShedError) -> JsonObject:
        """Return the body of a refusal."""
        ...


class _OpenAI:
    """What chat and text completions have in common."""

    def whole(self, body: JsonObject) -> Answer | None:
        return answer_of(body) if is_array(body.get("choices")) else None

    def fits(self, answer: JsonObject, body: Mapping[str, Any]) -> bool:
        # of a stream that was not asked for its usage, none is known
        wanted = body.get("stream") is not True or _wants_usage(body)
        return not wanted or answer.get("usage") is not None

    def refusal(self, error: ShedError) -> JsonObject:
        kind = "rate_limit_error" if error.status == _LIMITED else "overloaded_error"
        return {"error": {"message": str(error), "type": kind, "param": None, "code": error.reason}}


class Chat(_OpenAI):
    """``/v1/chat/completions``."""

    name = "chat"
    content = "messages"

    def messages(self, body: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return the messages as they are."""
        return _objects(body.get("messages"))

    def assembler(self) -> Assembling:
        """Return what puts chunks together."""
        return _Chunks(Assembler(), "delta")

    def events(self, answer: JsonObject, body: Mapping[str, Any]) -> Iterator[str]:
        """Yield chunks."""
        return _chunks(replay_chat(answer, include_usage=_wants_usage(body), words=_WORDS))


class Completions(_OpenAI):
    """``/v1/completions``."""

    name = "completions"
    content = "prompt"

    def messages(self, body: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return the prompts as one user message."""
        return completions.messages_of(body.get("prompt"))

    def assembler(self) -> Assembling:
        """Return what puts chunks together."""
        return _Chunks(completions.TextAssembler(), "text")

    def events(self, answer: JsonObject, body: Mapping[str, Any]) -> Iterator[str]:
        """Yield chunks."""
        return _chunks(completions.replay(answer, include_usage=_wants_usage(body), words=_WORDS))


class Messages:
    """``/v1/messages``, Anthropic's."""

    name = "messages"
    content = "messages"

    def messages(self, body: Mapping[str, Any]) -> Sequence[JsonObject] | None:
        """Return the messages as they are; their text blocks are OpenAI's, too."""
        return _objects(body.get("messages"))

    def whole(self, body: JsonObject) -> Answer | None:
        """Return a ``message``."""
        return answer_of(body) if body.get("type") == "message" else None

    def assembler(self) -> Assembling:
        """Return what puts events together."""
        return _Events()

    def fits(self, answer: JsonObject, body: Mapping[str, Any]) -> bool:
        """Return True: each form holds all there is."""
        del answer, body
        return True

    def events(self, answer: JsonObject, body: Mapping[str, Any]) -> Iterator[str]:
        """Yield events."""
        del body
        return messages.replay(answer, _WORDS)

    def refusal(self, error: ShedError) -> JsonObject:
        """Return Anthropic's form of an error."""
        kind = "rate_limit_error" if error.status == _LIMITED else "overloaded_error"
        return {"type": "error", "error": {"type": kind, "message": str(error)}}


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "/v1/chat/completions": Chat(),
    "/v1/completions": Completions(),
    "/v1/messages": Messages(),
}
"""By path."""


class _Adding(Protocol):
    def add(self, chunk: JsonObject) -> None: ...
    def answer(self) -> Answer: ...


class _Chunks:
    """OpenAI's chunks.

    Args:
        said: the field of a choice that holds its output.
    """

    _KNOWN: Final = frozenset({"index", "delta", "text", "logprobs"})

    def __init__(self, assembler: _Adding, said: str) -> None:
        self._assembler = assembler
        self._said = said
        self._once: dict[tuple[Any, str], Any] = {}
        self._pieces = 0
        self._done = False

    def add(self, data: str) -> bool:
        """Take a chunk."""
        if data == DONE:
            self._done = True
            return False
        chunk: Any = json.loads(data)
        if not is_object(chunk) or not is_array(chunk.get("choices")) or chunk.get("error") is not None:
            raise ValueError(type(chunk).__name__)
        said = False
        for choice in chunk["choices"]:
            for name in choice.keys() - self._KNOWN:
                # what comes in pieces that nobody here knows how to join: token ids, for one
                if (
                    choice[name] is not None
                    and self._once.setdefault((choice.get("index"), name), choice[name]) != (choice[name])
                ):
                    raise ValueError(name)
            said = said or _brings(choice.get(self._said))
        self._pieces += said
        self._assembler.add(chunk)
        return said

    def answer(self) -> Answer | None:
        """Return the whole answer; where the stream told no usage, a piece counts as a token."""
        if not self._done:
            return None
        answer = self._assembler.answer()
        return answer if answer.output_tokens else type(answer)(answer.body, answer.input_tokens, self._pieces)


class _Events:
    """Anthropic's events."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []

    def add(self, data: str) -> bool:
        """Take an event."""
        event: Any = json.loads(data)
        if not is_object(event):
            raise ValueError(type(event).__name__)
        self._events.append(event)
        return event.get("type") == "content_block_delta"

    def answer(self) -> Answer | None:
        """Return the whole message."""
        return messages.assemble(self._events)


def _brings(output: object) -> bool:
    """Return whether a text is not empty, or a delta holds more than a role."""
    return any(value for name, value in output.items() if name != "role") if is_object(output) else bool(output)


def _chunks(chunks: Iterator[JsonObject]) -> Iterator[str]:
    for chunk in chunks:
        yield f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n"
    yield f"data: {DONE}\n\n"


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return is_object(options) and options.get("include_usage") is True


def _objects(value: object) -> list[dict[str, Any]] | None:
    return list(value) if is_array(value) and value and all(is_object(item) for item in value) else None
