"""With the server forebay starts and stops; what is wrong stops the server's start, and fails no request."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.asgi import ForebayMiddleware
from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import Client, asked, front, fronted, running, settled, until


def quiet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say by environment what `front` says by config."""
    config = folder / "forebay.yaml"
    config.write_text(f"state_dir: {folder / 'state'}\nstore: {{type: memory}}\nembedder: {{type: hashing}}\n")
    monkeypatch.setenv("FOREBAY_CONFIG", str(config))


async def test_it_is_configured_by_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(tmp_path, monkeypatch)
    monkeypatch.setenv("FOREBAY__CACHE__SEMANTIC", "off")
    events: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[dict[str, Any]]:
        events.append("up")
        yield {"own": 1}
        events.append("down")

    app = server(Voice(), lifespan=lifespan)
    app.add_middleware(ForebayMiddleware)  # as vLLM does it
    async with running(app) as said:
        assert said == [{"type": "lifespan.startup.complete"}]
        assert (await Client(app, asked()).done()).cache == "miss"
        assert events == ["up"]
    assert events == ["up", "down"]
    assert said[-1] == {"type": "lifespan.shutdown.complete"}
    assert (tmp_path / "state" / "secret.json").exists()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("FOREBAY_CONFIG", "/nowhere/forebay.yaml", "no such file"),
        ("FOREBAY__FRONT__AUTH_PAHT", "/x", "auth_path"),
        ("FOREBAY__STORE__TYPE", "nonsense", "nonsense"),
    ],
)
async def test_a_wrong_setting_stops_the_start(
    variable: str, value: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(tmp_path, monkeypatch)
    monkeypatch.setenv(variable, value)
    entered: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        entered.append("up")
        yield

    app = server(Voice(), lifespan=lifespan)
    app.add_middleware(ForebayMiddleware)
    async with running(app) as said:
        (only,) = said
        assert only["type"] == "lifespan.startup.failed"
        assert told in only["message"]
    assert entered == []


async def test_the_apps_own_failure_is_passed_on(tmp_path: Path) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        raise KeyError("theirs")
        yield

    app = front(server(Voice(), lifespan=lifespan), tmp_path)
    async with running(app) as said:
        assert said[0]["type"] == "lifespan.startup.failed"
        assert "theirs" in said[0]["message"]
        assert app.runtime is None


async def test_without_a_lifespan_the_first_request_starts_it_and_none_waits(tmp_path: Path) -> None:
    voice = Voice()
    app = front(server(voice), tmp_path)
    assert (await Client(app, asked()).done()).cache is None
    await until(lambda: app.runtime is not None)
    assert (await Client(app, asked()).done()).cache == "miss"
    await settled(app)
    assert (await Client(app, asked()).done()).cache == "exact"
    assert voice.calls == 2
    await vars(app)["_life"].stop()


async def test_without_a_lifespan_a_wrong_setting_is_told_and_all_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FOREBAY_CONFIG", str(tmp_path / "none.yaml"))
    app = ForebayMiddleware(server(Voice()))
    with caplog.at_level(logging.ERROR, "forebay.adapters.asgi"):
        for _ in range(3):
            client = await Client(app, asked()).done()
            assert (client.status, client.cache) == (200, None)
        await until(lambda: caplog.records)
    (record,) = caplog.records
    assert "none.yaml" in record.getMessage()


async def test_an_app_without_a_lifespan_gets_one(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    async with fronted(app, tmp_path) as made:
        assert made.runtime is not None
    assert made.runtime is None


async def test_sockets_pass(tmp_path: Path) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        if scope["type"] == "lifespan":
            raise NotImplementedError

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    async with fronted(app, tmp_path) as made:
        await made({"type": "websocket", "path": "/v1/realtime"}, nothing, nothing)
    assert seen == ["lifespan", "websocket"]
