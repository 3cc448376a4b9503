"""What ``forebay serve`` prints."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.text import Text

from ....middleware.cli.session import console, table
from .config import MASTER_KEY

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from ....middleware.cli.session import Session
    from .deployments import Deployment

QUESTION: Final = "What is the capital of France?"
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (where to reach them from here)


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served, and how.

    Attributes:
        key_env: environment variable with the master key, None where there is none.
        session: forebay's config.
    """

    deployments: tuple[Deployment, ...]
    host: str
    port: int
    workers: int
    key_env: str | None
    session: Session

    @property
    def url(self) -> str:
        """The proxy's address as seen from this machine, without ``/v1``."""
        host = _EVERYWHERE.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class Screen:
    """Writes plain lines; LiteLLM writes between them."""

    def __init__(self, out: Console | None = None) -> None:
        self.out = out or console()
        self._began_s = 0.0

    def starting(self, serving: Serving) -> None:
        """Say what is about to be started."""
        self._began_s = time.monotonic()
        self._line(f"Starting LiteLLM {version('litellm')} with forebay in it, in front of:", "bold")
        rows = table("model", "upstream", "its name there", "key")
        for each in serving.deployments:
            provider, _, model = each.model.partition("/")
            where = each.base_url or provider
            rows.add_row(each.name, where, model, f"from {each.key_env}" if each.key_env else "")
        self.out.print(rows)
        store = serving.session.config.store
        if serving.workers > 1 and store.type == "milvus" and "://" not in str(store.settings.get("uri") or ""):
            self._line(
                f"{serving.workers} workers share no Milvus Lite file: one keeps answers there, the others in memory. "
                "With store.uri of a Milvus server they share all.",
                "yellow",
            )
        self.out.print()

    def ready(self, serving: Serving) -> None:
        """Say where it listens, and how to use it."""
        config, path = serving.session.config, serving.session.path
        self.out.print()
        self.out.print(
            Text.assemble(("Ready", "bold green"), (f" after {time.monotonic() - self._began_s:.0f} s", "bold"))
        )
        self._fact("base_url", f"{serving.url}/v1")
        if serving.host in _EVERYWHERE:
            self._fact("listens", f"on all addresses of this machine, port {serving.port}")
        if serving.key_env is None:
            self._fact(
                "api_key", f"any text: whoever reaches this port may ask ({MASTER_KEY} in the environment sets a key)"
            )
        else:
            self._fact("api_key", f"${serving.key_env}")
        self._fact("models", ", ".join(dict.fromkeys(each.name for each in serving.deployments)))
        self._fact("cache", f"exact hits: {config.cache.exact.value}; semantic hits: {config.cache.semantic.value}")
        self._fact("state", str(Path(config.state_dir).resolve()))
        self._fact("config", serving.session.source)
        self._line(
            "\nAsk twice; the header x-forebay-cache says miss, then exact:",
            "bold",
        )
        self._command(curl(serving))
        self._line("\nWhy a request was answered as it was, by its header x-forebay-id:", "bold")
        self._command(f"forebay {f'-c {shlex.quote(path)} ' if path else ''}explain ID")
        self._line("\nCtrl-C stops it, once open requests have finished.")

    def ended(self, status: int) -> None:
        """Say how it ended."""
        if status:
            self._line(f"LiteLLM ended with status {status}; what it said is above.", "red")
        else:
            self._line("Stopped.")

    def written(self, path: Path, session: Session, options: argparse.Namespace) -> None:
        """Say what to do with a config that was written."""
        self._line(f"wrote {path}; run it with:")
        before = f"FOREBAY_CONFIG={shlex.quote(session.path)} " if session.path is not None else ""
        self._command(
            f"{before}litellm --config {shlex.quote(str(path))} --host {options.host} --port {options.port}"
            + (f" --num_workers {options.num_workers}" if options.num_workers > 1 else "")
        )
        self._line(f"It takes the key that clients send from {options.master_key_env or MASTER_KEY}.")

    def _fact(self, name: str, value: str) -> None:
        self.out.print(Text.assemble((f"  {name:<9} ", "dim"), value), soft_wrap=True)

    def _command(self, text: str) -> None:
        self.out.print(Text(text, style="cyan"), soft_wrap=True)

    def _line(self, text: str, style: str = "") -> None:
        self.out.print(Text(text, style=style), soft_wrap=True)


def curl(serving: Serving) -> str:
    """Return a command that asks the first model a question."""
    body = {"model": serving.deployments[0].name, "messages": [{"role": "user", "content": QUESTION}]}
    key = f' -H "Authorization: Bearer ${serving.key_env}"' if serving.key_env is not None else ""
    return (
        f"curl -i {serving.url}/v1/chat/completions{key} -H 'Content-Type: application/json' "
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )
