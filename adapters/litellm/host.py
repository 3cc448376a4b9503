"""What forebay asks of the LiteLLM process around it."""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import litellm

from ...middleware.narrow import is_array, is_object
from .requests import metadata_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def deployment_params(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of the deployment that the router chose, {} where they cannot be told."""
    info = kwargs.get("model_info")
    if not is_object(info):
        metadata = metadata_of(kwargs)
        info = metadata.get("model_info") if metadata is not None else None
    model_id = info.get("id") if is_object(info) else None
    # looked up, not imported: importing the proxy server starts it
    server: Any = sys.modules.get("litellm.proxy.proxy_server")
    router = getattr(server, "llm_router", None)
    if not isinstance(model_id, str) or router is None:
        return {}
    deployment = router.get_deployment(model_id=model_id)
    params = getattr(deployment, "litellm_params", None)
    return params.model_dump(exclude_none=True) if params is not None else {}


def is_fallback(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the call was sent on to another model than its caller asked for."""
    metadata = metadata_of(kwargs)
    return metadata is not None and bool(metadata.get("attempted_fallbacks"))


def broke_off(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the engine's own whole answer has a choice without a finish_reason.

    LiteLLM writes "stop" there before any callback sees the answer; its log keeps what the engine sent.
    """
    details: object = getattr(kwargs.get("litellm_logging_obj"), "model_call_details", None)
    sent: object = details.get("original_response") if is_object(details) else None
    if isinstance(sent, str):
        try:
            sent = json.loads(sent)
        except ValueError:
            return False
    choices = sent.get("choices") if is_object(sent) else None
    return is_array(choices) and any(
        is_object(choice) and choice.get("finish_reason", "") is None for choice in choices
    )


def takes_headers(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the call's provider takes ``extra_headers``; LiteLLM refuses a call whose provider does not."""
    model, provider = kwargs.get("model"), kwargs.get("custom_llm_provider")
    return isinstance(model, str) and _takes_headers(model, provider if isinstance(provider, str) else None)


@lru_cache(maxsize=256)
def _takes_headers(model: str, provider: str | None) -> bool:
    host: Any = litellm  # half typed
    try:
        name, found, _, _ = host.get_llm_provider(model=model, custom_llm_provider=provider)
        supported: object = host.get_supported_openai_params(model=name, custom_llm_provider=found)
    except Exception:  # an unknown model: LiteLLM will say so itself
        return False
    return is_array(supported) and "extra_headers" in supported
