from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.milvus.lite import LiteServer
from forebay.adapters.otlp.receiver import Receiver
from forebay.middleware.events import Health
from forebay.middleware.releases import COMPROMISED_LITELLM

Run = Callable[..., Any]
Installed = Callable[[str, str | None], None]


def findings(outcome: Any) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(outcome.out)["findings"]}


@pytest.fixture
def engine(config: Path) -> Generator[tuple[str, list[tuple[int, bytes]]]]:
    """An engine that answers with the status and body put last."""
    replies: list[tuple[int, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = replies[-1] if self.path == "/v1/models" else (404, b"")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", replies
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def litellm_selftest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes five seconds: one test runs it, the others are about something else."""
    if request.node.name != "test_the_hooks_of_litellm_fire":

        async def canned() -> Health:
            return Health("LiteLLM hooks", ok=True, detail="canned")

        monkeypatch.setattr("forebay.plugins.litellm._selftest", canned)


def test_the_hooks_of_litellm_fire(forebay: Run, config: Path) -> None:
    found = findings(forebay("doctor", "--json"))["LiteLLM hooks"]
    assert (found["level"], "a repeated request is answered from the cache" in found["detail"]) == ("ok", True)


def test_all_is_well(forebay: Run, config: Path) -> None:
    outcome = forebay("doctor")
    assert outcome.status == 0, outcome.out
    assert "0 failed" in outcome.out
    found = findings(forebay("doctor", "--json"))
    for name in ("python", "forebay", "packages", "config", "plugins", "state folder", "store", "embedding"):
        assert found[name]["level"] == "ok", found[name]
    assert "32 floats, norm 1.000" in found["embedding"]["detail"]


def test_a_broken_config_fails_and_says_why(forebay: Run, config: Path) -> None:
    config.write_text("stoer: 1", encoding="utf-8")
    outcome = forebay("doctor")
    assert outcome.status == 1
    assert "Did you mean 'store'?" in outcome.out
    assert findings(forebay("doctor", "--json"))["config"]["level"] == "fail"


def test_a_missing_package_fails_and_says_what_to_install(forebay: Run, config: Path, installed: Installed) -> None:
    installed("pymilvus", None)
    outcome = forebay("doctor", "--json")
    assert outcome.status == 1
    assert findings(outcome)["store"]["fix"] == "pip install 'forebay[milvus]'"


@pytest.mark.parametrize("release", COMPROMISED_LITELLM)
def test_a_compromised_litellm_fails(forebay: Run, config: Path, installed: Installed, release: str) -> None:
    installed("litellm", release)
    outcome = forebay("doctor", "--json")
    assert outcome.status == 1
    assert "malicious" in findings(outcome)["litellm"]["detail"]


def test_a_state_folder_that_cannot_be_written(forebay: Run, config: Path, folder: Path) -> None:
    (folder / "state").write_text("a file where a folder should be", encoding="utf-8")
    outcome = forebay("doctor", "--json")
    assert outcome.status == 1
    assert "cannot be written to" in findings(outcome)["config"]["detail"]


def test_a_busy_store_and_the_kill_switch_are_warnings(forebay: Run, config: Path, folder: Path) -> None:
    forebay("off")
    holder = LiteServer.open(folder / "state" / "cache.db")
    try:
        outcome = forebay("doctor", "--json")
    finally:
        holder.close()
    assert outcome.status == 0
    found = findings(outcome)
    assert found["kill switch"]["level"] == "warn"
    assert found["store"]["level"] == "warn"
    assert "in use by another process" in found["store"]["detail"]


def test_the_collector_is_asked(forebay: Run, config: Path) -> None:
    text = config.read_text(encoding="utf-8")
    with Receiver() as receiver:
        endpoint = receiver.endpoint
        config.write_text(f"{text}telemetry: {{exporter: {{type: otlp, endpoint: '{endpoint}'}}}}", encoding="utf-8")
        assert findings(forebay("doctor", "--json"))["telemetry"]["level"] == "ok"
    gone = forebay("doctor", "--json")
    assert gone.status == 0
    assert findings(gone)["telemetry"]["level"] == "warn"
    assert "does not answer" in findings(gone)["telemetry"]["detail"]


@pytest.mark.parametrize(
    ("reply", "level", "said"),
    [
        ((200, b'{"data": [{"id": "big"}]}'), "ok", "big"),
        ((401, b""), "ok", "asks for a key"),
        ((500, b""), "fail", "answered 500"),
        ((200, b"<html>"), "fail", "not answer like an OpenAI server"),
    ],
)
def test_the_engine_is_asked(forebay: Run, engine: Any, reply: Any, level: str, said: str) -> None:
    url, replies = engine
    replies.append(reply)
    for base in (url, f"{url}/v1/"):
        found = findings(forebay("doctor", "--json", "--engine-url", base))["engine"]
        assert found["level"] == level
        assert said in found["detail"]


def test_an_engine_that_is_not_there(forebay: Run, config: Path) -> None:
    outcome = forebay("doctor", "--json", "--engine-url", "http://127.0.0.1:9")
    assert outcome.status == 1
    assert "does not answer" in findings(outcome)["engine"]["detail"]
