"""What forebay asks of the LiteLLM process around it."""

from __future__ import annotations

import json
import re
import sys
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import litellm

from ...middleware.narrow import is_array, is_object
from .requests import noted
from .streams import is_known_end

if TYPE_CHECKING:
    from collections.abc import Mapping

LANES_KNOWN_S: Final = 5.0
PLAIN_STRATEGIES: Final = frozenset({"simple-shuffle", "least-busy"})
"""Of LiteLLM's router: the default, and the one that asks for no more than forebay knows, too."""
_REPR: Final = re.compile(r"finish_reason=(None|'[^']*')")


def model_info(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the config says of the deployment that the router chose, {} where it cannot be told."""
    info = kwargs.get("model_info")
    if not is_object(info):
        info = noted(kwargs, "model_info")
    return info if is_object(info) else {}


def deployment_id(kwargs: Mapping[str, Any]) -> str:
    """Return the id of the deployment that the router chose, "" where it cannot be told."""
    found = model_info(kwargs).get("id")
    return found if isinstance(found, str) else ""


def lanes_of(model: str) -> tuple[str, ...]:
    """Return the ids of the deployments that may answer for a model, () where they cannot be told."""
    return _lanes_of(model, int(monotonic() / LANES_KNOWN_S))


@lru_cache(maxsize=1024)
def _lanes_of(model: str, period: int) -> tuple[str, ...]:
    del period  # the answer is remembered for so long
    server: Any = sys.modules.get("litellm.proxy.proxy_server")
    router = getattr(server, "llm_router", None)
    try:
        return tuple(router.get_model_ids(model)) if router is not None else ()
    except Exception:  # a model the router does not know: it will say so itself
        return ()


def leaves_choice() -> bool:
    """Return whether the router may be told which deployment to take: nothing that its operator configured says otherwise."""
    server: Any = sys.modules.get("litellm.proxy.proxy_server")
    router = getattr(server, "llm_router", None)
    if router is None or getattr(router, "optional_callbacks", None) or getattr(router, "routing_groups", None):
        return False
    strategy = getattr(router, "routing_strategy", None)
    return str(getattr(strategy, "value", strategy)) in PLAIN_STRATEGIES


def deployment_params(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of the deployment that the router chose, {} where they cannot be told."""
    model_id = deployment_id(kwargs)
    # looked up, not imported: importing the proxy server starts it
    server: Any = sys.modules.get("litellm.proxy.proxy_server")
    router = getattr(server, "llm_router", None)
    if not model_id or router is None:
        return {}
    deployment = router.get_deployment(model_id=model_id)
    params = getattr(deployment, "litellm_params", None)
    return params.model_dump(exclude_none=True) if params is not None else {}


def is_fallback(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the call was sent on to another model than its caller asked for."""
    return bool(noted(kwargs, "attempted_fallbacks"))


def broke_off(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the engine's own whole answer has a choice without an end, or with one that nobody knows.

    LiteLLM writes "stop" there before any callback sees the answer, also where the engine said "error"; its log keeps
    what the engine sent.
    """
    details: object = getattr(kwargs.get("litellm_logging_obj"), "model_call_details", None)
    sent: object = details.get("original_response") if is_object(details) else None
    dump = getattr(sent, "model_dump", None)
    if dump is not None:
        sent = dump()
    if isinstance(sent, str):
        try:
            sent = json.loads(sent)
        except ValueError:
            # of text completions LiteLLM keeps the object's Python text; a wrong find in an answer's own words costs a hit
            return any(word == "None" or not is_known_end(word.strip("'")) for word in _REPR.findall(str(sent)))
    choices = sent.get("choices") if is_object(sent) else None
    return is_array(choices) and any(is_object(choice) and _is_unended(choice) for choice in choices)


def is_unfinished(answer: object) -> bool:
    """Return whether an answer in OpenAI's Responses format is not whole: failed, cut short, or with broken calls."""
    if not is_object(answer) or answer.get("object") != "response":
        return False
    items = answer.get("output")
    return (
        answer.get("status") != "completed"
        or answer.get("error") is not None
        or any(is_object(item) and _is_broken(item) for item in (items if is_array(items) else ()))
    )


def _is_broken(item: Mapping[str, Any]) -> bool:
    if item.get("status") not in (None, "completed"):
        return True
    if item.get("type") != "function_call":
        return False
    try:
        return not is_object(json.loads(str(item.get("arguments"))))
    except ValueError:
        return True


def _is_unended(choice: Mapping[str, Any]) -> bool:
    word = choice.get("finish_reason", "")  # other providers' answers have no such field
    return word is None or (isinstance(word, str) and word != "" and not is_known_end(word))


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


def prices_of(kwargs: Mapping[str, Any]) -> tuple[float, float]:
    """Return the prices of one prompt and one completion token in US dollars, zeros where LiteLLM knows none."""
    model, provider = kwargs.get("model"), kwargs.get("custom_llm_provider")
    own = _prices_in(model_info(kwargs)) or _own_prices(deployment_id(kwargs))
    if own is not None:
        return own
    return (
        _list_prices(model, provider if isinstance(provider, str) else None) if isinstance(model, str) else (0.0, 0.0)
    )


@lru_cache(maxsize=256)
def _own_prices(model_id: str) -> tuple[float, float] | None:
    return _prices_in(deployment_params({"model_info": {"id": model_id}}))


def _prices_in(settings: Mapping[str, Any]) -> tuple[float, float] | None:
    read, written = settings.get("input_cost_per_token"), settings.get("output_cost_per_token")
    return None if read is None and written is None else (float(read or 0), float(written or 0))


@lru_cache(maxsize=256)
def _list_prices(model: str, provider: str | None) -> tuple[float, float]:
    host: Any = litellm  # half typed
    try:
        info = host.get_model_info(model=model, custom_llm_provider=provider)
    except Exception:  # a model LiteLLM has no prices of
        return 0.0, 0.0
    return float(info.get("input_cost_per_token") or 0), float(info.get("output_cost_per_token") or 0)
