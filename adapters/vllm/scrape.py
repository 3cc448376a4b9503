"""What vLLM servers say of themselves at ``/metrics``: read every second in the background, looked up by whoever routes.

A server is asked for as long as somebody wants to know. One that answers with something else than vLLM's metrics is asked
again after a minute, without a redirect being followed, and no key is ever sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

import httpx

from ...middleware.engine_feed import EngineReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)
EVERY_S: Final = 1.0
TIMEOUT_S: Final = 0.8
FRESH_S: Final = 3.0
STRANGER_S: Final = 60.0
"""When a server is asked again that is no vLLM."""
AWAY_S: Final = 5.0
"""When one is that has not answered yet."""
WANTED_S: Final = 600.0
"""How long a server is asked after somebody last wanted to know."""
MOST: Final = 256
AT_ONCE: Final = 32
MOST_BYTES: Final = 2_000_000
_LINE: Final = re.compile(
    r"^(?:vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|prefix_cache_queries_total"
    r"|prefix_cache_hits_total|num_preemptions_total|cache_config_info)|(process_start_time_seconds))"
    r"(?:\{(.*)\})? (\S+)",
    re.MULTILINE,
)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class ServerReading:
    """What a server said.

    Attributes:
        engine: of all its engines (data-parallel ranks) together; KV use is their mean.
        kv_tokens: how many its prefix caches hold, 0 without one; None where it does not say.
        started_s: when it was started, by its own clock; 0 where it does not say.
    """

    engine: EngineReading
    kv_tokens: int | None = None
    started_s: float = 0.0


@dataclass(slots=True)
class Server:
    """A server that is asked.

    Attributes:
        last: what it said last, None before it said anything, or where it is no vLLM.
        gone: nothing listened at its address when it was last asked.
    """

    url: str
    last: ServerReading | None = None
    gone: bool = False
    wanted_s: float = 0.0
    due_s: float = 0.0

    def fresh(self, now_s: float) -> bool:
        """Return whether what it said last still counts."""
        return self.last is not None and now_s - self.last.engine.now_s <= FRESH_S


def parse(text: str, now_s: float) -> ServerReading | None:
    """Return what vLLM's metrics say, None for something else.

    Raises:
        ValueError: a value is no number.
    """
    sums: dict[str, float] = {}
    engines = 0
    kv_tokens: int | None = None
    for vllm_name, other, labels, value in _LINE.findall(text):
        name = vllm_name or other
        if name == "cache_config_info":
            tokens = _cache_tokens(dict(_LABEL.findall(labels)))
            kv_tokens = tokens if kv_tokens is None or tokens is None else kv_tokens + tokens
            continue
        engines += name == "kv_cache_usage_perc"
        sums[name] = sums.get(name, 0.0) + float(value)
    if "num_requests_running" not in sums:
        return None

    def whole(name: str) -> int:
        return int(sums.get(name, 0.0))

    engine = EngineReading(
        running=whole("num_requests_running"),
        waiting=whole("num_requests_waiting"),
        kv_usage=sums.get("kv_cache_usage_perc", 0.0) / max(1, engines),
        prefix_queries=whole("prefix_cache_queries_total"),
        prefix_hits=whole("prefix_cache_hits_total"),
        preemptions=whole("num_preemptions_total"),
        now_s=now_s,
    )
    return ServerReading(engine, kv_tokens, sums.get("process_start_time_seconds", 0.0))


def _cache_tokens(config: dict[str, str]) -> int | None:
    if config.get("enable_prefix_caching") == "False":
        return 0
    blocks, size = config.get("num_gpu_blocks", ""), config.get("block_size", "")
    return int(blocks) * int(size) if blocks.isdecimal() and size.isdecimal() else None


class Scraper:
    """Asks servers. Belongs to one event loop; asking begins with the first `want` and ends with `stop`.

    Args:
        heard: called with a server that has just said something.
        every_s: how often each is asked.
        transport: in place of the network, for tests.
    """

    def __init__(
        self,
        heard: Callable[[Server], None] = lambda _: None,
        *,
        every_s: float = EVERY_S,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._heard = heard
        self._every_s = every_s
        self._transport = transport
        self._clock = clock
        self._servers: dict[str, Server] = {}
        self._task: asyncio.Task[None] | None = None
        self._new = asyncio.Event()
        self._stopped = False

    def want(self, urls: Iterable[str]) -> list[Server]:
        """Return what is known of servers by the addresses of their metrics; never waits. Beyond 256 none is asked."""
        now_s = self._clock()
        found: list[Server] = []
        for url in urls:
            server = self._servers.get(url)
            if server is None:
                server = Server(url, due_s=now_s)
                if len(self._servers) < MOST and not self._stopped:
                    self._servers[url] = server
                    self._new.set()
            server.wanted_s = now_s
            found.append(server)
        if (self._task is None or self._task.done()) and self._servers and not self._stopped:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return found

    def known(self, url: str) -> Server | None:
        """Return a server that is asked already, without wanting to know more."""
        return self._servers.get(url)

    async def stop(self) -> None:
        """Ask nobody any more."""
        self._stopped = True
        self._servers.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        room = asyncio.Semaphore(AT_ONCE)
        timeout = httpx.Timeout(TIMEOUT_S)
        async with httpx.AsyncClient(timeout=timeout, transport=self._transport, follow_redirects=False) as client:
            while True:
                now_s = self._clock()
                self._servers = {url: one for url, one in self._servers.items() if now_s - one.wanted_s <= WANTED_S}
                self._new.clear()
                due = [one for one in self._servers.values() if one.due_s <= now_s]
                await asyncio.gather(*(self._ask(client, room, one) for one in due))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._new.wait()

    async def _ask(self, client: httpx.AsyncClient, room: asyncio.Semaphore, server: Server) -> None:
        reading, again_s = None, AWAY_S
        async with room:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    text = await _read(client, server.url)
                reading = None if text is None else parse(text, self._clock())
                server.gone, again_s = False, STRANGER_S
            except httpx.ConnectError:
                server.gone = True
            except Exception as error:  # too late, or not HTTP: what it said last stands until it is stale
                log.debug("%s cannot be read: %s", server.url, type(error).__name__)
        if reading is not None:
            server.last = reading
            self._tell(server)
        server.due_s = self._clock() + (again_s if server.last is None else 0.0)

    def _tell(self, server: Server) -> None:
        try:
            self._heard(server)
        except Exception:  # whoever listens must not end the reading
            log.warning("what hears of %s failed", server.url, exc_info=True)


async def _read(client: httpx.AsyncClient, url: str) -> str | None:
    """Return the text of an answer, None for one that is not to be read."""
    async with client.stream("GET", url) as answer:
        if not answer.is_success:
            return None
        parts: list[bytes] = []
        size = 0
        async for part in answer.aiter_bytes():
            size += len(part)
            if size > MOST_BYTES:
                return None
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")
