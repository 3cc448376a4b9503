"""What the proxy does again and again, only because forebay is there, and need not."""

from __future__ import annotations

import gc
import inspect
from typing import Any, Final

import litellm

from .endpoints import ENDPOINTS

_NAME: Final = "cache"
"""Every `litellm.caching.Cache` that is made puts this word among LiteLLM's callbacks."""


def skip_the_logging_thread() -> None:
    """Take the cache out of the callbacks that LiteLLM runs in a thread: it has nothing to do there.

    For that one word LiteLLM's whole success handler runs a second time, in a pool of threads, for each asynchronous
    call. Answers reach the cache another way, streams by the asynchronous handler.
    """
    callbacks: Any = litellm.success_callback
    while _NAME in callbacks:
        callbacks.remove(_NAME)


def remember_signatures() -> None:
    """Keep the signatures of LiteLLM's calls where `inspect.signature` looks first; LiteLLM asks for them twice a call."""
    for name in ENDPOINTS:
        call: Any = getattr(litellm, name, None)
        if inspect.isfunction(call):
            inner: Any = inspect.unwrap(call)
            if not hasattr(inner, "__signature__"):
                inner.__signature__ = inspect.signature(inner)


def set_start_up_aside() -> None:
    """Tell Python's collector that what is there now stays.

    The proxy's modules are a million objects, and a full collection that walks through them stops every request for a
    third of a second, about once in a thousand requests.
    """
    gc.collect()
    gc.freeze()
