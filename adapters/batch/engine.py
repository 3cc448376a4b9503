"""The endpoints of one OpenAI-compatible server beside chat, which the engine itself answers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import httpx

from ...middleware.chat import answer_of
from ...middleware.errors import EngineError
from ...middleware.narrow import is_array, is_object
from ...middleware.records import Answer
from .lines import inputs_of, prompt_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ...middleware.protocols import Engine
    from ...middleware.records import JsonObject, Request

PATHS: Final[Mapping[str, str]] = {"completions": "/completions", "embeddings": "/embeddings"}
_CONNECT_TIMEOUT_S: Final = 10.0


class Endpoints:
    """An engine that answers text completions and embeddings, too.

    Args:
        chat: answers all else.
        base_url: of the same server's API, with its version.
        api_key: sent as bearer token, "" for none.
        timeout_s: the longest an answer may take.
        model: asked for instead of the model a request names, None to ask for that.
    """

    def __init__(self, chat: Engine, *, base_url: str, api_key: str, timeout_s: float, model: str | None) -> None:
        self._chat = chat
        self._base_url = base_url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout_s = timeout_s
        self._model = model
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
        self._client = httpx.AsyncClient(timeout=timeout, limits=limits)

    async def stop(self) -> None:
        """Close all connections of its own."""
        await self._client.aclose()

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return a whole answer; of embeddings one body a vector, under "parts" where there are several.

        Raises:
            EngineError: the engine refused, failed, or answered with something else.
        """
        path = PATHS.get(request.endpoint)
        if path is None:
            return await self._chat.complete(request, headers)
        asked = {"prompt": prompt_of(request)} if request.endpoint == "completions" else {"input": inputs_of(request)}
        body = await self._posted(path, {**request.params, **asked, "model": self._model or request.model}, headers)
        return answer_from(request, body)

    def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncIterator[JsonObject]:
        """Yield chunks of a chat answer."""
        return self._chat.stream(request, headers)

    async def _posted(self, path: str, body: JsonObject, headers: Mapping[str, str]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.post(
                    f"{self._base_url}{path}", content=json.dumps(body), headers={**headers, **self._headers}
                )
        except TimeoutError as error:
            raise EngineError(f"the engine said nothing for {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EngineError(f"the engine cannot be reached ({type(error).__name__})") from error
        if not response.is_success:
            raise EngineError(f"the engine answered with status {response.status_code}", status=response.status_code)
        try:
            found: Any = response.json()
        except ValueError:
            raise EngineError("the engine's answer is not JSON") from None
        if not is_object(found):
            raise EngineError("the engine's answer is not a JSON object")
        return found


def answer_from(request: Request, body: dict[str, Any]) -> Answer:
    """Return the answer that a body of OpenAI's API holds; of embeddings as `Endpoints.complete` does.

    Raises:
        EngineError: it holds none, or one to another request.
    """
    if request.endpoint == "chat":
        return answer_of(body)
    return _completion(body) if request.endpoint == "completions" else _vectors(body, len(request.messages))


def _completion(body: dict[str, Any]) -> Answer:
    if not is_array(body.get("choices")):
        raise EngineError("the engine's answer has no choices", status=200)
    return answer_of(body)


def _vectors(body: dict[str, Any], number: int) -> Answer:
    rows: Any = body.get("data")
    if not (is_array(rows) and len(rows) == number and all(is_object(row) for row in rows)):
        raise EngineError("the engine's answer has another number of vectors than inputs", status=200)
    ordered = sorted(rows, key=lambda row: int(row.get("index") or 0))
    parts = [{"embedding": row.get("embedding"), "model": body.get("model")} for row in ordered]
    return Answer(parts[0] if number == 1 else {"parts": parts}, answer_of(body).input_tokens)
