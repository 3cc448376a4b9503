"""Whatever of ours breaks, the request is answered by the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.adapters.asgi import desk, visit
from forebay.adapters.asgi.auth import Door
from forebay.adapters.asgi.source import AppSource
from forebay.middleware.generation import Generation
from forebay.middleware.pipeline import Pipeline
from forebay.middleware.sharing import Sharing
from forebay.middleware.telemetry import Telemetry
from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import Client, asked, fronted, runtime_of, settled, stored
from tests.middleware.parts import errors_of

TEXT = "one two three"


def broken(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError


async def broken_later(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "place"),
    [
        (broken, (desk, "text_headers")),
        (broken, (desk, "body_of")),
        (broken, (desk, "tenant_of")),
        (broken, (desk, "request_of")),
        (broken, (Door, "_caller")),
        (broken_later, (Door, "_probe")),
        (broken, (Telemetry, "parent_of")),
        (broken, (Pipeline, "begin")),
        (broken, (Pipeline, "analyze")),
        (broken_later, (Pipeline, "lookup")),
        (broken_later, (Pipeline, "admit")),
        (broken, (Pipeline, "run")),
        (broken, (Telemetry, "inject")),
        (broken_later, (Sharing, "join")),
        (broken, (Sharing, "offer")),
        (broken, (Generation, "lead")),
        (broken, (AppSource, "add")),
        (broken, (AppSource, "answer")),
        (broken, (visit, "form_of")),
        (broken, (visit, "headers_of")),
    ],
)
async def test_a_fault_before_the_response_costs_nothing_but_the_cache(
    fault: Any, place: tuple[Any, str], stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = Voice()
    async with fronted(server(voice), tmp_path) as app:
        with monkeypatch.context() as patch:
            patch.setattr(*place, fault)
            client = await Client(app, asked(stream=stream)).done()
        assert (client.status, client.text) == (200, TEXT)
        runtime = runtime_of(app)
        await settled(app)
        assert (voice.running, runtime.pipeline.inflight, runtime.pipeline.gate.load.inflight) == (0, 0, 0)
        assert sum(errors_of(runtime).values()) == 1
        kept = await stored(app)
        assert kept <= 1
        assert (await Client(app, asked(stream=stream)).done()).cache == ("exact" if kept else "miss")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_in_a_hit_is_a_miss(stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = Voice()
    async with fronted(server(voice), tmp_path) as app:
        await Client(app, asked(stream=stream)).done()
        await settled(app)
        monkeypatch.setattr(visit, "headers_of", broken)
        client = await Client(app, asked(stream=stream)).done()
        assert (client.status, client.text, client.cache) == (200, TEXT, None)
        assert voice.calls == 2
