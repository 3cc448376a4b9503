"""From an HTTP request to a `Request`."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ...middleware.bodies import changes_the_answer
from ...middleware.inbound import controls_in, hints_in, sounds_secret
from ...middleware.narrow import is_object
from ...middleware.records import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.keys import Keyring
    from ...middleware.records import Controls
    from .endpoints import Endpoint

ANYBODY: Final = "default"
"""The tenant of callers without credentials."""
_NO_CREDENTIALS: Final = frozenset({"idempotency-key", "sec-websocket-key"})
_OWNERS: Final = frozenset({"openai-organization", "openai-project"})
_ANSWERED_BY: Final = ("anthropic-beta", "anthropic-version", "openai-beta")
"""Headers that change the answer."""
_NAME_CHARS: Final = 32


def body_of(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Return a request's body, None where it is no plain JSON object: the server will say what is wrong."""
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return None
    if headers.get("content-type", "application/json").partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if is_object(data) else None


def tenant_of(headers: Mapping[str, str], query: bytes, keyring: Keyring, header: str | None = None) -> str:
    """Return who may share answers with whom: what a trusted header says, else a digest of the caller's credentials.

    Credentials are all headers whose names sound like one, and a query, which may hold one.

    Args:
        header: the trusted header's name, None where there is none.
    """
    if header is not None and headers.get(header.lower()):
        return headers[header.lower()]
    fields = [f"{name}={value}" for name, value in sorted(headers.items()) if _tells_who(name)]
    if query:
        fields.append(query.decode("latin-1"))
    return keyring.digest("credentials", *fields)[:_NAME_CHARS] if fields else ANYBODY


def request_of(
    endpoint: Endpoint,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    query: bytes,
    *,
    tenant: str,
    keyring: Keyring,
) -> Request | None:
    """Return the request in our terms, None where it is not one we can read: the server will say what is wrong."""
    messages, model, stream = endpoint.messages(body), body.get("model"), body.get("stream")
    if messages is None or not isinstance(model, str | None) or not isinstance(stream, bool | None):
        return None
    params = {
        name: value
        for name, value in body.items()
        if value is not None and name != endpoint.content and changes_the_answer(name)
    }
    params |= {f"header.{name}": headers[name] for name in _ANSWERED_BY if headers.get(name)}
    if query:
        params["query"] = keyring.digest("query", query)
    return Request(
        id=f"fb-{uuid.uuid4().hex}",
        model=model or "",
        messages=messages,
        params=params,
        tenant=tenant,
        endpoint=endpoint.name,
        stream=stream is True,
        controls=_controls(headers, body),
        labels={} if tenant == ANYBODY else {"key": tenant[:12]},
        hints=hints_in(headers, body),
    )


def form_of(request: Request, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Return the same text for equal requests whose responses are alike byte for byte."""
    options = json.dumps(body.get("stream_options"), sort_keys=True, default=str)
    return "|".join((str(request.stream), options, headers.get("accept", ""), headers.get("accept-encoding", "")))


def _controls(headers: Mapping[str, str], body: Mapping[str, Any]) -> Controls:
    said = controls_in(headers)
    options = body.get("stream_options")
    beside = is_object(options) and any(value for name, value in options.items() if name != "include_usage")
    if body.get("stream") is True and (beside or body.get("return_token_ids")):
        # each piece brings what a kept answer would bring all at once
        return replace(said, no_cache=True, no_store=True)
    return said


def _tells_who(name: str) -> bool:
    return (sounds_secret(name) and name not in _NO_CREDENTIALS) or name in _OWNERS
