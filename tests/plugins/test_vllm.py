"""The command ``forebay vllm``."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.protocols import Command
from forebay.middleware.registry import COMMAND, Build
from forebay.middleware.telemetry import Telemetry


@pytest.fixture
def command(tmp_path: Path) -> Command:
    build = Build(tmp_path, Keyring({"k": b"secret"}, "k"), Telemetry(enabled=False))
    return PluginManager.from_entry_points().registry.build(COMMAND, "vllm", {}, build)


def test_without_serve_it_says_how_it_is_used(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run([]) == 2
    assert command.run(["bench"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("usage: forebay vllm serve MODEL") == 2
    assert captured.out == ""
    assert command.run(["--help"]) == 0
    assert "usage: forebay vllm serve MODEL" in capsys.readouterr().out
    assert "serve MODEL" in command.help


def test_serve_gets_the_words_behind_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run(words: list[str]) -> int:
        seen.append(words)
        return 7

    monkeypatch.setattr("forebay.adapters.vllm.serve.command.run", run)
    assert command.run(["serve", "model", "--port", "1"]) == 7
    assert seen == [["model", "--port", "1"]]
