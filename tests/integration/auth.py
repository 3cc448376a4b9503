"""LiteLLM custom authentication: every key is known, and each is a caller of its own. No database is needed.

A key says who its caller is: ``sk-test-team=a;org=b;user=c``, and ``rpm=1`` or ``parallel=1`` limits it.
"""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException
from litellm.proxy._types import UserAPIKeyAuth


async def authenticate(request: Any, api_key: str) -> UserAPIKeyAuth:
    said = dict(part.split("=", 1) for part in api_key.removeprefix("sk-test-").split(";") if "=" in part)
    if "blocked" in said:
        raise HTTPException(status_code=401, detail="this key is blocked")
    return UserAPIKeyAuth(
        api_key=api_key,
        key_alias=said.get("alias"),
        team_id=said.get("team"),
        org_id=said.get("org"),
        user_id=said.get("user"),
        end_user_id=said.get("end_user"),
        rpm_limit=int(said["rpm"]) if "rpm" in said else None,
        max_parallel_requests=int(said["parallel"]) if "parallel" in said else None,
    )
