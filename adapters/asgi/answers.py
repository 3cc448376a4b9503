"""Responses of our own, as ASGI messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from .source import BODY, START

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .types import Headers, Message

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream; charset=utf-8"


def encoded(headers: Mapping[str, str]) -> Headers:
    """Return headers as ASGI wants them."""
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def whole(body: Mapping[str, Any], headers: Headers, *, status: int = 200) -> Iterator[Message]:
    """Yield a JSON object."""
    text = json.dumps(body, separators=(",", ":"), default=dict).encode()
    fixed = encoded({"content-type": JSON, "content-length": str(len(text))})
    yield {"type": START, "status": status, "headers": [*fixed, *headers]}
    yield {"type": BODY, "body": text, "more_body": False}


def stream(events: Iterable[str], headers: Headers) -> Iterator[Message]:
    """Yield server-sent events."""
    fixed = encoded({"content-type": EVENTS, "cache-control": "no-cache"})
    yield {"type": START, "status": 200, "headers": [*fixed, *headers]}
    for event in events:
        yield {"type": BODY, "body": event.encode(), "more_body": True}
    yield {"type": BODY, "body": b"", "more_body": False}
