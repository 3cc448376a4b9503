from __future__ import annotations

import io
import json
import socket
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from rich.console import Console

from forebay.adapters.litellm.serve.command import environment, run
from forebay.adapters.litellm.serve.deployments import Deployment
from forebay.adapters.litellm.serve.screen import Screen, Serving, curl
from forebay.middleware.cli.session import Session
from forebay.middleware.errors import AdapterError, ConfigError, ForebayError

MODEL = Deployment("my model", "openai/m", "http://h:1/v1")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of its own, and nothing of ours in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("FOREBAY_CONFIG", "LITELLM_MASTER_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def engine() -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"data": [{"id": "tiny"}]}).encode()
            self.send_response(200 if self.path == "/v1/models" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def serving(
    *, host: str = "127.0.0.1", key_env: str | None = None, path: str | None = None, model: Deployment = MODEL
) -> Serving:
    return Serving((model,), host, 4000, 1, key_env, Session(path))


def said(screen_of: Serving) -> str:
    out = io.StringIO()
    Screen(Console(file=out, width=200)).ready(screen_of)
    return out.getvalue()


def test_write_leaves_a_config_that_asks_for_a_key(
    engine: str, nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([engine, "openai/gpt", "--write", "l.yaml", "--port", "5000"]) == 0
    written = yaml.safe_load((nowhere / "l.yaml").read_text())
    assert [each["model_name"] for each in written["model_list"]] == ["tiny", "gpt"]
    assert written["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"
    assert "litellm --config l.yaml --host 127.0.0.1 --port 5000" in capsys.readouterr().out


def test_write_to_stdout_is_yaml_alone(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([engine, "--write", "-"]) == 0
    assert set(yaml.safe_load(capsys.readouterr().out)) == {"model_list", "litellm_settings", "general_settings"}


def test_write_replaces_nothing(engine: str, nowhere: Path) -> None:
    (nowhere / "l.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="may have been edited"):
        run([engine, "--write", "l.yaml"])
    assert (nowhere / "l.yaml").read_text() == "mine"


def test_an_address_others_can_reach_needs_a_key(engine: str) -> None:
    with pytest.raises(ConfigError, match=r"master key is not set, and on 0\.0\.0\.0"):
        run([engine, "--host", "0.0.0.0"])


def test_a_port_that_is_taken_is_said_before_anything_starts(engine: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: cannot be listened on"):
            run([engine, "--port", str(port)])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["openai/gpt"], "OPENAI_API_KEY: is not set; put the provider's key there"),
        (["http://127.0.0.1:1/v1", "--key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY: is not set; put the servers' key there"),
        (["http://127.0.0.1:1/v1"], "http://127.0.0.1:1/v1/models cannot be reached"),
        (["http://127.0.0.1:1/v1", "--config", "missing.yaml"], "missing.yaml: no such file"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(words: list[str], problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises((ConfigError, AdapterError)) as caught:
        run([*words, "--port", str(port)])
    assert problem in str(caught.value)


def test_a_component_that_is_not_there_is_said_before_anything_starts(nowhere: Path) -> None:
    (nowhere / "forebay.yaml").write_text("eviction: {type: lruu}")
    with pytest.raises(ForebayError, match="no eviction named 'lruu'"):
        run(["http://h/v1#m"])


@pytest.mark.parametrize("words", [[], ["http://h/v1", "--port", "0"], ["http://h/v1", "--num-workers", "0"]])
def test_wrong_words_are_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert "usage: forebay serve" in capsys.readouterr().err


def test_a_key_is_named_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "sk-0123456789abcdef")
    shown = said(serving(host="0.0.0.0", key_env="OURS"))
    assert 'curl -i http://127.0.0.1:4000/v1/chat/completions -H "Authorization: Bearer $OURS"' in shown
    assert "on all addresses of this machine, port 4000" in shown
    assert "0123456789abcdef" not in shown


def test_without_a_key_it_says_so_and_where_the_state_is(nowhere: Path) -> None:
    shown = said(serving())
    assert "whoever reaches this port may ask" in shown
    assert str(nowhere / ".forebay") in shown
    assert "x-forebay-cache" in shown
    assert "\nforebay explain ID" in shown


def test_explain_is_told_with_the_config_that_serves(nowhere: Path) -> None:
    (nowhere / "my forebay.yaml").write_text("state_dir: there")
    shown = said(serving(path="my forebay.yaml"))
    assert "forebay -c 'my forebay.yaml' explain ID" in shown
    assert str(nowhere / "there") in shown


def test_the_command_is_safe_for_a_shell() -> None:
    quoted = curl(serving(model=Deployment("it's", "openai/m", "http://h/v1")))
    assert quoted.endswith(
        """'{"model": "it'"'"'s", "messages": [{"role": "user", "content": "What is the capital of France?"}]}'"""
    )


def test_an_address_of_version_6_stands_in_brackets() -> None:
    assert serving(host="::").url == "http://[::1]:4000"


def test_the_environment_is_the_callers_and_the_config(nowhere: Path) -> None:
    made = environment({"HOME": "/h", "LITELLM_LOCAL_MODEL_COST_MAP": "False"}, serving(path="f.yaml"))
    assert made["HOME"] == "/h"
    assert made["FOREBAY_CONFIG"] == "f.yaml"
    assert made["LITELLM_LOCAL_MODEL_COST_MAP"] == "False"
    hosted = environment({}, serving(model=Deployment("gpt", "openai/gpt", key_env="OPENAI_API_KEY")))
    assert "LITELLM_LOCAL_MODEL_COST_MAP" not in hosted
    assert "FOREBAY_CONFIG" not in hosted
