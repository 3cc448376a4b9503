"""``forebay serve``: a LiteLLM proxy with forebay in it, around the upstreams that are named."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from ....middleware.cli.components import chosen
from ....middleware.cli.session import Session
from ....middleware.errors import ConfigError
from .child import Foreground
from .config import MASTER_KEY, as_yaml, litellm_config, master_key_env
from .deployments import deployments, missing_keys, model_names
from .screen import Screen, Serving
from .upstreams import Hosted, Server, parse_upstream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .deployments import Deployment

PORT: Final = 4000
HOST: Final = "127.0.0.1"
STDOUT: Final = "-"
_LAST_PORT: Final = 65_535
_STARTING: Final = 503
_PROBE_S: Final = 2.0
_EXAMPLES: Final = """\
examples:
  forebay serve http://vllm:8000/v1                          all models of one server
  forebay serve http://a:8000/v1 http://b:8000/v1            a model that both have is shared between them
  forebay serve chat=http://vllm:8000/v1#Qwen/Qwen3-8B       one model, and the name it gets
  forebay serve openai/gpt-4o-mini                           a provider's model; the key is in OPENAI_API_KEY
  forebay serve http://vllm:8000/v1 --write litellm.yaml     only write LiteLLM's config, to keep and edit
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay serve``."""
    made = argparse.ArgumentParser(
        prog="forebay serve",
        description="Run a LiteLLM proxy with forebay in it, in front of the upstreams you name.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "upstreams",
        nargs="+",
        metavar="UPSTREAM",
        help="base URL of an OpenAI-compatible server, or PROVIDER/MODEL; NAME= before either sets the model's name",
    )
    made.add_argument("--host", default=HOST, help=f"address to listen on ({HOST})")
    made.add_argument("--port", type=_port, default=PORT, metavar="N", help=f"port to listen on ({PORT})")
    made.add_argument("--config", metavar="FILE", help="forebay's YAML file (FOREBAY_CONFIG, else ./forebay.yaml)")
    made.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="a model the servers have; they are not asked then"
    )
    made.add_argument("--key-env", metavar="NAME", help="environment variable with the key that the servers want")
    made.add_argument(
        "--master-key-env",
        metavar="NAME",
        help=f"environment variable with the key that clients of the proxy send ({MASTER_KEY})",
    )
    made.add_argument("--num-workers", type=_count, default=1, metavar="N", help="processes that serve (1)")
    made.add_argument("--write", metavar="FILE", help=f"write LiteLLM's config there ({STDOUT} for stdout) and end")
    return made


def run(args: Sequence[str], screen: Screen | None = None) -> int:
    """Serve until a signal and return the exit status: LiteLLM's, or 0 after a stop that was asked for.

    Raises:
        ConfigError: an upstream, an option or forebay's own config is wrong.
        AdapterError: a server cannot say which models it has.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    show = screen or Screen()
    with Foreground() as foreground:
        upstreams = [parse_upstream(each) for each in options.upstreams]
        session = Session(options.config or os.environ.get("FOREBAY_CONFIG"))
        chosen(session.config, session.plugins.registry, source=session.source)
        if options.write is not None:
            # whoever keeps a file may run it anywhere, so it always asks for a key
            found = _found(upstreams, options)
            key_env = options.master_key_env or MASTER_KEY
            return _write(show, options, as_yaml(litellm_config(found, key_env=key_env)), session)
        if options.key_env is not None and not os.environ.get(options.key_env):
            raise ConfigError(
                "is not set; put the servers' key there", source=f"environment variable {options.key_env}"
            )
        key_env = master_key_env(
            options.master_key_env, options.host, loopback=_is_loopback(options.host), environ=os.environ
        )
        _check_free(options.host, options.port)
        found = _found(upstreams, options)
        for name in missing_keys(found, os.environ):
            raise ConfigError("is not set; put the provider's key there", source=f"environment variable {name}")
        serving = Serving(tuple(found), options.host, options.port, options.num_workers, key_env, session)
        return _serve(show, foreground, serving)


def environment(base: Mapping[str, str], serving: Serving) -> dict[str, str]:
    """Return LiteLLM's environment: the caller's, and what only `forebay serve` knows."""
    made = dict(base)
    if serving.session.path is not None:
        made["FOREBAY_CONFIG"] = serving.session.path
    made.setdefault("LITELLM_DONT_SHOW_FEEDBACK_BOX", "true")
    if all(each.base_url is not None for each in serving.deployments):
        # else it fetches a price list from the network at each start; one's own servers are not in it
        made.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return made


def _found(upstreams: Sequence[Server | Hosted], options: argparse.Namespace) -> list[Deployment]:
    with httpx.Client() as client:
        return deployments(upstreams, models=options.model, key_env=options.key_env, environ=os.environ, client=client)


def _write(show: Screen, options: argparse.Namespace, text: str, session: Session) -> int:
    if options.write == STDOUT:
        sys.stdout.write(text)
        return 0
    path = Path(options.write)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError("exists, and may have been edited; name another, or remove it", source=str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", source=str(path)) from None
    show.written(path, session, options)
    return 0


def _serve(show: Screen, foreground: Foreground, serving: Serving) -> int:
    from ..routes import READY  # with LiteLLM's web framework, which no other option needs

    config = litellm_config(serving.deployments, key_env=serving.key_env)
    show.starting(serving)
    with tempfile.TemporaryDirectory(prefix="forebay-serve-") as folder, httpx.Client(trust_env=False) as client:
        path = Path(folder) / "litellm.yaml"
        path.write_text(as_yaml(config), encoding="utf-8")

        def ready() -> bool:
            # forebay's own: LiteLLM answers before forebay has started, and the first requests would pass through
            try:
                return client.get(f"{serving.url}{READY}", timeout=_PROBE_S).status_code != _STARTING
            except httpx.HTTPError:
                return False

        def on_ready() -> None:
            _check_served(serving, client)
            show.ready(serving)

        status = foreground.run(
            [
                # -P: a folder named litellm or forebay, where this is run, must not be taken for the package
                *(sys.executable, "-P", "-m", f"{__package__}.proxy"),
                *("--config", str(path), "--host", serving.host, "--port", str(serving.port)),
                *("--num_workers", str(serving.workers)),
                # uvicorn ends a worker that has not answered in 5 s, and LiteLLM takes longer than that to import
                *(("--timeout_worker_healthcheck", "120") if serving.workers > 1 else ()),
            ],
            environment(os.environ, serving),
            ready=ready,
            on_ready=on_ready,
        )
    show.ended(status)
    return status


def _get(client: httpx.Client, url: str, key: str | None = None) -> httpx.Response | None:
    try:
        answer = client.get(url, headers={"authorization": f"Bearer {key}"} if key else {}, timeout=_PROBE_S)
    except httpx.HTTPError:
        return None
    return answer if answer.is_success else None


def _check_served(serving: Serving, client: httpx.Client) -> None:
    """Return unless LiteLLM says that it left a model out, as it does with a provider that it does not know.

    Raises:
        ConfigError: it did.
    """
    key = os.environ.get(serving.key_env) if serving.key_env is not None else None
    answer = _get(client, f"{serving.url}/v1/models", key)
    if answer is None:
        return
    taken = model_names(answer)
    for each in serving.deployments:
        if each.name not in taken:
            raise ConfigError(
                f"LiteLLM took no model {each.name!r} from it; does it know this provider? What it said is above",
                source=f"the upstream {each.base_url or each.model}",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_free(host: str, port: int) -> None:
    """Return if the address can be listened on; LiteLLM itself would take another port, or leave us asking a stranger.

    Raises:
        ConfigError: it cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"cannot be listened on ({error.strerror}); choose another with --host and --port", source=f"{host}:{port}"
        ) from None


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"must be between 1 and {_LAST_PORT}")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
