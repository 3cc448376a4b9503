"""From upstreams to what LiteLLM calls deployments: which models there are, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from ....middleware.errors import AdapterError, ConfigError
from ....middleware.narrow import is_array, is_object
from .upstreams import Hosted, Server, check_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TIMEOUT_S: Final = 10.0
NO_KEY: Final = "none"
"""What a server without authentication is sent. With nothing written here LiteLLM would send it OPENAI_API_KEY."""
PROVIDER_KEYS: Final[Mapping[str, str]] = {
    "anthropic": "ANTHROPIC_API_KEY",
    "cerebras": "CEREBRAS_API_KEY",
    "cohere": "COHERE_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "xai": "XAI_API_KEY",
}
"""The variable LiteLLM reads for providers that need one key and nothing else; the others are left to LiteLLM."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model at one place.

    Attributes:
        name: what clients ask for; several deployments of one name share its load.
        model: LiteLLM's ``provider/model``.
        base_url: of a server, None for a provider's own address.
        key_env: environment variable with the key, None where there is none to write down.
    """

    name: str
    model: str
    base_url: str | None = None
    key_env: str | None = None

    def entry(self) -> dict[str, Any]:
        """Return its item of LiteLLM's ``model_list``."""
        params = {"model": self.model}
        if self.base_url is not None:
            params["api_base"] = self.base_url
        if self.key_env is not None:
            params["api_key"] = f"os.environ/{self.key_env}"
        elif self.base_url is not None:
            params["api_key"] = NO_KEY
        return {"model_name": self.name, "litellm_params": params}


def deployments(
    upstreams: Iterable[Server | Hosted],
    *,
    models: Sequence[str] = (),
    key_env: str | None = None,
    environ: Mapping[str, str],
    client: httpx.Client,
) -> list[Deployment]:
    """Return the deployments of all upstreams, in their order.

    Args:
        models: what every server without a model of its own serves, so that none is asked.
        key_env: environment variable with the servers' key.
        client: asks the servers.

    Raises:
        ConfigError: one was given twice, or a name stands for several models.
        AdapterError: a server cannot say which models it has.
    """
    found: list[Deployment] = []
    for upstream in upstreams:
        if isinstance(upstream, Hosted):
            provider = upstream.model.partition("/")[0]
            found.append(Deployment(upstream.name, upstream.model, key_env=PROVIDER_KEYS.get(provider)))
            continue
        if upstream.model is not None:
            served: Sequence[str] = (upstream.model,)
        else:
            served = models or served_models(upstream.base_url, client, _secret(key_env, environ))
        if upstream.name is not None and len(served) > 1:
            raise ConfigError(
                f"has {len(served)} models ({_listed(served)}), so one name does not say which: "
                f"write {upstream.name}={upstream.base_url}#MODEL",
                source=f"the upstream {upstream.base_url}",
            )
        for model in served:
            name = upstream.name if upstream.name is not None else model
            found.append(Deployment(name, f"openai/{model}", base_url=upstream.base_url, key_env=key_env))
    for at, each in enumerate(found):
        if each in found[:at]:
            where = each.base_url or "its provider"
            raise ConfigError(f"was given twice (model {each.name!r}); name it once", source=f"the upstream {where}")
    return found


def served_models(base_url: str, client: httpx.Client, key: str | None = None) -> list[str]:
    """Ask a server for the names of its models.

    Raises:
        AdapterError: it cannot be reached, does not answer as OpenAI's API does, or has none.
    """
    url = f"{base_url}/models"
    otherwise = f"or name the model ({base_url}#MODEL, or --model MODEL), and it is not asked"
    try:
        answer = client.get(url, headers={"authorization": f"Bearer {key}"} if key else {}, timeout=TIMEOUT_S)
    except httpx.TransportError as error:
        raise AdapterError(
            f"{url} cannot be reached ({_reason(error)}); is the engine up, and is that its address? Start it first, {otherwise}"
        ) from None
    if answer.is_redirect:
        to = answer.headers.get("location", "elsewhere")
        raise AdapterError(f"{url} redirects to {to}; give the address it ends at, {otherwise}")
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise AdapterError(
            f"{url} answers {answer.status_code}: it wants a key; name the environment variable that holds it with "
            f"--key-env NAME, {otherwise}"
        )
    if not answer.is_success:
        hint = "" if base_url.endswith("/v1") else f"; an OpenAI-compatible base URL mostly ends in /v1: {base_url}/v1"
        raise AdapterError(f"{url} answers {answer.status_code}{hint}; check the address, {otherwise}")
    names = model_names(answer)
    if not names:
        raise AdapterError(f"{url} lists no models as OpenAI's API does; load one there, {otherwise}")
    for name in names:
        check_name(name, base_url)
    return names


def model_names(answer: httpx.Response) -> list[str]:
    """Return the ids in an answer of OpenAI's ``/models``, [] where it is none."""
    try:
        body: Any = answer.json()
    except ValueError:
        return []
    data: Any = body.get("data") if is_object(body) else None
    if not is_array(data):
        return []
    ids: list[Any] = [item.get("id") for item in data if is_object(item)]
    return list(dict.fromkeys(each for each in ids if isinstance(each, str)))


def missing_keys(found: Iterable[Deployment], environ: Mapping[str, str]) -> list[str]:
    """Return the environment variables that must hold a key and do not."""
    return sorted({each.key_env for each in found if each.key_env is not None and not environ.get(each.key_env)})


def _secret(key_env: str | None, environ: Mapping[str, str]) -> str | None:
    return environ.get(key_env) if key_env is not None else None


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {TIMEOUT_S:.0f} s"
    return str(error) or type(error).__name__
