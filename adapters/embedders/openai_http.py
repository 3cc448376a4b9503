"""An embedding model behind OpenAI's HTTP API: a provider, vLLM, llama.cpp's server, Ollama, a LiteLLM proxy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from ...middleware.errors import EmbedderError
from .remote import REFUSALS, RefusedError, RemoteEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .remote import Remote


class OpenAIHTTPEmbedder(RemoteEmbedder):
    """Posts to ``{base_url}/embeddings``.

    Args:
        base_url: of the API, with its version: ``https://api.openai.com/v1``.
        api_key: sent as bearer token, "" for none.
    """

    def __init__(self, remote: Remote, *, base_url: str, api_key: str = "") -> None:
        super().__init__("openai", remote)
        self._url = f"{base_url.rstrip('/')}/embeddings"
        # the API may be a proxy that forebay runs in: this request is not to be looked up there
        self._headers = {"x-forebay-bypass": "1", **({"Authorization": f"Bearer {api_key}"} if api_key else {})}
        self._fields: dict[str, Any] = {"model": remote.model, "encoding_format": "float"}
        if self.shortened is not None:
            self._fields["dimensions"] = self.shortened
        self._timeout_s = remote.timeout_s
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Open the connection pool."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=self._timeout_s)

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def ask(self, texts: Sequence[str]) -> object:
        """Post the texts. What httpx and the server say is left out: it may quote them."""
        if self._client is None:
            raise EmbedderError("the embedder is not running; start() it first")
        try:
            response = await self._client.post(
                self._url, json={**self._fields, "input": list(texts)}, headers=self._headers
            )
        except httpx.TimeoutException:
            raise EmbedderError(f"the embedding model did not answer within {self._timeout_s:g} s") from None
        except httpx.ConnectError:
            raise EmbedderError("the embedding model cannot be reached; is embedder.base_url right?") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EmbedderError(f"the connection to the embedding model failed ({type(error).__name__})") from None
        if not response.is_success:
            kind = RefusedError if response.status_code in REFUSALS else EmbedderError
            raise kind(f"the embedding model answered with status {response.status_code}{_hint(response.status_code)}")
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            raise EmbedderError("the embedding model's answer is not JSON") from None


def _hint(status: int) -> str:
    fixes = {401: "embedder.api_key", 403: "embedder.api_key", 404: "embedder.base_url and embedder.model"}
    return f"; check {fixes[status]}" if status in fixes else ""
