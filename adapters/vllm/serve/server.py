"""Runs vLLM's server on a wrapped engine. The steps are those of vLLM's ``run_server``, with forebay between the engine and the server."""

from __future__ import annotations

import logging
import os
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ...otlp.prometheus import show_on_prometheus
from ..engine import wrap

if TYPE_CHECKING:
    from argparse import Namespace

    from ....middleware.cli.session import Session
    from ..engine import ForebayEngine

log = logging.getLogger(__name__)
INSIDE: Final = "forebay.adapters.vllm.inside.Inside"


async def serve(options: Namespace, session: Session) -> None:
    """Start the engine and serve until a signal; then the engine, its processes and the port are gone.

    Args:
        options: vLLM's, parsed.

    Raises:
        ConfigError: something that forebay's config names cannot be built.
        Exception: whatever keeps vLLM from starting.
    """
    _log_like_vllm()
    entry: Any = import_module("vllm.entrypoints.launchers.api_server.entry")
    import_module("vllm.utils.system_utils").decorate_logs("APIServer", skip_if_decorated=True)
    if session.config.telemetry.enabled:
        show_on_prometheus(os.environ)
    options.middleware = [*options.middleware, INSIDE]  # the last one is the outermost
    address, sock = import_module("vllm.entrypoints.launchers.launcher").setup_server(options, reuse_port=False)
    with closing(sock):
        async with entry.build_async_engine_client(options) as client:
            engine = wrap(client, session.config)
            if not engine.hears:
                log.warning("the engine says nothing of itself while --disable-log-stats is set")
            try:
                await engine.start()
                _say(engine, session)
                ended = await entry.build_and_serve(engine, address, sock, options)
            finally:
                await engine.stop()
        await ended  # vLLM closes its connections when the engine is gone


def _say(engine: ForebayEngine, session: Session) -> None:
    config, limit = engine.runtime.config, engine.runtime.config.limit
    numbers = ", ".join(f"{name} {value:,}" for name, value in limit.settings.items() if isinstance(value, int))
    log.info(
        "forebay is in front of the engine: exact hits %s, semantic hits %s; limit %s; state in %s; config: %s",
        config.cache.exact.value,
        config.cache.semantic.value,
        f"{limit.type} ({numbers})" if numbers else limit.type,
        engine.runtime.state_dir,
        session.source,
    )
    for problem in engine.runtime.problems:
        log.warning("forebay goes without it: %s", problem)


def _log_like_vllm() -> None:
    """Let our log lines come out where vLLM's do."""
    ours, theirs = logging.getLogger(__name__.partition(".")[0]), logging.getLogger("vllm")
    for handler in theirs.handlers:
        if handler not in ours.handlers:
            ours.addHandler(handler)
    ours.setLevel(theirs.level or logging.INFO)
