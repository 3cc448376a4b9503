"""ASGI 3's shapes: https://asgi.readthedocs.io/en/latest/specs/www.html."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]


def path_of(scope: Scope) -> str:
    """Return a request's path inside the app: without the prefix under which a server or a mount has it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def text_headers(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name; of several with one name all values, joined."""
    found: dict[str, str] = {}
    for raw_name, raw in scope.get("headers") or ():
        name, value = raw_name.decode("latin-1").lower(), raw.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def header_of(headers: Headers, name: bytes) -> str:
    """Return the value of a response's header, "" where it has none."""
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


def headers_in(message: Message) -> Headers:
    """Return the headers that begin a response."""
    given: Headers = list(message.get("headers", ()))
    return given
