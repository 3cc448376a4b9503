"""Logged requests with their answers: lines of JSON that `forebay cache warm` reads.

Two shapes are known. Ours: ``{"request": …, "response": …}``, the bodies of OpenAI's chat completions, beside them where it
is known ``tenant``, ``model`` and ``created_s``. And LiteLLM's, its ``StandardLoggingPayload`` (what its callbacks write) or
a row of its spend logs: the client's own body is taken where it was logged (``proxy_server_request``), else the parameters
that LiteLLM sent, and who asked from the authenticated identity beside them.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ..bodies import changes_the_answer
from ..chat import answer_of
from ..narrow import is_array, is_object
from ..records import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..records import Answer

IDENTITY: Final[Mapping[str, tuple[str, str]]] = {
    "organization": ("organization_id", "user_api_key_org_id"),
    "team": ("team_id", "user_api_key_team_id"),
    "user": ("user", "user_api_key_user_id"),
    "key": ("api_key", "user_api_key_hash"),
    "end_user": ("end_user", "user_api_key_end_user_id"),
}
"""Parts of LiteLLM's authenticated identity, the widest first: their names in a row of the spend logs, and in the metadata
of a logging payload."""

_CHAT: Final = frozenset({"", "acompletion", "completion"})


class UnreadableError(ValueError):
    """A line that cannot be used; its text is a bounded label."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One request and what was answered.

    Attributes:
        created_s: when, None where the log does not say.
    """

    request: Request
    answer: Answer
    created_s: float | None = None


def read_line(line: str, *, tenant: str, parts: Sequence[str]) -> Logged:
    """Read one line.

    Args:
        tenant: for lines that name none.
        parts: of LiteLLM's identity that make a tenant, as in `litellm.tenant`.

    Raises:
        UnreadableError: it is neither shape, or not a whole chat completion.
    """
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise UnreadableError("not_json") from None
    if not is_object(found):
        raise UnreadableError("not_an_object")
    return _ours(found, tenant) if "request" in found else _litellm(found, tenant, parts)


def _ours(found: dict[str, Any], tenant: str) -> Logged:
    body: Any = found["request"]
    if not is_object(body):
        raise UnreadableError("no_request")
    named: Any = found.get("tenant", tenant)
    if not isinstance(named, str):
        raise UnreadableError("tenant_is_no_text")
    return _logged(body, found.get("model"), found.get("response"), named, found.get("created_s"))


def _litellm(found: dict[str, Any], tenant: str, parts: Sequence[str]) -> Logged:
    if found.get("call_type", "") not in _CHAT:
        raise UnreadableError("no_chat_completion")
    if found.get("status", "success") != "success":
        raise UnreadableError("failed")
    client: Any = _parsed(found.get("proxy_server_request"))
    model: Any = found.get("model_group") or found.get("model")
    if is_object(client) and "messages" in client:
        body = client
    else:
        given: Any = found.get("model_parameters")
        body = {**(given if is_object(given) else {}), "messages": _parsed(found.get("messages"))}
    moment: Any = found.get("endTime")
    return _logged(body, body.get("model") or model, found.get("response"), _tenant(found, parts) or tenant, moment)


def _logged(body: dict[str, Any], model: Any, response: Any, tenant: str, moment: Any) -> Logged:
    messages: Any = body.get("messages")
    if not (is_array(messages) and messages and all(is_object(message) for message in messages)):
        raise UnreadableError("no_messages")
    name = model or body.get("model")
    if not (isinstance(name, str) and name):
        raise UnreadableError("no_model")
    answer: Any = _parsed(response)
    if not (is_object(answer) and is_array(answer.get("choices")) and answer["choices"]):
        raise UnreadableError("no_answer")
    request = Request(
        id=f"warm-{uuid.uuid4().hex}",
        model=name,
        messages=messages,
        params={
            field: value
            for field, value in body.items()
            if value is not None and field != "messages" and changes_the_answer(field)
        },
        tenant=tenant,
    )
    return Logged(request, answer_of({"object": "chat.completion", **answer}), _seconds(moment, answer.get("created")))


def _tenant(found: dict[str, Any], parts: Sequence[str]) -> str:
    metadata: Any = _parsed(found.get("metadata"))
    beside: dict[str, Any] = metadata if is_object(metadata) else {}
    known = {part: str(found.get(row) or beside.get(noted) or "") for part, (row, noted) in IDENTITY.items()}
    if not any(known.values()):
        return ""
    if tuple(parts) == ("narrowest",):
        return "|".join(f"{part}={name}" for part, name in known.items() if name)
    return "|".join(f"{part}={known[part]}" for part in parts)


def _seconds(*moments: Any) -> float | None:
    """Return the first of these that is a moment, in seconds of the Unix epoch."""
    for moment in moments:
        if isinstance(moment, (int, float)) and not isinstance(moment, bool) and moment > 0:
            return float(moment)
        if isinstance(moment, str):
            try:
                return datetime.fromisoformat(moment).timestamp()
            except ValueError:
                continue
    return None


def _parsed(value: Any) -> Any:
    """Return a value that a database may have written as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
