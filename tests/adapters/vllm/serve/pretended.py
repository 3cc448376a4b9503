"""As much of vLLM as the command touches: its parser, what starts its engine and its server, and what they were given."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from forebay.adapters.vllm.engine import ForebayEngine
from forebay.adapters.vllm.fake import FakeEngine, fake_names


class Pretended:
    """Modules named as vLLM's, in their place while a test runs.

    Attributes:
        seen: what happened, in order.
        served: the engine that the server was given.
        fails: raised by the server in place of serving.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.served: ForebayEngine | None = None
        self.options: argparse.Namespace | None = None
        self.fails: BaseException | None = None
        self.manager: Any = SimpleNamespace(stat_loggers=[])
        self.socket: socket.socket | None = None
        made: dict[str, dict[str, Any]] = {
            "vllm.utils.argparse_utils": {"FlexibleArgumentParser": argparse.ArgumentParser},
            "vllm.entrypoints.cli.serve": {"ServeSubcommand": self._subcommand()},
            "vllm.entrypoints.serve.utils.api_utils": {"cli_env_setup": self._environment},
            "vllm.logger": {"configure_logging_from_args": self._logging},
            "vllm.utils.system_utils": {"decorate_logs": self._decorate},
            "vllm.entrypoints.launchers.launcher": {"setup_server": self._set_up},
            "vllm.entrypoints.launchers.api_server.entry": {
                "build_async_engine_client": self._engine,
                "build_and_serve": self._serve,
            },
            "uvloop": {"run": _run},
        }
        for name, contents in made.items():
            module: Any = SimpleNamespace(**contents)
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr("forebay.adapters.vllm.serve.command.installed", fake_names)
        monkeypatch.setattr("forebay.adapters.vllm.engine.installed", fake_names)
        monkeypatch.setattr("forebay.adapters.vllm.serve.server.show_on_prometheus", self._shown)

    def _environment(self) -> None:
        self.seen.append("environment")

    def _logging(self, _: argparse.Namespace) -> None:
        self.seen.append("logging")

    def _decorate(self, name: str, *, skip_if_decorated: bool) -> None:
        assert (name, skip_if_decorated) == ("APIServer", True)

    def _shown(self, _: object) -> bool:
        self.seen.append("prometheus")
        return True

    def _subcommand(self) -> type:
        seen = self.seen

        class ServeSubcommand:
            def subparser_init(self, subparsers: Any) -> argparse.ArgumentParser:
                made: argparse.ArgumentParser = subparsers.add_parser("serve", usage="vllm serve [options]")
                made.epilog = "For full list: vllm serve --help=all"
                made.add_argument("model_tag", nargs="?")
                made.add_argument("--model", default="nobody/nothing")
                made.add_argument("--port", type=int, default=8000)
                made.add_argument("--api-server-count", type=int, default=None)
                made.add_argument("--headless", action="store_true")
                made.add_argument("--grpc", action="store_true")
                made.add_argument("--data-parallel-multi-port-external-lb", action="store_true")
                made.add_argument("--middleware", action="append", default=[])
                return made

            def validate(self, options: argparse.Namespace) -> None:
                seen.append("validated")
                if options.port == 1:
                    raise ValueError("that port is taken by history")

        return ServeSubcommand

    def _set_up(self, options: argparse.Namespace, *, reuse_port: bool) -> tuple[str, socket.socket]:
        assert not reuse_port
        self.options, self.socket = options, socket.socket()
        return "http://nowhere", self.socket

    @asynccontextmanager
    async def _engine(self, _: argparse.Namespace) -> AsyncGenerator[FakeEngine]:
        self.seen.append("engine")
        engine: Any = FakeEngine()
        engine.logger_manager = self.manager
        engine.vllm_config = SimpleNamespace(
            scheduler_config=SimpleNamespace(max_num_seqs=4, max_num_batched_tokens=64, policy="fcfs"),
            cache_config=SimpleNamespace(block_size=16, num_gpu_blocks=11, kv_cache_size_tokens=160),
            parallel_config=SimpleNamespace(data_parallel_size=1),
        )
        yield engine
        self.seen.append("engine gone")

    async def _serve(
        self, engine: ForebayEngine, _: str, __: socket.socket, ___: argparse.Namespace
    ) -> Awaitable[None]:
        self.served = engine
        self.seen.append("served")
        if self.fails is not None:
            raise self.fails
        return self._closed()

    async def _closed(self) -> None:
        self.seen.append("connections closed")


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner() as runner:
        runner.run(main)
