"""The exception that refuses a request inside LiteLLM.

An exception raised in the deployment hook enters LiteLLM's retries and fallbacks, unless it counts as a
guardrail's intervention; refusing must cost one attempt, not four. `RefusedByForebay` is that and an HTTPException,
so the status and Retry-After reach the client. Where the operator wants the fallbacks, it is an HTTPException alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import HTTPException
from litellm.exceptions import GuardrailRaisedException

from ...middleware.shown import headers_of_refusal

if TYPE_CHECKING:
    from ...middleware.errors import ShedError


class RefusedByForebay(HTTPException, GuardrailRaisedException):
    """A shed request."""

    def __init__(self, status: int, detail: str, headers: dict[str, str]) -> None:
        HTTPException.__init__(self, status_code=status, detail=detail, headers=headers)
        self.guardrail_name = "forebay"
        self.blocked_content = False
        self.message = detail


class PassedOn(HTTPException):
    """A request that this deployment does not take: LiteLLM tries the next."""


def refusal(error: ShedError, request_id: str) -> RefusedByForebay:
    """Return the exception to raise for a shed request."""
    return RefusedByForebay(error.status, str(error), headers_of_refusal(error, request_id))


def passed_on(error: ShedError, request_id: str) -> PassedOn:
    """Return the exception to raise for a request that shall go to LiteLLM's fallbacks."""
    return PassedOn(error.status, str(error), headers_of_refusal(error, request_id))
