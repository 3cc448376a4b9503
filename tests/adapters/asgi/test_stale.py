"""Old answers behind the front: served while they are computed anew, and where the server fails."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.records import EVERYTHING
from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import Client, asked, fronted, runtime_of, settled

GRACES: dict[str, Any] = {"expiry": {"type": "fixed", "grace_s": 600.0, "error_grace_s": 3_600.0}}
ONLY_ERRORS: dict[str, Any] = {"expiry": {"type": "fixed", "grace_s": 0.0, "error_grace_s": 3_600.0}}


async def aged(app: Any) -> None:
    """Let all that is kept have expired a second ago."""
    keeper = runtime_of(app).keeper
    for entry in [entry async for entry in keeper.scan(EVERYTHING)]:
        await keeper.store.put(replace(entry, expires_s=time.time() - 1.0))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_old_answer_stands_in_for_a_server_that_fails(stream: bool, tmp_path: Path) -> None:
    voice = Voice()
    usage: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    async with fronted(server(voice), tmp_path, **ONLY_ERRORS) as app:
        first = await Client(app, asked()).done()
        await settled(app)
        await aged(app)
        voice.refuses.append((503, '{"error": {"message": "down"}}'))
        reply = await Client(app, asked(stream=stream, **usage)).done()
        assert (reply.status, reply.cache, reply.text) == (200, "stale", first.text)
        assert runtime_of(app).pipeline.inflight == 0


async def test_it_does_not_where_the_request_is_at_fault(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice), tmp_path, **ONLY_ERRORS) as app:
        await Client(app, asked()).done()
        await settled(app)
        await aged(app)
        voice.refuses.append((422, "{}"))
        assert (await Client(app, asked()).done()).status == 422


async def test_a_stale_answer_is_computed_anew_behind_the_caller(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice), tmp_path, **GRACES, front={"background_api_key": ""}) as app:
        await Client(app, asked()).done()
        await settled(app)
        await aged(app)
        stale = await Client(app, asked()).done()
        await settled(app)
        await runtime_of(app).refresher.drain(10.0)
        await settled(app)
        fresh = await Client(app, asked()).done()
        assert (stale.cache, fresh.cache) == ("stale", "exact")
        assert voice.calls == 2
