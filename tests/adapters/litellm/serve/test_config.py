from __future__ import annotations

import pytest
import yaml

from forebay.adapters.litellm.serve.config import as_yaml, is_strong, litellm_config, master_key_env
from forebay.adapters.litellm.serve.deployments import Deployment
from forebay.middleware.errors import ConfigError

STRONG = "sk-0123456789abcdef"
GOLDEN = """
model_list:
- model_name: tiny
  litellm_params: {model: openai/tiny, api_base: "http://a/v1", api_key: none}
- model_name: chat
  litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}
litellm_settings:
  callbacks: [forebay.adapters.litellm.handler]
  telemetry: false
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  cancel_on_disconnect: true
"""


def test_the_config_as_it_is_read_back() -> None:
    found = [
        Deployment("tiny", "openai/tiny", "http://a/v1"),
        Deployment("chat", "openai/gpt-4o-mini", key_env="OPENAI_API_KEY"),
    ]
    written = as_yaml(litellm_config(found, key_env="LITELLM_MASTER_KEY"))
    assert yaml.safe_load(written) == yaml.safe_load(GOLDEN)


def test_litellm_is_told_where_no_key_is_wanted() -> None:
    settings = litellm_config([], key_env=None)["general_settings"]
    assert settings == {"dangerously_permit_weak_or_unset_master_key": True, "cancel_on_disconnect": True}


@pytest.mark.parametrize("key", [None, "", "   ", "sk-1234", "a" * 15, " sk-1234 " + " " * 20])
def test_keys_that_can_be_guessed(key: str | None) -> None:
    assert not is_strong(key)


def test_on_loopback_no_key_is_fine_and_one_that_is_set_is_used() -> None:
    assert master_key_env(None, "127.0.0.1", loopback=True, environ={}) is None
    assert master_key_env(None, "127.0.0.1", loopback=True, environ={"LITELLM_MASTER_KEY": " "}) is None
    found = master_key_env(None, "127.0.0.1", loopback=True, environ={"LITELLM_MASTER_KEY": STRONG})
    assert found == "LITELLM_MASTER_KEY"
    assert master_key_env("OURS", "0.0.0.0", loopback=False, environ={"OURS": STRONG}) == "OURS"


@pytest.mark.parametrize(
    ("name", "loopback", "environ", "variable"),
    [
        (None, False, {}, "LITELLM_MASTER_KEY"),
        (None, False, {"LITELLM_MASTER_KEY": "sk-1234"}, "LITELLM_MASTER_KEY"),
        ("OURS", False, {"LITELLM_MASTER_KEY": STRONG}, "OURS"),
        ("OURS", True, {}, "OURS"),
        (None, True, {"LITELLM_MASTER_KEY": "sk-1234"}, "LITELLM_MASTER_KEY"),
    ],
)
def test_a_key_that_is_needed_and_not_there_is_refused_with_how_to_make_one(
    name: str | None, loopback: bool, environ: dict[str, str], variable: str
) -> None:
    with pytest.raises(ConfigError, match=rf'export {variable}="sk-\$\(openssl rand -hex 32\)"') as caught:
        master_key_env(name, "10.0.0.1", loopback=loopback, environ=environ)
    assert "sk-1234" not in str(caught.value)
