"""The exception that refuses a request inside LiteLLM.

An exception raised in the deployment hook enters LiteLLM's retries and fallbacks, unless it counts as a
guardrail's intervention; refusing must cost one attempt, not four. The class is that and an HTTPException,
so the status and Retry-After reach the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException
from litellm.exceptions import GuardrailRaisedException

if TYPE_CHECKING:
    from ...middleware.errors import ShedError


class RefusedByForebay(HTTPException, GuardrailRaisedException):
    """A shed request."""

    def __init__(self, status: int, detail: str, headers: dict[str, str]) -> None:
        HTTPException.__init__(self, status_code=status, detail=detail, headers=headers)
        self.guardrail_name = "forebay"
        self.blocked_content = False
        self.message = detail


def refusal(error: ShedError, request_id: str) -> RefusedByForebay:
    """Return the exception to raise for a shed request."""
    headers = {
        "retry-after": str(error.retry_after_s),
        "x-forebay-cache": "shed",
        "x-forebay-id": request_id,
    }
    return RefusedByForebay(error.status, str(error), headers)
