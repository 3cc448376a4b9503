"""LiteLLM's response cache with our backend: the one way to hand an answer out that keeps every field.

LiteLLM asks the backend for an answer after the deployment was chosen and gives it one after the call. The
backend only passes both on to the bridge: what to answer was decided by the lookup, what to keep is decided
by the settle stop. LiteLLM's own cache key has no tenant in it and is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import litellm
from litellm.caching.base_cache import BaseCache
from litellm.caching.caching import Cache

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL_TYPES: Final = ("acompletion",)
"""The calls whose answers forebay handles; all others do not see the backend at all."""


class Exchange(Protocol):
    """Who decides what is handed out and what is kept: the bridge."""

    async def hand_out(self, kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer of a hit in LiteLLM's form."""
        ...

    def take_in(self, kwargs: Mapping[str, Any], value: object) -> None:
        """Take the answer of a call."""
        ...

    async def stop(self) -> None:
        """Stop: LiteLLM shuts down."""
        ...


class ForebayBackend(BaseCache):
    """The cache backend LiteLLM talks to."""

    def __init__(self, bridge: Exchange) -> None:
        super().__init__()
        self._bridge = bridge

    async def async_get_cache(self, key: Any, **kwargs: Any) -> Any:
        """Return ``{"timestamp": …, "response": JSON text}`` for a hit, None otherwise."""
        del key
        return await self._bridge.hand_out(kwargs)

    async def async_set_cache(self, key: Any, value: Any, **kwargs: Any) -> None:
        """Take the answer of a call; LiteLLM may bring it twice."""
        del key
        self._bridge.take_in(kwargs, value)

    async def async_set_cache_pipeline(self, cache_list: Any, **kwargs: Any) -> None:
        """Embeddings come here; they are not handled yet."""

    def get_cache(self, key: Any, **kwargs: Any) -> Any:
        """Synchronous calls are not handled."""
        del key, kwargs

    def set_cache(self, key: Any, value: Any, **kwargs: Any) -> None:
        """Synchronous calls are not handled."""

    async def disconnect(self) -> None:
        """LiteLLM shuts down: the only such notice a callback gets."""
        await self._bridge.stop()


def install(bridge: Exchange) -> Cache | None:
    """Make our backend LiteLLM's response cache; None where the operator configured one, which is left alone."""
    if litellm.cache is not None:
        return None
    # max_messages: the default of 4 would neither read nor keep longer conversations
    cache = Cache(
        _backend=ForebayBackend(bridge),
        max_messages=None,
        ttl=None,
        supported_call_types=list(CALL_TYPES),
    )
    litellm.cache = cache
    return cache
