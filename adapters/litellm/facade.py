"""LiteLLM's response cache, replaced: the one way to hand an answer out that keeps every field.

LiteLLM asks its cache for an answer after the deployment was chosen and gives it one after the call. Ours passes both
on to the bridge: what to answer was decided by the lookup, what to keep is decided by the settle stop. A cache that the
operator configured is wrapped, not displaced: it is asked where forebay has no answer, and gets every answer it would
have got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import litellm
from litellm.caching.base_cache import BaseCache
from litellm.caching.caching import Cache

from ...middleware.narrow import is_object
from .endpoints import ENDPOINTS
from .thrift import remember_signatures, skip_the_logging_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_PREFIX: Final = "forebay:"
"""How the cache keys begin that forebay gives LiteLLM; they name a kept answer, or an embedding item of a call."""
NO_KEY: Final = f"{KEY_PREFIX}none"
MAX_ITEM_KEYS: Final = 10_000


class Exchange(Protocol):
    """Who decides what is handed out and what is kept: the bridge. Raises nothing but refusals."""

    def key_of(self, kwargs: Mapping[str, Any]) -> str | None:
        """Return the cache key of a call, or of the embedding item it is asked for, None where it is not ours."""
        ...

    async def hand_out(self, kwargs: Mapping[str, Any]) -> object:
        """Return the answer of a hit in LiteLLM's form, None where there is none."""
        ...

    def take_in(self, kwargs: Mapping[str, Any], value: object) -> None:
        """Take the answer of a call."""
        ...

    def asked_host(self, kwargs: Mapping[str, Any]) -> bool:
        """Return whether the operator's own cache was asked for this attempt already."""
        ...

    async def stop(self) -> None:
        """Stop: LiteLLM shuts down."""
        ...


class _NoBackend(BaseCache):
    """Stands where LiteLLM expects a backend; the cache above it keeps nothing there."""

    async def async_get_cache(self, key: Any, **kwargs: Any) -> Any:
        del key, kwargs

    async def async_set_cache(self, key: Any, value: Any, **kwargs: Any) -> None:
        del key, value, kwargs

    async def async_set_cache_pipeline(self, cache_list: Any, **kwargs: Any) -> None:
        del cache_list, kwargs

    def get_cache(self, key: Any, **kwargs: Any) -> Any:
        del key, kwargs

    def set_cache(self, key: Any, value: Any, **kwargs: Any) -> None:
        del key, value, kwargs

    async def disconnect(self) -> None:
        """Nothing is open."""


class ForebayCache(Cache):
    """The cache LiteLLM talks to.

    Args:
        inner: the operator's own cache, None where there is none.
    """

    # LiteLLM's cache routes walk through `vars` of its cache and show them: what is in slots they do not see
    __slots__ = ("_bridge", "_item_keys", "inner")

    def __init__(self, bridge: Exchange, inner: Any) -> None:
        make: Any = super().__init__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  (half typed)
        # max_messages: the default of 4 would neither read nor keep longer conversations
        make(_backend=_NoBackend(), max_messages=None, ttl=None, supported_call_types=list(ENDPOINTS))
        self._bridge = bridge
        self._item_keys: dict[str, str] = {}
        self.inner = inner
        theirs: Any = self
        theirs.type = "forebay"
        if inner is not None:
            # LiteLLM's cache routes and health look at these
            self.cache = inner.cache
            theirs.type, theirs.namespace = inner.type, inner.namespace
            theirs.supported_call_types = [*ENDPOINTS, *(inner.supported_call_types or ())]

    def get_cache_key(self, **kwargs: Any) -> str:
        """Return our key of a call of ours, else the one the operator's cache would use."""
        try:
            key = self._bridge.key_of(kwargs)
        except Exception:  # fail open: no key is no hit
            key = None
        if key is None:
            return NO_KEY if self.inner is None else str(self.inner.get_cache_key(**kwargs))
        if self.inner is not None and is_item_key(key):
            # LiteLLM asks for an item by its key alone: the operator's cache must be asked for it by another
            if len(self._item_keys) > MAX_ITEM_KEYS:
                self._item_keys.clear()
            self._item_keys[key] = str(self.inner.get_cache_key(**kwargs))
        return key

    async def async_get_cache(self, dynamic_cache_object: Any = None, **kwargs: Any) -> Any:
        """Return the answer of a hit of ours, else what the operator's cache has."""
        value = await self._bridge.hand_out(kwargs)
        if value is not None or self.inner is None or self._bridge.asked_host(kwargs):
            return value
        key = str(kwargs.get("cache_key"))
        if is_item_key(key):
            theirs = self._item_keys.pop(key, None)
            if theirs is None:
                return None
            return await self.inner.async_get_cache(dynamic_cache_object=dynamic_cache_object, cache_key=theirs)
        return await self.ask_inner(kwargs, dynamic_cache_object)

    async def ask_inner(self, kwargs: Mapping[str, Any], dynamic_cache_object: Any = None) -> Any:
        """Ask the operator's cache under its own key."""
        return await self.inner.async_get_cache(dynamic_cache_object=dynamic_cache_object, **without_our_key(kwargs))

    async def async_add_cache(self, result: Any, dynamic_cache_object: Any = None, **kwargs: Any) -> None:
        """Take the answer of a call; LiteLLM may bring it twice."""
        self._bridge.take_in(kwargs, result)
        if self.inner is not None:
            await self.inner.async_add_cache(
                result, dynamic_cache_object=dynamic_cache_object, **without_our_key(kwargs)
            )

    async def async_add_cache_pipeline(self, result: Any, dynamic_cache_object: Any = None, **kwargs: Any) -> None:
        """Take the vectors of the embedding items that were computed."""
        self._bridge.take_in(kwargs, result)
        if self.inner is not None:
            await self.inner.async_add_cache_pipeline(
                result, dynamic_cache_object=dynamic_cache_object, **without_our_key(kwargs)
            )

    def get_cache(self, dynamic_cache_object: Any = None, **kwargs: Any) -> Any:
        """Synchronous calls are the operator's cache's alone."""
        if self.inner is None:
            return None
        return self.inner.get_cache(dynamic_cache_object=dynamic_cache_object, **without_our_key(kwargs))

    def add_cache(self, result: Any, **kwargs: Any) -> None:
        """Synchronous calls are the operator's cache's alone."""
        if self.inner is not None:
            self.inner.add_cache(result, **without_our_key(kwargs))

    async def disconnect(self) -> None:
        """LiteLLM shuts down: the only such notice a callback gets."""
        try:
            await self._bridge.stop()
        finally:
            if self.inner is not None:
                await self.inner.disconnect()


def install(bridge: Exchange) -> ForebayCache:
    """Make ours LiteLLM's response cache, around the one that is there."""
    inner = litellm.cache
    cache = ForebayCache(bridge, inner.inner if isinstance(inner, ForebayCache) else inner)
    litellm.cache = cache
    if cache.inner is None:
        skip_the_logging_thread()
    remember_signatures()
    return cache


def is_item_key(key: str) -> bool:
    """Return whether a cache key names an embedding item of a call."""
    return key.startswith(KEY_PREFIX) and key.count(":") > 1


def without_our_key(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments without a key of ours: the operator's cache makes its own."""
    cleaned = dict(kwargs)
    if str(cleaned.get("cache_key") or "").startswith(KEY_PREFIX):
        del cleaned["cache_key"]
    params = cleaned.get("litellm_params")
    if is_object(params) and str(params.get("preset_cache_key") or "").startswith(KEY_PREFIX):
        cleaned["litellm_params"] = {name: value for name, value in params.items() if name != "preset_cache_key"}
    return cleaned
