"""An engine behind OpenAI's HTTP API: vLLM, llama.cpp's server, a provider."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

from ...middleware.errors import EngineError
from ...middleware.events import Health
from ...middleware.records import Answer
from .sse import EventParser, EventStreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence

    from ...middleware.records import JsonObject, Request

DONE: Final = "[DONE]"
_READY_TIMEOUT_S: Final = 5.0
_CONNECT_TIMEOUT_S: Final = 10.0
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_CLIENT_ERROR: Final = 400


class OpenAIHTTPEngine:
    """Posts to ``{base_url}/chat/completions``.

    It sets no limit of its own on calls in flight: that is the admit stop's. It does not retry, either.

    Args:
        base_url: of the API, with its version: ``http://127.0.0.1:8000/v1``.
        api_key: sent as bearer token, "" for none.
        timeout_s: the longest a whole answer may take; of a stream, the longest silence.
        model: asked for instead of the model a request names, None to ask for that.
    """

    def __init__(self, *, base_url: str, api_key: str = "", timeout_s: float = 600.0, model: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout_s = timeout_s
        self._model = model
        self._client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Open the connection pool; nothing is sent."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(self._timeout_s, connect=min(_CONNECT_TIMEOUT_S, self._timeout_s)),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            )

    async def stop(self) -> None:
        """Close all connections, those in use included."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def check_ready(self) -> Sequence[Health]:
        """Ask for the list of models."""
        try:
            response = await self._open().get(
                f"{self._base_url}/models", headers=self._authorization, timeout=_READY_TIMEOUT_S
            )
        except (httpx.HTTPError, httpx.InvalidURL, EngineError) as error:
            detail, ok = f"{self._base_url} does not answer ({type(error).__name__})", False
        else:
            detail, ok = f"{self._base_url} answers with status {response.status_code}", response.is_success
        fix = "" if ok else "start the engine, or correct engine.base_url and engine.api_key"
        return [Health(name="engine", ok=ok, detail=detail, fix=fix)]

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return a whole answer.

        Args:
            request: what to compute.
            headers: sent along (trace context).

        Raises:
            EngineError: the engine refused, failed, took longer than `timeout_s` or answered with something else.
        """
        with _translated(self._timeout_s):
            async with asyncio.timeout(self._timeout_s):
                response = await self._open().post(
                    f"{self._base_url}/chat/completions",
                    content=self._body(request, stream=False),
                    headers=self._headers(headers),
                )
        if not response.is_success:
            raise _refused(response.status_code, response.content)
        body = _object(response.content)
        if not isinstance(body.get("choices"), list):
            raise _error_of(body) or EngineError("the engine's answer has no choices", status=response.status_code)
        usage: Any = body.get("usage")
        return Answer(body, _tokens(usage, "prompt_tokens"), _tokens(usage, "completion_tokens"))

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncIterator[JsonObject]:
        """Yield ``chat.completion.chunk`` objects, the last of them with the usage; closing it closes the connection.

        Args:
            request: what to compute.
            headers: sent along (trace context).

        Raises:
            EngineError: the engine refused, failed, fell silent for `timeout_s`, sent something else, or ended
                without ``[DONE]``: what was sent until then is not a whole answer.
        """
        parser = EventParser()
        with _translated(self._timeout_s):
            async with self._response(request, headers) as response:
                async for received in response.aiter_bytes():
                    for event in parser.feed(received):
                        if event == DONE:
                            return
                        yield _chunk(event)
        for event in parser.close():
            if event == DONE:
                return
            yield _chunk(event)
        raise EngineError("the engine's stream ended before it was complete")

    @asynccontextmanager
    async def _response(self, request: Request, headers: Mapping[str, str]) -> AsyncGenerator[httpx.Response]:
        async with self._open().stream(
            "POST",
            f"{self._base_url}/chat/completions",
            content=self._body(request, stream=True),
            headers={**self._headers(headers), "Accept": "text/event-stream"},
        ) as response:
            if not response.is_success:
                raise _refused(response.status_code, await response.aread())
            yield response

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            raise EngineError("the engine's client is not running; start() it first")
        return self._client

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {**headers, **self._authorization, "Content-Type": "application/json"}

    def _body(self, request: Request, *, stream: bool) -> bytes:
        params = dict(request.params)
        options: Any = params.pop("stream_options", None)
        if stream:
            params["stream_options"] = {**_mapping(options), "include_usage": True}
        body = {
            **params,
            "model": self._model or request.model,
            "messages": list(request.messages),
            "stream": stream,
        }
        try:
            return json.dumps(body, allow_nan=False, default=_plain).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise EngineError(f"the request cannot be written as JSON ({type(error).__name__})") from None


@contextmanager
def _translated(timeout_s: float) -> Generator[None]:
    """Turn what httpx and the parser raise into `EngineError`; their texts are left out: they may quote the answer."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        if isinstance(error, httpx.ConnectTimeout):
            raise EngineError("the engine cannot be reached (timeout)") from error
        raise EngineError(f"the engine said nothing for {timeout_s:g} s") from error
    except httpx.ConnectError as error:
        raise EngineError("the engine cannot be reached; is engine.base_url right?") from error
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        raise EngineError(f"the connection to the engine failed ({type(error).__name__})") from error
    except EventStreamError as error:
        raise EngineError(f"the engine's stream is malformed: {error}") from error


def _chunk(event: str) -> JsonObject:
    body = _object(event)
    if "choices" not in body:
        raise _error_of(body) or EngineError("the engine's stream holds something that is no chunk")
    return body


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise EngineError("the engine's answer is not JSON") from None
    if not isinstance(body, dict):
        raise EngineError("the engine's answer is not a JSON object")
    return cast("dict[str, Any]", body)


def _refused(status: int, content: bytes) -> EngineError:
    try:
        error = _error_of(_object(content), status)
    except EngineError:
        error = None
    return error or EngineError(f"the engine answered with status {status}", status=status)


def _error_of(body: Mapping[str, Any], status: int | None = None) -> EngineError | None:
    """Return the error an OpenAI body tells of: status, type and code. Its message may quote the prompt."""
    told: Any = body.get("error")
    if told is None:
        return None
    fields = _mapping(told)
    code: Any = fields.get("code")
    if status is None and isinstance(code, int) and _CLIENT_ERROR <= code < 600:  # noqa: PLR2004 - HTTP's last status
        status = code
    labels = [label for label in (fields.get("type"), code) if isinstance(label, str) and _LABEL.fullmatch(label)]
    about = f" ({', '.join(labels)})" if labels else ""
    what = "an error" if status is None else f"status {status}"
    return EngineError(f"the engine answered with {what}{about}", status=status)


def _tokens(usage: Any, name: str) -> int:
    count: Any = _mapping(usage).get(name)
    return count if isinstance(count, int) and count > 0 else 0


def _mapping(value: Any) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, Mapping) else {}


def _plain(value: Any) -> Any:
    """Write the read-only mappings that records may hold."""
    if isinstance(value, Mapping):
        return dict(cast("JsonObject", value))
    raise TypeError(type(value).__name__)
