"""The stack the demo runs: a model server and a LiteLLM proxy with forebay in it, on free loopback ports."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import yaml

from ..litellm.serve import config as serve_config
from ..litellm.serve import proxy
from ..litellm.serve.deployments import Deployment
from .children import Child, free_port, stop_all
from .model_server import MODEL, find_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

HOST: Final = "127.0.0.1"
_OURS: Final = ("FOREBAY_", "LITELLM_", "OTEL_")
_DROPPED: Final = frozenset({"DATABASE_URL", "DIRECT_URL", "REDIS_URL", "REDIS_HOST", "TRACEPARENT", "PORT"})


@dataclass(frozen=True, slots=True)
class Urls:
    """Where things are."""

    model: str
    proxy: str


def forebay_config(folder: Path) -> dict[str, Any]:
    """Return forebay's configuration for the demo."""
    return {
        "state_dir": str(folder / "state"),
        "cache": {"exact": "serve", "semantic": "serve"},
        # nobody waits in a demo until audits have proven semantic hits, or wants one of them computed for an audit
        "acceptance": {"type": "verified", "trust": "calibrated"},
        "audits": {"enabled": False},
        "litellm": {"similarity_header": True},
    }


def litellm_config(model_url: str) -> dict[str, Any]:
    """Return LiteLLM's configuration: one model, its OpenTelemetry callback, and forebay."""
    config = serve_config.litellm_config(
        [Deployment(MODEL, f"openai/{MODEL}", base_url=f"{model_url}/v1")], key_env=serve_config.MASTER_KEY
    )
    config["litellm_settings"]["callbacks"].insert(0, "otel")
    # without this LiteLLM writes prompts and answers into its spans
    return {**config, "callback_settings": {"otel": {"message_logging": False}}}


def proxy_environment(base: Mapping[str, str], *, key: str, config: Path, collector: str) -> dict[str, str]:
    """Return the proxy's environment: the caller's, without what would change how LiteLLM or forebay work."""
    kept = {name: value for name, value in base.items() if not name.startswith(_OURS) and name not in _DROPPED}
    return {
        **kept,
        "FOREBAY_CONFIG": str(config),
        "LITELLM_MASTER_KEY": key,
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches a price list from the network
        "LITELLM_MODE": "PRODUCTION",  # else it reads a .env file
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_BSP_SCHEDULE_DELAY": "500",  # milliseconds
        "OTEL_SERVICE_NAME": "litellm",
    }


class Stack:
    """Runs both while its ``with`` block is open.

    Args:
        folder: existing folder for configs, logs and the cache.
        collector: OTLP endpoint that takes spans.
        port: of the proxy, 0 for a free one.

    Raises:
        ForebayError: the model is not installed.
    """

    def __init__(self, folder: Path, *, collector: str, port: int = 0) -> None:
        find_model()
        self._folder = folder
        self._collector = collector
        self.key = f"sk-{secrets.token_urlsafe(24)}"
        self.urls = Urls(f"http://{HOST}:{free_port()}", f"http://{HOST}:{port or free_port()}")
        self.forebay_yaml = folder / "forebay.yaml"
        self.litellm_yaml = folder / "litellm.yaml"
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        self.forebay_yaml.write_text(yaml.safe_dump(forebay_config(self._folder), sort_keys=False), encoding="utf-8")
        self.litellm_yaml.write_text(yaml.safe_dump(litellm_config(self.urls.model), sort_keys=False), encoding="utf-8")
        environment = proxy_environment(os.environ, key=self.key, config=self.forebay_yaml, collector=self._collector)
        try:
            self._start(
                "model server",
                [sys.executable, "-m", f"{__package__}.model_server", _port(self.urls.model)],
                dict(os.environ),
            )
            self._start(
                "LiteLLM proxy",
                [
                    *(sys.executable, "-m", proxy.__name__),
                    *("--config", str(self.litellm_yaml), "--host", HOST, "--port", _port(self.urls.proxy)),
                ],
                environment,
            )
        except BaseException:
            stop_all(self.children)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_all(self.children)

    def check(self) -> None:
        """Return if both run.

        Raises:
            ChildDiedError: one ended.
        """
        for child in self.children:
            child.check()

    def model_ready(self) -> bool:
        """Return whether the model is loaded."""
        return _answers(f"{self.urls.model}/health")

    def proxy_ready(self) -> bool:
        """Return whether the proxy takes requests."""
        return _answers(f"{self.urls.proxy}/health/liveliness")

    def engine_tokens(self) -> int | None:
        """Return how many tokens the model server has generated so far, None where it does not say."""
        try:
            text = httpx.get(f"{self.urls.model}/metrics", timeout=5.0, trust_env=False).text
        except httpx.HTTPError:
            return None
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "llamacpp:tokens_predicted_total":
                return int(float(value))
        return None

    def _start(self, name: str, command: list[str], env: Mapping[str, str]) -> None:
        log = self._folder / f"{name.split(maxsplit=1)[0].lower()}.log"
        self.children.append(Child(name, command, log=log, env=env, cwd=self._folder))


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False
