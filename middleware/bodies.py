"""Fields of a request's body: which of them change what the answer says, and which only how it is carried and counted."""

from __future__ import annotations

from typing import Final

IGNORED: Final = frozenset(
    {
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "cache",
        "caching",
        "context_window_fallbacks",
        "custom_llm_provider",
        "extra_headers",
        "fallbacks",
        "guardrails",
        "headers",
        "litellm_metadata",
        "max_retries",
        "metadata",
        "model",
        "num_retries",
        "priority",
        "prompt_cache_key",
        "request_timeout",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "tags",
        "timeout",
        "ttl",
        "user",
    }
)
"""About transport, accounting, routing and urgency."""

URGENCY_FIELDS: Final = ("service_tier", "priority")
"""Fields that say how urgent a request is."""

OWN_PREFIX: Final = "litellm_"
"""LiteLLM's bookkeeping: its tracing puts a ``litellm_trace_id`` into the client's body."""


def changes_the_answer(name: str) -> bool:
    """Return whether two requests that differ in this field may have different answers."""
    return name not in IGNORED and not name.startswith(OWN_PREFIX)
