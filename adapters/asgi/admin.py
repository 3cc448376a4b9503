"""``/forebay/cache/forget`` and ``/forebay/cache/bump``: what drops kept answers, for an administrator."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from ...middleware.invalidation_calls import BAD_REQUEST, PATHS, call
from .answers import whole
from .body import Incoming, Outgoing
from .types import path_of, text_headers

if TYPE_CHECKING:
    from ...middleware.runtime import Runtime
    from .types import Receive, Scope, Send

KEY_HEADER: Final = "x-forebay-admin-key"
UNAUTHORIZED: Final = 401
_MOST_BYTES: Final = 1 << 20


def is_admins(runtime: Runtime, scope: Scope) -> bool:
    """Return whether a request is for us: without ``front.admin_key`` there is no such path here."""
    return runtime.config.front.admin_key is not None and scope["method"] == "POST" and path_of(scope) in PATHS


async def administer(runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Do what an administrator says, and answer how that went."""
    outgoing = Outgoing(send)
    if not _may(runtime.config.front.admin_key or "", text_headers(scope).get(KEY_HEADER, "")):
        await outgoing.send_all(whole({"error": f"{KEY_HEADER} is not front.admin_key"}, [], status=UNAUTHORIZED))
        return
    read = await Incoming(receive).body(_MOST_BYTES)
    try:
        body: Any = json.loads(read) if read else None
        fits = read is not None
    except (ValueError, RecursionError):
        body, fits = None, False
    if not fits:
        await outgoing.send_all(whole({"error": "the body is not JSON, or too long"}, [], status=BAD_REQUEST))
        return
    made = await call(runtime, path_of(scope), body)
    await outgoing.send_all(whole(made.body, [], status=made.status))


def _may(key: str, said: str) -> bool:
    return bool(key) and hmac.compare_digest(key.encode(), said.encode("utf-8", "surrogatepass"))
