"""``forebay front``: a reverse proxy with forebay in it, before one OpenAI-compatible server."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import uvicorn

from ...middleware.cli.components import chosen
from ...middleware.cli.session import Session, console
from ...middleware.errors import ConfigError
from .front import ForebayMiddleware
from .lifecycle import CONFIG_VARIABLE
from .upstream import Upstream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

HOST: Final = "127.0.0.1"
PORT: Final = 8100
_NOT_STARTED: Final = 2
_LAST_PORT: Final = 65_535
_EXAMPLES: Final = """\
examples:
  forebay front --upstream http://127.0.0.1:8080            llama.cpp's server
  forebay front --upstream http://tgi:80 --host 0.0.0.0     for other machines; the server's own keys hold here, too
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay front``."""
    made = argparse.ArgumentParser(
        prog="forebay front",
        description="Run a reverse proxy with forebay in it, in front of one OpenAI-compatible server.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--upstream", required=True, metavar="URL", help="the server, with or without /v1 at its end")
    made.add_argument("--host", default=HOST, help=f"address to listen on ({HOST})")
    made.add_argument("--port", type=_port, default=PORT, metavar="N", help=f"port to listen on ({PORT})")
    made.add_argument("--config", metavar="FILE", help=f"forebay's YAML file ({CONFIG_VARIABLE}, else ./forebay.yaml)")
    return made


def run(args: Sequence[str]) -> int:
    """Serve until a signal and return the exit status: 0 after a stop that was asked for, 2 where it did not start.

    Raises:
        ConfigError: the upstream, an option or forebay's own config is wrong.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    base = base_url(options.upstream)
    session = Session(options.config or os.environ.get(CONFIG_VARIABLE))
    chosen(session.config, session.plugins.registry, source=session.source)
    _show_warnings()
    app: Any = ForebayMiddleware(Upstream(base), session.config, session.plugins)
    where = f"http://{options.host}:{options.port}"
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="warning",
        # those of the server behind us are passed on
        server_header=False,
        date_header=False,
    )
    server = _Server(config, lambda: console().print(f"forebay stands before {base} on {where}/v1; Ctrl-C stops it"))
    for each in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises what it caught once more when it is done: a stop that was asked for is no failure
        signal.signal(each, server.ask_to_stop)
    server.run()
    return 0 if server.started else _NOT_STARTED


def base_url(text: str) -> str:
    """Return a server's address without ``/v1``.

    Raises:
        ConfigError: it is none, or holds a secret.
    """
    wrong = "--upstream"
    try:
        parts = urlsplit(text)
        port_is_one = parts.port != 0
    except ValueError:
        raise ConfigError("is not a URL; write http://HOST:PORT", source=wrong) from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "has a user, a password or a query in it; write it without: clients send the server's keys themselves",
            source=wrong,
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_one:
        raise ConfigError("is not the URL of an HTTP server; write http://HOST:PORT", source=wrong)
    return parts._replace(path=parts.path.rstrip("/").removesuffix("/v1")).geturl()


class _Server(uvicorn.Server):
    """Says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    def ask_to_stop(self, *_: object) -> None:
        """Stop as soon as open requests have ended."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def _show_warnings() -> None:
    """Let what forebay has to say be seen, as uvicorn's own is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    logging.getLogger(__name__.partition(".")[0]).addHandler(handler)


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"must be between 1 and {_LAST_PORT}")
    return number
