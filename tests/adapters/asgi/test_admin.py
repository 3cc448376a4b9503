"""Dropping kept answers over HTTP, in front of a server: for who has the key, and for nobody where there is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from forebay.middleware.errors import ConfigError
from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import Client, asked, fronted, runtime_of, settled

if TYPE_CHECKING:
    from pathlib import Path

FORGET, BUMP = "/forebay/cache/forget", "/forebay/cache/bump"
KEY = "an-administrators-key"
OWN = {"front": {"admin_key": KEY}}


async def test_an_administrator_drops_answers(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice, keys=("sk-one",)), tmp_path, **OWN) as app:

        async def ask(**headers: str) -> str | None:
            got = await Client(app, asked(), key="sk-one", headers=headers).done()
            await settled(app)
            return got.cache

        assert [await ask(**{"x-forebay-tags": "v1"}), await ask()] == ["miss", "exact"]
        admin = {"x-forebay-admin-key": KEY}
        would = await Client(app, {"tag": "v1", "dry_run": True}, path=FORGET, headers=admin).done()
        assert (would.status, would.json) == (200, {"dry_run": True, "matched": 1})
        made = await Client(app, {"tag": "v1"}, path=FORGET, headers=admin).done()
        assert (made.status, made.json["dropped"]) == (200, 1)
        assert await ask() == "miss"
        bumped = await Client(app, path=BUMP, headers=admin).done()
        assert (bumped.status, bumped.json) == (200, {"bumped": "everything", "workers": 0, "answered": 0})
        assert runtime_of(app).epochs.of("anybody") > 0
        for body in (b"{", b"x" * 2_000_000, b"[]"):
            wrong = await Client(app, body, path=FORGET, headers=admin).done()
            assert wrong.status == 400


@pytest.mark.parametrize("headers", [{}, {"x-forebay-admin-key": ""}, {"x-forebay-admin-key": KEY[:-1]}])
async def test_nobody_else_does(tmp_path: Path, headers: dict[str, str]) -> None:
    async with fronted(server(Voice(), keys=("sk-one",)), tmp_path, **OWN) as app:
        for path in (FORGET, BUMP):
            got = await Client(app, {}, path=path, key="sk-one", headers=headers).done()
            assert got.status == 401
            assert KEY not in json.dumps(got.json)
        assert not runtime_of(app).state.epochs()


@pytest.mark.parametrize("key", ["sk-one", None])
async def test_without_a_key_there_is_no_such_path(tmp_path: Path, key: str | None) -> None:
    async with fronted(server(Voice(), keys=("sk-one",)), tmp_path) as app:
        for path in (FORGET, BUMP):
            got = await Client(app, {}, path=path, key=key, headers={"x-forebay-admin-key": ""}).done()
            assert got.status == 404  # the server's own
        assert not runtime_of(app).state.epochs()


async def test_a_key_that_can_be_guessed_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="admin_key") as refused:
        async with fronted(server(Voice()), tmp_path, front={"admin_key": "guess-me"}) as app:
            assert app
    assert "guess-me" not in str(refused.value)
