"""From LiteLLM's call arguments to a `Request`, and back to the question whether it is still the same.

Between looking a request up and answering it, other callbacks and guardrails may edit it, and the router
merges the deployment's own parameters into it. What the client left unset and the deployment sets is no edit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ...middleware.bodies import changes_the_answer
from ...middleware.inbound import HINT_CHARS, controls_in, hints_in
from ...middleware.keys import UncacheableError
from ...middleware.narrow import is_array, is_object
from ...middleware.records import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ...middleware.records import Controls, Key
    from .endpoints.base import Endpoint

FLIGHT_ID: Final = "forebay_id"
"""Key in LiteLLM's request metadata that carries the flight's id through every hook."""

METADATA: Final = ("litellm_metadata", "metadata")
"""Where LiteLLM carries its notes along: which of the two depends on the endpoint."""

IDENTITY: Final[Mapping[str, str]] = {
    "organization": "org_id",
    "team": "team_id",
    "user": "user_id",
    "key": "api_key",
    "end_user": "end_user_id",
}
"""Parts of LiteLLM's authenticated identity, the widest first, and the fields that hold them."""


def scrub(data: dict[str, Any]) -> None:
    """Take out what no client may say: the name of a flight, and a ``cache`` that is not an object.

    Without a cache LiteLLM ignores such a ``cache``; with one, ours included, it fails on it.
    """
    for name in METADATA:
        metadata = data.get(name)
        if is_object(metadata):
            metadata.pop(FLIGHT_ID, None)
    if not is_object(data.get("cache")):
        data.pop("cache", None)


def metadata_of(data: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return what is in a metadata field, None where it is no object."""
    metadata = data.get(name)
    return metadata if is_object(metadata) else None


def noted(data: Mapping[str, Any], name: str) -> Any:
    """Return what LiteLLM's metadata of a call says under a name, None where it says nothing."""
    for field in METADATA:
        metadata = metadata_of(data, field)
        if metadata is not None and metadata.get(name) is not None:
            return metadata[name]
    return None


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


def params_of(data: Mapping[str, Any], endpoint: Endpoint, fields: frozenset[str]) -> dict[str, Any]:
    """Return the parameters that can change the answer; those that are None are left out."""
    names = endpoint.params | fields
    params = {
        name: data[name]
        for name in names
        if data.get(name) is not None and name != endpoint.content and changes_the_answer(name)
    }
    cache = data.get("cache")
    if is_object(cache) and cache.get("namespace") is not None:
        params["cache.namespace"] = str(cache["namespace"])
    return params


def controls_of(data: Mapping[str, Any], headers: Mapping[str, str]) -> Controls:
    """Return what the client asked of the cache: by header, and by LiteLLM's own controls."""
    cache = data.get("cache")
    fields: Mapping[str, Any] = {"ttl": data.get("ttl"), **(cache if is_object(cache) else {})}
    said = controls_in(headers, fields)
    return replace(said, no_cache=True, no_store=True) if data.get("caching") is False else said


def tenant_of(identity: object, parts: Iterable[str]) -> str:
    """Return who may share answers, from LiteLLM's authenticated identity; never from what the client claims.

    Args:
        parts: names in `IDENTITY`, or ``narrowest``: all that are known.
    """
    chosen = tuple(parts)
    known = {part: getattr(identity, field, None) or "" for part, field in IDENTITY.items()}
    if chosen == ("narrowest",):
        return "|".join(f"{part}={name}" for part, name in known.items() if name)
    return "|".join(f"{part}={known[part]}" for part in chosen)


def labels_of(identity: object) -> dict[str, str]:
    """Return whom savings are accounted to: names where LiteLLM has them, else ids; never a key itself."""
    found = {
        "key": getattr(identity, "key_alias", None) or getattr(identity, "key_name", None) or _digest_of(identity),
        "team": getattr(identity, "team_alias", None) or getattr(identity, "team_id", None),
        "user": getattr(identity, "user_id", None),
    }
    return {name: str(value) for name, value in found.items() if value}


def hints_of(identity: object, data: Mapping[str, Any]) -> dict[str, str]:
    """Return what rules may look at: what the client says, and the metadata the operator gave key and team."""
    hints = hints_in(headers_of(data), data)
    for prefix, field in (("key", "metadata"), ("team", "team_metadata")):
        given = getattr(identity, field, None)
        for name, value in given.items() if is_object(given) else ():
            if isinstance(value, (str, int, float)):
                hints[f"{prefix}.{name}"] = str(value)[:HINT_CHARS]
    return hints


def build_request(
    data: Mapping[str, Any],
    endpoint: Endpoint,
    *,
    request_id: str,
    tenant: str,
    labels: Mapping[str, str],
    hints: Mapping[str, str] | None = None,
) -> Request | None:
    """Return the request in our terms, None where it is not one we can read: LiteLLM will say what is wrong."""
    messages, model = endpoint.messages(data), data.get("model")
    if messages is None or not isinstance(model, str):
        return None
    return Request(
        id=request_id,
        model=model,
        messages=messages,
        params=params_of(data, endpoint, client_fields(data)),
        tenant=tenant,
        endpoint=endpoint.name,
        stream=data.get("stream") is True,
        controls=controls_of(data, headers_of(data)),
        batch=endpoint.name == "embeddings",
        labels=labels,
        hints=hints or {},
    )


class Fingerprint:
    """Tells whether call arguments still mean the request that was looked up.

    A guardrail may edit the very objects the request refers to, so a copy of them is compared; where that differs, the
    digest that the analyze stop made of them decides.

    Args:
        fields: names of the fields in the client's own body.
        key_of: makes the key of a request, as the analyze stop does.
        exact: `Key.exact` of the request; None where it has no key: then nothing is the same.
    """

    def __init__(
        self,
        request: Request,
        endpoint: Endpoint,
        fields: frozenset[str],
        key_of: Callable[[Request], Key],
        exact: str | None,
    ) -> None:
        self._request = request
        self._endpoint = endpoint
        self._fields = fields
        self._key_of = key_of
        self._names = frozenset(request.params)
        self._exact = exact
        self._messages = _copied(request.messages)
        self._params = _copied(request.params)

    def matches(self, kwargs: Mapping[str, Any], deployment: Callable[[], Mapping[str, Any]]) -> bool:
        """Return whether the call is unedited.

        Args:
            kwargs: the arguments of the call as LiteLLM makes it.
            deployment: returns the chosen deployment's own parameters; asked only if something was added.
        """
        messages = self._endpoint.messages(kwargs)
        if self._exact is None or messages is None:
            return False
        params = params_of(kwargs, self._endpoint, self._fields)
        added = params.keys() - self._names
        if added:
            own = deployment()
            params = {name: value for name, value in params.items() if name not in added or own.get(name) != value}
        if _is_same(params, self._params) and _is_same(messages, self._messages):
            return True
        return self._of(messages, params) == self._exact

    def _of(self, messages: Sequence[Any], params: Mapping[str, Any]) -> str | None:
        request = self._request
        try:
            same = Request(
                id=request.id,
                model=request.model,
                messages=messages,
                params=params,
                tenant=request.tenant,
                endpoint=request.endpoint,
            )
            return self._key_of(same).exact
        except (UncacheableError, AttributeError, TypeError):
            return None


def _copied(value: Any) -> Any:
    """Return a copy of a JSON value; text is shared, so it costs little for long prompts, too."""
    if is_object(value):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if is_array(value) else value


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, types included: to Python 1 equals true."""
    if type(one) is not type(other):
        return False
    if is_object(one):
        return one.keys() == other.keys() and all(_is_same(item, other[name]) for name, item in one.items())
    if is_array(one):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def _digest_of(identity: object) -> str | None:
    """Return the start of LiteLLM's digest of the key, None where there is none: a raw key is never shown."""
    token = getattr(identity, "token", None) or getattr(identity, "api_key", None)
    return token[:12] if isinstance(token, str) and not token.startswith("sk-") else None
