"""The command, with a vLLM that is only pretended: what it refuses, and the order in which things begin and end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.vllm.feed import FeedLogger
from forebay.adapters.vllm.serve.command import run
from forebay.middleware.errors import ConfigError
from tests.adapters.vllm.serve.pretended import Pretended

STARTED = ["environment", "logging", "validated", "prometheus", "engine"]


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pretended:
    monkeypatch.chdir(tmp_path)
    for name in ("FOREBAY_CONFIG", "VLLM_USE_RUST_FRONTEND"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "forebay.yaml").write_text("store: {type: memory}\ncache: {semantic: 'off'}\n")
    return Pretended(monkeypatch)


def test_it_serves_a_wrapped_engine_and_leaves_nothing(pretended: Pretended) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run(["my-model", "--port", "8123"]) == 0
    assert pretended.seen == [*STARTED, "served", "engine gone", "connections closed"]
    assert pretended.options is not None
    assert pretended.options.model == "my-model"
    assert pretended.options.api_server_count is None
    assert pretended.options.middleware == ["forebay.adapters.vllm.inside.Inside"]
    assert pretended.socket is not None
    assert pretended.socket.fileno() == -1
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_engines_numbers_are_the_limits_and_its_statistics_are_read(pretended: Pretended) -> None:
    run(["my-model"])
    assert pretended.served is not None
    limit = pretended.served.runtime.config.limit
    assert (limit.type, limit.settings) == ("goodput", {"max_inflight": 4, "kv_tokens": 160})
    assert [type(logger) for logger in pretended.manager.stat_loggers] == [FeedLogger]


def test_an_engine_without_statistics_is_said(pretended: Pretended, caplog: pytest.LogCaptureFixture) -> None:
    pretended.manager = None
    assert run(["my-model"]) == 0
    assert "--disable-log-stats" in caplog.text


def test_ours_is_the_outermost_of_several_middlewares(pretended: Pretended) -> None:
    run(["my-model", "--middleware", "theirs.App"])
    assert pretended.options is not None
    assert pretended.options.middleware == ["theirs.App", "forebay.adapters.vllm.inside.Inside"]


def test_the_config_may_be_named_behind_the_command(pretended: Pretended, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("store: {type: memory}\ncache: {semantic: 'off'}\nlimit: {type: fixed}\n")
    run(["my-model", "--forebay-config", "other.yaml"])
    assert pretended.served is not None
    assert pretended.served.runtime.config.limit.settings == {"max_inflight": 4}


def test_a_wrong_config_is_found_before_the_engine_starts(pretended: Pretended, tmp_path: Path) -> None:
    (tmp_path / "forebay.yaml").write_text("limit: {type: nobody}\n")
    with pytest.raises(ConfigError, match="no limit named 'nobody'"):
        run(["my-model"])
    assert "engine" not in pretended.seen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--api-server-count", "2"], "must be 1"),
        (["--api-server-count", "0"], "must be 1"),
        (["--headless"], "without a server"),
        (["--grpc"], "no HTTP"),
        (["--data-parallel-multi-port-external-lb"], "a server for each rank"),
        (["--port", "1"], "taken by history"),
    ],
)
def test_what_would_serve_without_forebay_is_refused(pretended: Pretended, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(["my-model", *words])
    assert "engine" not in pretended.seen


def test_a_front_end_that_is_not_python_is_refused(pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", "1")
    with pytest.raises(ConfigError, match="VLLM_USE_RUST_FRONTEND"):
        run(["my-model"])


def test_one_api_process_may_be_asked_for(pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", "0")
    assert run(["my-model", "--api-server-count", "1"]) == 0


def test_a_word_that_vllm_does_not_know_is_vllms_error(
    pretended: Pretended, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["my-model", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "forebay vllm serve --help=all" in shown
    assert "--forebay-config" in shown
    assert pretended.seen == ["environment"] * 2


def test_a_failing_server_takes_the_engine_and_forebay_with_it(pretended: Pretended) -> None:
    pretended.fails = RuntimeError("port taken")
    with pytest.raises(RuntimeError, match="port taken"):
        run(["my-model"])
    assert pretended.served is not None
    assert pretended.socket is not None
    assert pretended.socket.fileno() == -1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_it(
    pretended: Pretended, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), number)
        raise AssertionError("the signal did not arrive")

    launcher: Any = sys.modules["vllm.entrypoints.launchers.launcher"]
    monkeypatch.setattr(launcher, "setup_server", interrupted)
    before = signal.getsignal(number)
    assert run(["my-model"]) == 128 + number
    assert signal.getsignal(number) is before


def test_our_log_lines_come_out_where_vllms_do(pretended: Pretended) -> None:
    theirs, ours = logging.getLogger("vllm"), logging.getLogger("forebay")
    handler, kept, level = logging.NullHandler(), list(ours.handlers), ours.level
    theirs.addHandler(handler)
    try:
        run(["my-model"])
        run(["my-model"])
        assert ours.handlers.count(handler) == 1
        assert ours.isEnabledFor(logging.INFO)
    finally:
        theirs.removeHandler(handler)
        ours.handlers, ours.level = kept, level
