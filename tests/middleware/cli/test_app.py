from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from forebay.middleware import plugin_manager
from forebay.middleware.cli import components
from forebay.middleware.errors import ForebayError
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.registry import COMMAND, Build, NoSettings
from forebay.middleware.version import __version__
from forebay.plugins import demo

Run = Callable[..., Any]


class Echo:
    help = "Says what it was told."

    def __init__(self, build: Build) -> None:
        assert build.state_dir.is_dir()

    def run(self, args: Sequence[str]) -> int:
        if "fail" in args:
            raise ForebayError("told to\nfail")
        print(list(args))
        return 3


def make_echo(settings: NoSettings, build: Build) -> Echo:
    return Echo(build)


def make_broken(settings: NoSettings, build: Build) -> Echo:
    raise ImportError(name="nowhere")


@pytest.fixture
def with_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(wanted: Sequence[str] = ()) -> PluginManager:
        manager = PluginManager()
        manager.registry.add(COMMAND, "echo", make_echo, settings=NoSettings, plugin="echo")
        manager.registry.add(COMMAND, "broken", make_broken, settings=NoSettings, plugin="broken", extra="some")
        return manager

    monkeypatch.setattr(plugin_manager.PluginManager, "from_entry_points", load)


def test_help_lists_own_and_registered_commands(forebay: Run, with_echo: None) -> None:
    outcome = forebay("--help")
    assert outcome.status == 0
    for word in ("doctor", "plugins", "explain", "off", "on", "config", "cache", "echo", "Says what it was told"):
        assert word in outcome.out
    assert "forebay[some]" in outcome.out


def test_the_demo_is_listed_and_explains_itself(forebay: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "demo" in forebay("--help").out
    outcome = forebay("demo", "--help")
    assert outcome.status == 0
    assert "--serve" in outcome.out


def _without(package: str) -> Callable[[str], object]:
    def find(name: str) -> object:
        return None if name == package else find_spec(name)

    return find


@pytest.mark.parametrize("package", ["openai", "xllamacpp"])
def test_the_demo_says_what_to_install(forebay: Run, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setattr(demo, "find_spec", _without(package))
    outcome = forebay("demo")
    assert outcome.status == 2
    assert f"needs the package '{package}'; install it with: pip install 'forebay[demo]'" in outcome.err


def test_help_comes_also_where_the_config_is_broken(forebay: Run, config: Path) -> None:
    config.write_text("a: [", encoding="utf-8")
    outcome = forebay("--help")
    assert outcome.status == 0
    assert "doctor" in outcome.out


def test_version(forebay: Run) -> None:
    assert forebay("--version").out.strip() == f"forebay {__version__}"


def test_a_registered_command_gets_its_words_as_they_are(forebay: Run, with_echo: None) -> None:
    words = ["--help", "-x", "--", "a b", "--flag=1"]
    outcome = forebay("echo", *words)
    assert outcome.status == 3
    assert outcome.out.strip() == str(words)


def test_a_registered_command_runs_without_a_valid_config(forebay: Run, with_echo: None, config: Path) -> None:
    config.write_text("unknown: 1", encoding="utf-8")
    assert forebay("echo", "hello").status == 3


def test_an_error_is_one_line_and_status_2(forebay: Run, with_echo: None) -> None:
    outcome = forebay("echo", "fail")
    assert outcome.status == 2
    assert outcome.err == "error: told to fail\n"


def test_a_command_without_its_extra_says_what_to_install(forebay: Run, with_echo: None) -> None:
    outcome = forebay("broken")
    assert outcome.status == 2
    assert "pip install 'forebay[some]'" in outcome.err


def test_an_unknown_command_is_a_usage_error(forebay: Run, with_echo: None) -> None:
    outcome = forebay("nothing")
    assert outcome.status == 2
    assert "nothing" in outcome.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: [unclosed", "forebay.yaml: not YAML at line"),
        ("stoer: {type: milvus}", "stoer: unknown key 'stoer'. Did you mean 'store'?"),
        ("store: {type: milvsu}", "store.type: there is no store named 'milvsu'. Did you mean 'milvus'?"),
        ("store: {type: milvus, uir: x}", "store.uir: unknown key 'uir'. Did you mean 'uri'?"),
        ("plugins: [mine]", "plugins: no installed distribution offers a plugin named 'mine'"),
        ("telemetry: {exporter: {type: otlp, sample_ratio: 2}}", "telemetry.exporter.sample_ratio: Input should be"),
        ("answer_checks: [{type: clean_end}, {type: x}]", "answer_checks.1.type: there is no answer_check named 'x'"),
    ],
)
def test_what_is_wrong_in_a_config_is_said_with_its_place(forebay: Run, config: Path, text: str, said: str) -> None:
    config.write_text(text, encoding="utf-8")
    outcome = forebay("config", "check")
    assert outcome.status == 2
    assert outcome.err.startswith("error: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_config_that_is_not_there(forebay: Run, folder: Path) -> None:
    outcome = forebay("-c", "nowhere.yaml", "config", "check")
    assert outcome.status == 2
    assert "nowhere.yaml: no such file" in outcome.err


def test_the_environment_names_the_config(forebay: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = config.with_name("other.yaml")
    other.write_text("mode: shadow", encoding="utf-8")
    monkeypatch.setenv("FOREBAY_CONFIG", str(other))
    outcome = forebay("config", "show")
    assert "mode: shadow" in outcome.out
    assert "other.yaml" in outcome.out


def test_the_module_runs_and_imports_no_optional_package(folder: Path) -> None:
    script = (
        "import sys; from forebay.middleware.cli import main; sys.argv = ['forebay', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'litellm', 'pymilvus', 'onnxruntime', 'numpy', 'openai', 'xllamacpp', 'opentelemetry.sdk'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_not_installed_is_a_missing_extra(installed: Callable[[str, None], None]) -> None:
    assert components.missing_packages("milvus") == []
    for name in ("pymilvus", "milvus-lite"):
        installed(name, None)
    assert components.missing_packages("milvus") == ["milvus-lite", "pymilvus"]
    assert {"milvus-lite", "pymilvus"} <= set(components.missing_packages("proxy"))
    assert components.missing_packages("no-such-extra") == []
