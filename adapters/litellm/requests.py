"""From LiteLLM's call arguments to a `Request`, and back to the question whether it is still the same.

Between looking a request up and answering it, other callbacks and guardrails may edit it, and the router
merges the deployment's own parameters into it. What the client left unset and the deployment sets is no edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...middleware.keys import UncacheableError, make_key
from ...middleware.narrow import is_array, is_object
from ...middleware.records import Controls, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ...middleware.keys import Keyring

FLIGHT_ID: Final = "forebay_id"
"""Key in LiteLLM's request metadata that carries the flight's id through every hook."""

BYPASS_HEADER: Final = "x-forebay-bypass"

CHAT_PARAMS: Final = frozenset(
    {
        "audio",
        "extra_body",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "verbosity",
        "web_search_options",
    }
)
"""Parameters that change the answer. What else the client sends in its body counts, too, unless ignored."""

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
        "messages",
        "metadata",
        "model",
        "num_retries",
        "prompt_cache_key",
        "request_timeout",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "tags",
        "timeout",
        "user",
    }
)
"""Parameters about transport, accounting and routing: they do not change what the answer says."""

OWN_PREFIX: Final = "litellm_"
"""LiteLLM's bookkeeping: its tracing puts a ``litellm_trace_id`` into the client's body."""


def scrub(data: dict[str, Any]) -> None:
    """Take out what no client may say: the name of a flight, and a ``cache`` that is not an object.

    Without a cache LiteLLM ignores such a ``cache``; with one, ours included, it fails on it.
    """
    for name in ("metadata", "litellm_metadata"):
        metadata = data.get(name)
        if is_object(metadata):
            metadata.pop(FLIGHT_ID, None)
    if not is_object(data.get("cache")):
        data.pop("cache", None)


def metadata_of(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the request metadata that LiteLLM carries along, None where there is none."""
    metadata = data.get("metadata")
    return metadata if is_object(metadata) else None


def headers_of(data: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the client's headers, lower-cased, {} where LiteLLM did not keep them."""
    inbound = data.get("proxy_server_request")
    headers = inbound.get("headers") if is_object(inbound) else None
    return {str(k).lower(): str(v) for k, v in headers.items()} if is_object(headers) else {}


def client_fields(data: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the fields in the client's own body."""
    inbound = data.get("proxy_server_request")
    body = inbound.get("body") if is_object(inbound) else None
    return frozenset(body) if is_object(body) else frozenset()


def params_of(data: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """Return the parameters that can change the answer; those that are None are left out."""
    names = (CHAT_PARAMS | fields) - IGNORED
    params = {name: data[name] for name in names if data.get(name) is not None and not name.startswith(OWN_PREFIX)}
    cache = data.get("cache")
    if is_object(cache) and cache.get("namespace") is not None:
        params["cache.namespace"] = str(cache["namespace"])
    return params


def controls_of(data: Mapping[str, Any], headers: Mapping[str, str]) -> Controls:
    """Return what the client asked of the cache, by header and by LiteLLM's own controls.

    LiteLLM enforces ``s-maxage`` after we have answered and then calls the engine past our gate, so such a
    request is computed.
    """
    cache = data.get("cache")
    asked: Mapping[str, Any] = cache if is_object(cache) else {}
    disabled = data.get("caching") is False
    aged = asked.get("s-maxage") is not None or asked.get("s-max-age") is not None
    ttl = asked.get("ttl")
    return Controls(
        bypass=headers.get(BYPASS_HEADER, "").strip().lower() in ("1", "true", "yes"),
        no_cache=disabled or aged or asked.get("no-cache") is True,
        no_store=disabled or asked.get("no-store") is True,
        ttl_s=float(ttl) if isinstance(ttl, (int, float)) and not isinstance(ttl, bool) else None,
    )


def tenant_of(identity: object, parts: Iterable[str]) -> str:
    """Return who may share answers, from LiteLLM's authenticated identity; never from what the client claims."""
    names = {
        "key": "api_key",
        "user": "user_id",
        "team": "team_id",
        "organization": "org_id",
        "end_user": "end_user_id",
    }
    return "|".join(f"{part}={getattr(identity, names[part], None) or ''}" for part in parts)


def build_request(data: Mapping[str, Any], *, request_id: str, tenant: str) -> Request | None:
    """Return the request in our terms, None where it is not one we can read: LiteLLM will say what is wrong."""
    messages, model = data.get("messages"), data.get("model")
    if not is_array(messages) or not isinstance(model, str) or not all(is_object(message) for message in messages):
        return None
    return Request(
        id=request_id,
        model=model,
        messages=messages,
        params=params_of(data, client_fields(data)),
        tenant=tenant,
        stream=data.get("stream") is True,
        controls=controls_of(data, headers_of(data)),
    )


class Fingerprint:
    """Tells whether call arguments still mean the request that was looked up.

    A guardrail may edit the very objects the request refers to, so what is compared is the digest that the analyze
    stop made of them.

    Args:
        fields: names of the fields in the client's own body.
        exact: `Key.exact` of the request; None where it has no key: then nothing is the same.
    """

    def __init__(self, request: Request, fields: frozenset[str], keyring: Keyring, exact: str | None) -> None:
        self._request = request
        self._fields = fields
        self._keyring = keyring
        self._names = frozenset(request.params)
        self._exact = exact

    def matches(self, kwargs: Mapping[str, Any], deployment: Callable[[], Mapping[str, Any]]) -> bool:
        """Return whether the call is unedited.

        Args:
            kwargs: the arguments of the call as LiteLLM makes it.
            deployment: returns the chosen deployment's own parameters; asked only if something was added.
        """
        messages = kwargs.get("messages")
        if self._exact is None or not is_array(messages):
            return False
        params = params_of(kwargs, self._fields)
        added = params.keys() - self._names
        if added:
            own = deployment()
            params = {name: value for name, value in params.items() if name not in added or own.get(name) != value}
        return self._of(messages, params) == self._exact

    def _of(self, messages: Sequence[Any], params: Mapping[str, Any]) -> str | None:
        request = self._request
        try:
            same = Request(id=request.id, model=request.model, messages=messages, params=params, tenant=request.tenant)
            return make_key(same, self._keyring).exact
        except (UncacheableError, AttributeError, TypeError):
            return None
