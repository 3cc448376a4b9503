"""An embedding model through LiteLLM as a library: any of its providers, in the proxy or outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import litellm

from ...middleware.errors import EmbedderError
from .remote import REFUSALS, RefusedError, RemoteEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .remote import Remote

ALONE: Final[dict[str, Any]] = {
    # inside the proxy these calls must not come back to forebay, nor into the operator's cache and logs: they are made
    # while a request is looked up, and hold its question
    "caching": False,
    "cache": {"no-cache": True, "no-store": True},
    "no-log": True,
    # one attempt: whoever waits has a deadline (for OpenAI's API LiteLLM takes 0 for 2; the deadline holds all the same)
    "num_retries": 0,
    "max_retries": 0,
}
"""Sent along with each call."""


class LiteLLMEmbedder(RemoteEmbedder):
    """Calls ``litellm.aembedding``.

    Args:
        remote: its model is named as LiteLLM does, with the provider: ``azure/my-deployment``.
        api_base: None for the provider's own.
        api_key: None for the environment variable that LiteLLM reads for this provider.
    """

    def __init__(self, remote: Remote, *, api_base: str | None = None, api_key: str | None = None) -> None:
        super().__init__("litellm", remote)
        given = {"api_base": api_base, "api_key": api_key, "dimensions": self.shortened}
        self._model = remote.model
        self._arguments: dict[str, Any] = {
            **{name: value for name, value in given.items() if value is not None},
            **ALONE,
            "model": remote.model,
            "timeout": remote.timeout_s,
        }

    async def ask(self, texts: Sequence[str]) -> object:
        """Make the call. What LiteLLM says of a failure is left out: it may quote the texts."""
        call: Any = litellm.aembedding  # pyright: ignore[reportUnknownMemberType]  (untyped keyword arguments)
        try:
            response: Any = await call(input=list(texts), **self._arguments)
            return response.model_dump()
        except Exception as error:
            status: Any = getattr(error, "status_code", None)
            kind = RefusedError if status in REFUSALS else EmbedderError
            raise kind(f"LiteLLM could not embed with {self._model!r} ({type(error).__name__})") from None
