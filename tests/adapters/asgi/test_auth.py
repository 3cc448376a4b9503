"""Nobody is answered, joined to others or refused before the server itself has let them in."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware

from forebay.adapters.asgi import auth
from forebay.adapters.asgi.auth import Door
from forebay.adapters.asgi.requests import ANYBODY, tenant_of
from forebay.middleware.keys import Keyring
from tests.adapters.asgi.server import Voice, server
from tests.adapters.asgi.visiting import Client, asked, fronted, runtime_of, settled, until
from tests.middleware.parts import FakeClock

KEYRING = Keyring.from_secret("a secret for these tests")
KEYS = ("sk-one", "sk-two")


async def test_a_hit_is_for_callers_whom_the_server_lets_in(tmp_path: Path) -> None:
    voice = Voice()
    app = server(voice, keys=KEYS)
    refused = await Client(app, asked()).done()
    async with fronted(app, tmp_path) as behind:
        assert (await Client(behind, asked(), key="sk-one").done()).cache == "miss"
        await settled(behind)
        assert (await Client(behind, asked(), key="sk-one").done()).cache == "exact"
        for key in (None, "sk-wrong", ""):
            client = await Client(behind, asked(), key=key).done()
            assert client.messages == refused.messages  # the server's own words, and nothing of ours
            assert client.status == 401
        assert runtime_of(behind).pipeline.inflight == 0
    assert voice.calls == 1


async def test_tenants_are_told_apart_by_their_credentials(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice, keys=KEYS), tmp_path) as app:
        for key in KEYS:
            assert (await Client(app, asked(), key=key).done()).cache == "miss"
            await settled(app)
            assert (await Client(app, asked(), key=key).done()).cache == "exact"
    assert voice.calls == 2


async def test_a_gateways_header_may_name_the_tenant(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice, keys=KEYS), tmp_path, front={"tenant_header": "X-Team"}) as app:
        for key, team in (("sk-one", "red"), ("sk-two", "red"), ("sk-one", "blue"), ("sk-one", None)):
            headers = {} if team is None else {"x-team": team}
            await Client(app, asked(), key=key, headers=headers).done()
            await settled(app)
    assert voice.calls == 3


async def test_strangers_are_not_joined_to_others_nor_refused_in_the_servers_stead(tmp_path: Path) -> None:
    voice = Voice(held=True)
    limits: dict[str, Any] = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with fronted(server(voice, keys=KEYS), tmp_path, **limits) as app:
        leader = Client(app, asked(), key="sk-one")
        await until(lambda: voice.running == 1)
        assert (await Client(app, asked()).done()).status == 401
        assert (await Client(app, asked("else")).done()).status == 401
        assert (await Client(app, asked("else"), key="sk-one").done()).status == 429
        voice.go()
        assert (await leader.done()).status == 200


async def test_the_server_is_asked_once_for_a_while(tmp_path: Path) -> None:
    voice = Voice()
    async with fronted(server(voice, keys=KEYS), tmp_path) as app:
        crowd = [Client(app, asked(str(at)), key="sk-one") for at in range(10)]
        for client in crowd:
            await client.done()
        assert voice.probes == 1
        same = {"x-request-id": "7", "traceparent": "x", "user-agent": "curl", "x-stainless-retry-count": "1"}
        await Client(app, asked(), key="sk-one", headers=same).done()
        assert voice.probes == 1
        await Client(app, asked(), key="sk-two").done()
        assert voice.probes == 2
        for name in ("x-api-key", "cookie", "x-forwarded-for", "x-whatever", "origin"):
            await Client(app, asked(), key="sk-one", headers={name: "1"}).done()
        assert voice.probes == 7
        await Client(app, asked(), key="sk-one", more={"client": ("10.9.9.9", 1)}).done()
        assert voice.probes == 8
        await Client(app, asked(), key="sk-one", path="/v1/chat/completions?key=1").done()
        assert voice.probes == 9


async def test_an_acceptance_is_forgotten_in_time_and_a_refusal_at_once(tmp_path: Path) -> None:
    allowed = {"sk-one"}
    probes: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        probes.append(given)
        status = 200 if given in allowed else 401
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    clock = FakeClock()
    door = Door(app, "/v1/models", 30.0, KEYRING.digest, most=2, clock=clock)

    async def accepted(key: str) -> bool:
        scope = {"headers": [(b"authorization", f"Bearer {key}".encode())], "path": "/x", "method": "POST"}
        return await door.accepted(scope) is not None

    assert [await accepted("sk-one") for _ in range(3)] == [True] * 3
    assert [await accepted("sk-two") for _ in range(3)] == [False] * 3
    assert probes == ["sk-one", "sk-two", "sk-two", "sk-two"]
    clock.now_s += 29
    allowed.clear()
    assert await accepted("sk-one")
    clock.now_s += 1
    assert not await accepted("sk-one")
    allowed.update("abc")
    for key in "abc":
        assert await accepted(key)
    assert len(vars(door)["_known"]) == 2  # bounded
    assert not any("sk-" in str(value) for value in vars(door).values())  # digests only


async def test_one_who_leaves_while_the_server_is_asked_takes_nothing_from_the_others() -> None:
    letting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await letting.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    door = Door(app, "/v1/models", 30.0, KEYRING.digest)
    scope: dict[str, Any] = {"headers": [], "path": "/x", "method": "POST"}
    first, second = (asyncio.create_task(door.accepted(scope)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    letting.set()
    assert await second == []


@pytest.mark.parametrize("how", ["missing", "raises", "hangs"])
async def test_where_the_server_cannot_be_asked_requests_pass(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "PROBE_S", 0.02)
    voice = Voice()
    inner = server(voice)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/models" and how == "raises":
            raise OSError
        if scope["path"] == "/models" and how == "hangs":
            await asyncio.Event().wait()
        await inner(scope, receive, send)

    async with fronted(app, tmp_path, front={"auth_path": "/models"}) as behind:
        with caplog.at_level(logging.WARNING, "forebay.adapters.asgi"):
            for _ in range(2):
                client = await Client(behind, asked(), more={"path": "/v1/chat/completions"}).done()
                assert (client.status, client.cache) == (200, None)
        (record,) = caplog.records
        assert ("404" if how == "missing" else "not at all") in record.getMessage()
        assert "front.auth_path" in record.getMessage()
    assert voice.calls == 2


async def test_a_hit_has_what_a_browser_wants(tmp_path: Path) -> None:
    voice = Voice()
    inner = server(voice)
    inner.add_middleware(CORSMiddleware, allow_origins=["https://a.example"], allow_credentials=True)
    async with fronted(inner, tmp_path) as app:
        origin = {"origin": "https://a.example"}
        miss = await Client(app, asked(), headers=origin).done()
        await settled(app)
        hit = await Client(app, asked(), headers=origin).done()
        assert (miss.cache, hit.cache) == ("miss", "exact")
        for name in ("access-control-allow-origin", "access-control-allow-credentials", "vary"):
            assert hit.headers[name] == miss.headers[name]
        stranger = await Client(app, asked(), headers={"origin": "https://b.example"}).done()
        assert (stranger.cache, stranger.headers.get("access-control-allow-origin")) == ("exact", None)


def test_whoever_has_credentials_is_known_by_a_digest_of_them() -> None:
    def tenant(headers: dict[str, str], query: bytes = b"", header: str | None = None) -> str:
        return tenant_of(headers, query, KEYRING, header)

    assert tenant({"host": "x", "idempotency-key": "1"}) == ANYBODY
    known = [tenant({name: "sk-1"}) for name in ("authorization", "x-api-key", "api-key", "cookie", "x-auth-user")]
    known += [tenant({"authorization": "sk-2"}), tenant({}, b"key=sk-1"), tenant({"openai-project": "sk-1"})]
    assert len({ANYBODY, *known}) == len(known) + 1
    assert not any("sk-" in name for name in known)
    assert tenant({"authorization": "a", "x-team": "red"}, header="X-Team") == "red"
    assert tenant({"authorization": "a"}, header="x-team") == tenant({"authorization": "a"})
