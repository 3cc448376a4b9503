"""LiteLLM callback that the proxies under test load beside forebay: it records and answers questions.

It is copied into the folder of LiteLLM's config and runs inside the proxy. A question is one JSON line on a
loopback socket, and so is its answer.
"""

# pyright: basic
# LiteLLM is half typed

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy.spend_tracking.spend_tracking_utils import get_logging_payload

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 15.0
PAUSE_S = 0.05
"""Shorter stops of the whole process are not worth noting."""


def forebay_of(spend: Any) -> Any:
    """What a spend log row says of forebay."""
    metadata = json.loads(spend.get("metadata") or "{}")
    return (metadata.get("spend_logs_metadata") or {}).get("forebay")


class Recorder(CustomLogger):
    def __init__(self) -> None:
        super().__init__()
        self.logged: dict[str, dict[str, Any]] = {}
        self.billed: Counter[str] = Counter()
        self.flights: dict[str, str] = {}
        self.pauses: list[tuple[float, float]] = []
        self.collecting_s = 0.0
        gc.callbacks.append(self.collected)
        self.server = asyncio.get_running_loop().create_task(self.serve())

    async def async_pre_call_hook(self, user_api_key_dict: Any, cache: Any, data: Any, call_type: Any) -> Any:
        """Edit or refuse requests that ask for it, as a guardrail would."""
        headers = (data.get("proxy_server_request") or {}).get("headers") or {}
        if headers.get("x-test-client"):
            metadata = (data.get("metadata") or {}) | (data.get("litellm_metadata") or {})
            self.flights[headers["x-test-client"]] = metadata.get("forebay_id", "")
        if headers.get("x-test-refuse"):
            raise HTTPException(status_code=400, detail="refused by a guardrail")
        if headers.get("x-test-edit"):
            data["messages"] = [*data["messages"][:-1], {"role": "user", "content": headers["x-test-edit"]}]
        return data

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        # the row LiteLLM would write into its spend log, had it a database
        self.note(kwargs, get_logging_payload(kwargs, response_obj, start_time, end_time))

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.note(kwargs, {})

    def note(self, kwargs: Any, spend: Any) -> None:
        payload = kwargs.get("standard_logging_object") or {}
        self.billed[str(spend.get("api_key"))] += 1
        self.logged[str(kwargs.get("litellm_call_id"))] = {
            "id": payload.get("id"),
            "status": payload.get("status"),
            "cache_hit": payload.get("cache_hit"),
            "cost": payload.get("response_cost"),
            "saved": payload.get("saved_cache_cost"),
            "spend_cache_hit": spend.get("cache_hit"),
            "spend": spend.get("spend"),
            "forebay": forebay_of(spend),
        }

    async def serve(self) -> None:
        server = await asyncio.start_server(self.answer, "127.0.0.1", int(os.environ["RECORDER_PORT"]))
        async with server:
            await server.serve_forever()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = json.loads(await reader.readline())
            result = await getattr(self, "ask_" + question.pop("ask"))(**question)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(result).encode() + b"\n")
        await writer.drain()
        writer.close()

    @property
    def bridge(self) -> Any:
        return sys.modules["forebay.adapters.litellm"].handler.bridge

    def state(self) -> dict[str, Any]:
        """What is going on in forebay right now."""
        runtime = self.bridge.runtime
        load = runtime.pipeline.gate.load
        return {
            "ready": self.bridge.ready,
            "inside": load.inflight,
            "queued": load.queued,
            "flights": runtime.pipeline.inflight,
            "settling": len(runtime.pipeline._settling),
            "twins": len(runtime.pipeline._stops.twins),
            "audits": len(runtime.auditor._tasks),
            "problems": runtime.problems,
            "store": type(runtime.keeper.store).__name__,
            "counts": {"|".join(name): count for name, count in runtime.telemetry.counts.items()},
        }

    async def ask_until(self, **wanted: Any) -> dict[str, Any]:
        """Wait for a state, and return it."""

        def reached() -> bool:
            state = self.state()
            return all(state[name] == value for name, value in wanted.items())

        await look(reached)
        return self.state()

    async def ask_logged(self, call: str) -> dict[str, Any] | None:
        """Wait until LiteLLM has logged a call."""
        await look(lambda: call in self.logged)
        return self.logged.get(call)

    async def ask_counted(self, name: str, least: int) -> int:
        """Wait until forebay has counted so many of something, and return how many."""
        counts = self.bridge.runtime.telemetry.counts

        def counted() -> int:
            return sum(count for label, count in counts.items() if "|".join(label).startswith(name))

        await look(lambda: counted() >= least)
        return counted()

    async def ask_billed(self, key: str, least: int) -> dict[str, int]:
        """Wait until LiteLLM has logged so many calls under a key's hash, and return all keys' counts."""
        await look(lambda: self.billed[key] >= least)
        return dict(self.billed)

    async def ask_explain(self, request: str) -> Any:
        """What forebay's state store has kept about a request."""
        state = self.bridge.runtime.state

        def kept() -> bool:
            return state.flush() and state.explanation(request) is not None

        await look(kept)
        return state.explanation(request)

    def where(self, client: str) -> dict[str, Any]:
        """How far the request with this ``x-test-client`` has come, and how many follow it."""
        flight_id = self.flights.get(client, "")
        call = self.bridge._calls._calls.get(flight_id)
        if call is None:
            return {"at": "arriving", "followers": 0}
        flight = call.flight
        groups = self.bridge.runtime.pipeline._stops.twins._groups.values()
        followers = sum(len(group.followers) for group in groups if group.leader == flight_id)
        if flight.ending is not None:
            at = "ended"
        elif flight.lookup is None:
            at = "looking"
        elif flight.hit is not None:
            at = "hit"
        elif flight.lease is not None:
            at = "inside"
        else:
            at = "following" if any(flight_id in group.followers for group in groups) else "queued"
        return {"at": at, "followers": followers}

    async def ask_where(self, client: str, followers: int = 0) -> dict[str, Any]:
        """Say so once it has that many followers."""
        await look(lambda: self.where(client)["followers"] >= followers)
        return self.where(client)

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """Note when Python's collector stopped the process: LiteLLM alone has some 740,000 objects to walk through."""
        del info
        if phase == "start":
            self.collecting_s = monotonic()
        elif monotonic() - self.collecting_s > PAUSE_S:
            self.pauses.append((self.collecting_s, monotonic()))

    async def ask_pauses(self) -> list[tuple[float, float]]:
        """When the collector began and ended, by the clock that all processes share."""
        return self.pauses

    def remains(self) -> dict[str, int]:
        """What forebay has in memory of its calls: their flights, leases that are out, and its tasks by name."""
        from forebay.adapters import litellm as ours
        from forebay.middleware import flight
        from forebay.middleware.admission import gate

        folders = tuple(os.path.dirname(str(module.__file__)) for module in (ours, flight))  # noqa: PTH120
        tasks = (getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks())
        found = Counter(f"task {code.co_qualname}" for code in tasks if code and code.co_filename.startswith(folders))
        for thing in gc.get_objects():
            found["flights"] += isinstance(thing, flight.Flight)
            found["leases"] += isinstance(thing, gate.Lease) and thing.held
        return dict(found)

    async def ask_remains(self, **wanted: int) -> dict[str, int]:
        """Wait until no more than that remains, and return what does; what nobody refers to is gone then."""
        ends = monotonic() + WAIT_S
        while True:
            gc.collect()
            found = self.remains()
            if found == wanted or monotonic() > ends:
                return found
            await asyncio.sleep(0.5)

    async def ask_entries(self) -> list[str]:
        """The answers forebay has kept."""
        from forebay.middleware.records import EVERYTHING

        return [entry.id async for entry in self.bridge.runtime.keeper.scan(EVERYTHING)]

    async def ask_damage(self) -> int:
        """Write nonsense over every answer kept in Milvus Lite, as if before this process started."""
        tier = self.bridge.runtime.keeper.store._milvus
        milvus = tier._store
        rows = await milvus._call("query", filter="", output_fields=["*"], limit=1000)
        await milvus._call("upsert", data=[{**row, "payload": "nonsense"} for row in rows])
        tier._forget()
        tier._filling.again()
        return len(rows)


async def look(reached: Callable[[], bool]) -> None:
    """Look until a condition holds, at most for a while; nothing in here tells when one does."""
    ends = monotonic() + WAIT_S
    while not reached() and monotonic() < ends:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


recorder = Recorder()
