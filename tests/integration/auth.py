"""LiteLLM custom authentication: every key is known, and each is a caller of its own. No database is needed."""

from __future__ import annotations

from typing import Any

from litellm.proxy._types import UserAPIKeyAuth


async def authenticate(request: Any, api_key: str) -> UserAPIKeyAuth:
    return UserAPIKeyAuth(api_key=api_key)
