"""The LiteLLM config that ``forebay serve`` writes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import yaml

from ....middleware.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .deployments import Deployment

CALLBACK: Final = "forebay.adapters.litellm.handler"
MASTER_KEY: Final = "LITELLM_MASTER_KEY"
MIN_KEY_CHARS: Final = 16
NEW_KEY: Final = 'export {name}="sk-$(openssl rand -hex 32)"'
# a digest, as LiteLLM has it: the key of its own tutorials, with which it refuses to start
_PUBLIC: Final = frozenset({"88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"})


def litellm_config(deployments: Iterable[Deployment], *, key_env: str | None) -> dict[str, Any]:
    """Return a LiteLLM config with forebay in it.

    Args:
        key_env: environment variable with the master key; None lets everybody in, which LiteLLM must be told.
    """
    access: dict[str, Any] = (
        {"master_key": f"os.environ/{key_env}"}
        if key_env is not None
        else {"dangerously_permit_weak_or_unset_master_key": True}
    )
    return {
        "model_list": [each.entry() for each in deployments],
        "litellm_settings": {"callbacks": [CALLBACK], "telemetry": False},
        # without cancel_on_disconnect a client that leaves keeps its place in the engine
        "general_settings": {**access, "cancel_on_disconnect": True},
    }


def as_yaml(config: Mapping[str, Any]) -> str:
    """Return a config as the text of a file."""
    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)


def is_strong(key: str | None) -> bool:
    """Return whether a master key is long enough, and none that everybody knows."""
    text = (key or "").strip()
    return len(text) >= MIN_KEY_CHARS and hashlib.sha256(text.encode()).hexdigest() not in _PUBLIC


def master_key_env(name: str | None, host: str, *, loopback: bool, environ: Mapping[str, str]) -> str | None:
    """Return the environment variable with the master key, None where the proxy runs without one.

    Args:
        name: the variable an operator named, None for LITELLM_MASTER_KEY where it is set.
        host: for the message.

    Raises:
        ConfigError: a key is needed, and there is none or one that can be guessed.
    """
    variable = name if name is not None else MASTER_KEY
    key = environ.get(variable, "").strip()
    if not key and name is None and loopback:
        return None
    if is_strong(key):
        return variable
    state = "is not set" if not key else f"is shorter than {MIN_KEY_CHARS} characters or publicly known"
    why = "" if loopback else f", and on {host} others than this machine can reach the proxy"
    way_out = "" if not loopback else "; or leave it out: on loopback the proxy may run without a key"
    raise ConfigError(
        f"the master key {state}{why}; make one with: {NEW_KEY.format(name=variable)}{way_out}",
        source=f"environment variable {variable}",
    )
