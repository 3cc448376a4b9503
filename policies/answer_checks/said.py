"""What the choices of a chat or text completion say, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .chat import items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...middleware.records import Answer, Request


def texts_of(request: Request, answer: Answer) -> Iterator[str]:
    """Yield the text of each choice that is only text: those that call tools are left out, other formats, too."""
    body: Any = answer.body
    if request.endpoint not in ("chat", "tokens", "completions") or not isinstance(body, Mapping):
        return
    for choice in items(cast("Mapping[str, Any]", body).get("choices")):
        fields = _fields(choice)
        message = _fields(fields.get("message"))
        said = fields.get("text") if request.endpoint == "completions" else message.get("content")
        if isinstance(said, str) and not message.get("tool_calls") and not message.get("function_call"):
            yield said


def asked_texts(request: Request) -> Iterator[str]:
    """Yield the plain texts that say what is wanted: those of the system, and the last one of the user."""
    last = ""
    for message in request.messages:
        text: Any = _fields(message).get("content")
        if isinstance(text, str):
            role: Any = message.get("role")
            if role in ("system", "developer"):
                yield text
            elif role == "user":
                last = text
    yield last


def _fields(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
