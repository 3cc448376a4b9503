"""What an operator is shown, and who else is not; and calls that nobody waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forebay import __version__
from forebay.adapters.asgi.engine import AppEngine
from forebay.middleware.errors import EngineError
from forebay.testing import chat
from tests.adapters.asgi.server import USAGE, Voice, server
from tests.adapters.asgi.visiting import Client, asked, fronted, runtime_of, settled, until

STATUS = "/forebay/status"


async def test_status_says_what_goes_on(tmp_path: Path) -> None:
    voice = Voice()
    limit = {"limit": {"type": "fixed", "max_inflight": 2}}
    async with fronted(server(voice, keys=("sk-one",)), tmp_path, **limit) as app:
        for _ in range(3):
            await Client(app, asked(), key="sk-one").done()
            await settled(app)
        voice.held = True
        running = Client(app, asked("another"), key="sk-one")
        await until(lambda: voice.running == 1)
        shown = await Client(app, path=STATUS, method="GET", key="sk-one").done()
        assert shown.status == 200
        said = shown.json
        assert (said["version"], said["ready"], said["mode"]) == (__version__, True, "serve")
        assert said["requests"] == {"miss": 1, "exact": 2}
        assert said["load"] == {"inflight": 1, "inside": 1, "queued": 0}
        (lane,) = said["lanes"]
        assert {name: lane[name] for name in ("lane", "queued", "inside", "places")} == {
            "lane": "",
            "queued": 0,
            "inside": 1,
            "places": 2,
        }
        assert all(finding["ok"] for finding in said["findings"])
        assert "sk-one" not in json.dumps(said)
        voice.go()
        await running.done()
        (tmp_path / "off").touch()
        runtime_of(app).modes._looked_s = -10.0  # pyright: ignore[reportPrivateUsage]  (a second later)
        assert (await Client(app, path=STATUS, method="GET", key="sk-one").done()).json["mode"] == "off"


async def test_status_is_for_callers_whom_the_server_lets_in(tmp_path: Path) -> None:
    async with fronted(server(Voice(), keys=("sk-one",)), tmp_path) as app:
        stranger = await Client(app, path=STATUS, method="GET").done()
        assert (stranger.status, b"version" in stranger.raw) == (404, False)  # the server knows no such path


async def test_background_calls_go_past_the_front(tmp_path: Path) -> None:
    voice = Voice()
    own = {"front": {"background_api_key": "sk-one"}}
    async with fronted(server(voice, keys=("sk-one",)), tmp_path, **own) as app:
        await Client(app, asked(), key="sk-one").done()
        background = runtime_of(app).background
        assert background is not None
        answer = await background.call(chat("What is a forebay?", model="tiny", temperature=0))
        assert answer["usage"] == USAGE
        assert voice.bodies[-1] == {**asked(), "temperature": 0, "stream": False}
        assert voice.headers[-1]["authorization"] == "Bearer sk-one"
    async with fronted(server(voice), tmp_path) as app:
        await Client(app, asked()).done()
        assert runtime_of(app).background is None


@pytest.mark.parametrize(("status", "said"), [(500, b"{}"), (200, b"{}"), (200, b"not json"), (200, b'{"choices": 1}')])
async def test_an_app_that_gives_no_answer_is_an_engine_error(status: int, said: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": said})

    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise OSError

    for each in (app, raises):
        with pytest.raises(EngineError):
            await AppEngine(each, "").complete(chat("hello"), {})
