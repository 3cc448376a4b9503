"""The app behind us as an engine, for calls that nobody waits for."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from ...middleware.chat import answer_of, replay
from ...middleware.errors import EngineError
from ...middleware.narrow import is_array, is_object
from .answers import JSON, encoded
from .inner import AppFailedError, InnerCall
from .source import START

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from ...middleware.records import Answer, JsonObject, Request
    from .types import App, Scope

PATH: Final = "/v1/chat/completions"
_OK: Final = 200
_UNSENT: Final = ("query", "stream", "stream_options")


class AppEngine:
    """Sends chat requests to the app, past its own front: no cache is asked, and nothing is queued twice.

    Args:
        key: sent as bearer token, "" for none.
    """

    def __init__(self, app: App, key: str) -> None:
        self._app = app
        self._authorization = {"authorization": f"Bearer {key}"} if key else {}

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return a whole answer.

        Raises:
            EngineError: the request is no chat, or the app refused or failed.
        """
        if request.endpoint != "chat":
            raise EngineError("only chat requests can be asked in the background")
        params = {name: value for name, value in request.params.items() if name not in _UNSENT and "." not in name}
        body = {**params, "messages": list(request.messages), "stream": False}
        if request.model:
            body["model"] = request.model
        sent = json.dumps(body, default=dict).encode()
        status, received = 0, bytearray()
        call = InnerCall(
            self._app,
            self._scope({**headers, "content-length": str(len(sent))}),
            [{"type": "http.request", "body": sent, "more_body": False}],
        )
        try:
            async with aclosing(call.messages()) as messages:
                async for message in messages:
                    if message["type"] == START:
                        status = message["status"]
                    else:
                        received += message.get("body", b"")
        except AppFailedError as failed:
            raise EngineError(f"the server failed ({failed})") from None
        if status != _OK:
            raise EngineError(f"the server answered with status {status}", status=status)
        try:
            answer: Any = json.loads(received)
        except ValueError:
            answer = None
        if not is_object(answer) or not is_array(answer.get("choices")):
            raise EngineError("the server's answer is no chat completion", status=status)
        return answer_of(answer)

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncGenerator[JsonObject, None]:
        """Yield the whole answer as chunks: nobody waits for its pieces."""
        for chunk in replay((await self.complete(request, headers)).body, include_usage=True):
            yield chunk

    def _scope(self, headers: Mapping[str, str]) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": PATH,
            "raw_path": PATH.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": encoded({"host": "localhost", "content-type": JSON, **self._authorization, **headers}),
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
        }
