"""LiteLLM's router as an engine, for background calls: audits and judges."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from ...middleware.chat import answer_of, replay
from ...middleware.errors import EngineError
from ...middleware.narrow import is_object
from .host import takes_headers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from ...middleware.records import Answer, JsonObject, Request

LEFT_OUT: Final = frozenset({"stream", "stream_options", "cache.namespace"})
"""Parameters of a request that mean nothing to a whole answer that no cache is asked for."""
TAG: Final = "forebay-background"


class RouterEngine:
    """Sends chat requests through the router of the proxy this process runs.

    They take no part in any cache, pass by the proxy's own authentication and limits, and are accounted to one key.
    They are neither retried nor sent on to another model: nobody waits for them, and another model answers differently.

    Args:
        billed_to: hash of the virtual key, as LiteLLM's key info shows it.
    """

    def __init__(self, billed_to: str) -> None:
        self._billed_to = billed_to

    async def complete(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Return a whole answer.

        Raises:
            EngineError: there is no router, the request is no chat, or the router failed.
        """
        # looked up, not imported: importing the proxy server starts it
        router: Any = getattr(sys.modules.get("litellm.proxy.proxy_server"), "llm_router", None)
        if router is None or request.endpoint != "chat":
            raise EngineError("the router answers chat requests, in a LiteLLM proxy", status=503)
        # one mapping, not keywords: what a client put into its body may have the name of what we set
        sent: dict[str, Any] = {
            **{name: value for name, value in request.params.items() if name not in LEFT_OUT},
            "model": request.model,
            "messages": [dict(message) for message in request.messages],
            "cache": {"no-cache": True, "no-store": True},
            "disable_fallbacks": True,
            "num_retries": 0,
            "metadata": {"user_api_key": self._billed_to, "user_api_key_hash": self._billed_to, "tags": [TAG]},
        }
        try:
            if headers and _take_headers(router, request.model):
                sent["extra_headers"] = dict(headers)
            made: Any = await router.acompletion(**sent)
        except Exception as error:
            status = getattr(error, "status_code", None)
            raise EngineError(type(error).__name__, status=status if isinstance(status, int) else 502) from None
        body: Any = made.model_dump(mode="json")  # as LiteLLM writes the answers that are kept: both are compared
        if not is_object(body):
            raise EngineError("the router's answer is no object", status=502)
        return answer_of(body)

    async def stream(self, request: Request, headers: Mapping[str, str]) -> AsyncGenerator[JsonObject, None]:
        """Yield the whole answer as chunks: nobody waits for its pieces."""
        for chunk in replay((await self.complete(request, headers)).body, include_usage=True):
            yield chunk


def _take_headers(router: Any, model: str) -> bool:
    """Return whether every deployment that may answer takes ``extra_headers``."""
    deployments: Any = router.get_model_list(model_name=model)
    return bool(deployments) and all(takes_headers(one["litellm_params"]) for one in deployments)
