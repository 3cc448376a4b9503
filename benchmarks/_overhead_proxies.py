"""The processes of litellm_overhead.py: proxies whose CPU time can be read, the engine, the receiver of spans, the clients."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sqlite3
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.integration.proxy import FOREBAY, Plan, Proxy  # noqa: E402  (found through the line above)
from tests.integration.upstream import Upstream  # noqa: E402

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Mapping, Sequence
    from multiprocessing.connection import Connection

    from _overhead_questions import Prompts

SAMPLING: Final = 0.1
QUIET_S: Final = 0.3
"""A proxy that used no CPU worth naming for so long is done with what it does behind an answer."""
NOOP: Final = """from litellm.integrations.custom_logger import CustomLogger


class Noop(CustomLogger):
    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        return data

    async def async_post_call_success_hook(self, data, user_api_key_dict, response):
        return response

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        pass


noop = Noop()
"""


class Served(Proxy):
    """A proxy whose CPU time can be read."""

    process: subprocess.Popen[bytes]

    def spawn(self) -> subprocess.Popen[bytes]:
        self.process = Proxy.spawn(self)
        return self.process

    def cpu_s(self) -> float:
        """Return the CPU seconds used so far by the process and its children."""
        total = 0.0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    session = (entry / "stat").read_text().rpartition(")")[2].split()[3]
                    if int(session) == self.process.pid:
                        # Linux: the CPU clock of another process, in nanoseconds (clock_getcpuclockid(3))
                        total += time.clock_gettime((~int(entry.name) << 3) | 2)
                except OSError:
                    continue
        return total

    async def idle_cpu_s(self) -> float:
        """Wait until what goes on behind the last answer is done, and return `cpu_s`."""
        ends = time.monotonic() + 10
        used = self.cpu_s()
        while time.monotonic() < ends:
            await asyncio.sleep(QUIET_S)
            before, used = used, self.cpu_s()
            if used - before < 0.02 * QUIET_S:
                break
        return used

    def explanations(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return what forebay noted about these requests; those that it kept nothing about are left out."""
        path = self.state_dir / "state.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            rows = [
                db.execute("SELECT data FROM explanations WHERE request_id = ?", (name,)).fetchone() for name in ids
            ]
        return [json.loads(row[0]) for row in rows if row is not None]

    def reasons(self, ids: Sequence[str]) -> list[str]:
        """Return why forebay missed, of these requests."""
        found = [one["miss_reason"] for one in self.explanations(ids)]
        return found + ["not kept"] * (len(ids) - len(found))


@dataclass(slots=True)
class Answered:
    """One answer: latency in seconds, HTTP status and the headers that say what forebay did."""

    seconds: float
    status: int
    cache: str
    request_id: str


class Clients:
    """Keep-alive connections to one proxy; as little work a request as can be, since the cores are shared."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, prompts: Sequence[str], concurrency: int) -> list[Answered]:
        """Ask everything, so many at a time."""
        waiting = iter(prompts)
        answered: list[Answered] = []

        async def work() -> None:
            for prompt in waiting:
                answer = await self._one(prompt)
                answered.append(answer)

        await asyncio.gather(*(work() for _ in range(concurrency)))
        return answered

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _one(self, prompt: str) -> Answered:
        body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": prompt}]}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self._proxy.port}\r\n"
            f"authorization: Bearer {self._proxy.key}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode()
        # the proxy closes a connection that idled through the other cases' turns
        reader, writer = await self._connection()
        began = time.perf_counter()
        writer.write(head + body)
        raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in raw[1:] if ": " in line)
        await reader.readexactly(int(headers["content-length"]))
        seconds = time.perf_counter() - began
        self._idle.append((reader, writer))
        return Answered(
            seconds, int(raw[0].split(" ")[1]), headers.get("x-forebay-cache", ""), headers.get("x-forebay-id", "")
        )

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._proxy.port)


def run_upstream(pipe: Connection) -> None:
    """Serve the scripted engine in a process of its own; asked, tell how many calls came since it was last asked."""
    with Upstream() as upstream:
        pipe.send(upstream.url)
        with suppress(EOFError):
            while pipe.recv() == "calls":
                calls = len(upstream.calls)
                upstream.calls.clear()
                pipe.send(calls)


def run_receiver(pipe: Connection) -> None:
    """Take spans in a process of its own, and drop them."""
    from forebay.adapters.otlp.receiver import Receiver

    with Receiver() as receiver:
        pipe.send(receiver.endpoint)
        with suppress(EOFError):
            pipe.recv()


@contextmanager
def process(target: Callable[[Connection], None]) -> Generator[Connection]:
    """Run a function in another process, with a pipe to it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=target, args=(there,), daemon=True)
    child.start()
    try:
        yield here
    finally:
        here.send("stop")
        child.join(10)
        child.kill()


def plans(upstream: str, collector: str) -> dict[str, Plan]:
    """Return what each proxy is started with."""
    common: dict[str, Any] = {"telemetry": {"exporter": {"type": "otlp", "endpoint": collector}}}
    env = {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(SAMPLING),
        # spans are sent while their block is measured, not seconds later
        "OTEL_BSP_SCHEDULE_DELAY": str(int(800 * QUIET_S)),
    }

    def forebay(**settings: Any) -> Plan:
        return Plan(upstream, {**common, **settings}, callbacks=(FOREBAY,), env=env)

    semantic = forebay(
        # 32 at a time wait for one embedder: what is measured is its cost, not the deadline
        cache={"semantic": "serve", "lookup_deadline_ms": 5000},
        acceptance={"type": "verified", "trust": "calibrated"},
        audits={"enabled": False},  # they compute a share of the hits instead of serving them
    )
    return {
        "alone": Plan(upstream, callbacks=()),
        "noop": Plan(upstream, callbacks=("noop.noop",)),
        "local": Plan(upstream, callbacks=(), litellm={"cache": True, "cache_params": {"type": "local"}}),
        "lite": forebay(cache={"semantic": "off"}),
        "memory": forebay(cache={"semantic": "off"}, store={"type": "memory"}),
        "semantic": semantic,
    }


async def warm(proxy: Served, plan: Plan, lengths: Mapping[int, Prompts]) -> None:
    """Ask until forebay serves, then give every known question its answer, and touch every path a few times."""
    clients = Clients(proxy)
    ends = time.monotonic() + 60
    while FOREBAY in plan.callbacks:
        if (await clients.ask(["Is anybody there?"], 1))[0].cache == "exact":
            break
        if time.monotonic() > ends:
            raise SystemExit(f"forebay did not start to serve:\n{proxy.log[-2000:]}")
        await asyncio.sleep(0.1)
    for prompts in lengths.values():
        await clients.ask(prompts.known, 4)
        await proxy.idle_cpu_s()
        await clients.ask([*prompts.known, *prompts.of("miss", 20)], 16)
    await proxy.idle_cpu_s()
    await clients.close()
