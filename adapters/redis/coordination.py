"""Coordination through Redis: workers of one or many machines share limits, twins and what is forgotten.

Redis holds nothing that is needed later: it may lose everything at any time. The workers' heartbeats write
again who lives and who is inside; an answer that is lost is computed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ...middleware.coordination import Claimed, Roster, Told, Worker
from ...middleware.errors import CoordinationError
from ...middleware.events import Health
from ...middleware.narrow import is_object
from ..local.coordination import worker_name
from ..local.files import WorkerFiles
from . import scripts
from .link import Link
from .notes import Notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...middleware.coordination import Listener
    from ...middleware.records import Selector

log = logging.getLogger(__name__)
BEATS: Final = 5
"""Heartbeats in the life of a lease."""
POLL_S: Final = 1.0
"""How long who waits for a place trusts in being woken."""
RETRY_S: Final = 0.2
OLDEST: Final = 5


class RedisCoordination:
    """The workers that use one Redis with one prefix and one secret.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        prefix: of all keys.
        folder: the state folder: the workers in it are counted while Redis is down.
        lease_s: how long the places of a process that was killed stay taken.
        timeout_s: the longest a request waits for Redis to answer.
        left_s: how long an answer stays for workers that wait for it, or come for it.
        serves: this process is a worker; else it only looks and tells.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        folder: Path,
        lease_s: float = 5.0,
        timeout_s: float = 0.25,
        left_s: float = 10.0,
        serves: bool = True,
        name: str | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{worker_name()}"
        self._prefix = prefix
        self._lease_s = lease_s
        self._left_s = left_s
        self._serves = serves
        self._folder = folder / "workers"
        self._files = WorkerFiles(self._folder, self.name)
        self._listener: Listener | None = None
        self.link = Link(url, timeout_s=timeout_s, changed=self._turned)
        self._notes = Notes(self.link, prefix, self.name)
        self._claim = self.link.script(scripts.CLAIM)
        self._release = self.link.script(scripts.RELEASE)
        self._beat_script = self.link.script(scripts.BEAT)
        self._held: dict[tuple[str, str], int] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._seen: tuple[Worker, ...] = ()
        self._roster = Roster(shareable=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def roster(self) -> Roster:
        """Return the workers of the last heartbeat."""
        return self._roster

    def hear(self, listener: Listener) -> None:
        """Tell this listener what the others tell."""
        self._listener = listener

    async def start(self) -> None:
        """Be one of the workers.

        Raises:
            CoordinationError: Redis cannot be reached. It is tried again every second or so.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._serves:
                self._files.join()
        except OSError as error:
            log.warning("the workers of this machine cannot be counted in %s (%s)", self._folder, error)
        try:
            await self._beat(first=True)
        finally:
            self._keep(self._beats())
            self._keep(self._wakes())
            if self._serves:
                self._keep(self._hears())

    async def stop(self) -> None:
        """Give everything back and be one no longer."""
        self._closing = True
        while self._tasks:  # more than once: a library may take a cancellation for a timeout of its own
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks), timeout=0.5)
        client, prefix = self.link.client, self._prefix
        try:
            for name, member in list(self._held):
                await self._give_back(name, member, None)
            if self._serves:
                await self.link.call(lambda: client.zrem(f"{prefix}:workers", self.name))
                await self.link.call(lambda: client.hdel(f"{prefix}:about", self.name))
        except CoordinationError:
            log.debug("what is still held runs out by itself")
        self._files.leave()
        await self.link.close()

    async def check_ready(self) -> Sequence[Health]:
        """Say which Redis it is and how fast it answers, or why it cannot be used."""
        client = self.link.client
        try:
            info: Any = await self.link.call(lambda: client.info("server"), probe=True)
            began = monotonic()
            await self.link.call(client.ping)
        except CoordinationError as error:
            fix = "start Redis or correct coordination.url; until then limits are divided and twins are per process"
            return [Health("coordination", ok=False, detail=str(error), fix=fix, required=False)]
        version = str(info.get("redis_version", "of unknown version"))
        detail = f"Redis {version} at {self.link.shown}, answers in {(monotonic() - began) * 1000:.1f} ms"
        major = version.partition(".")[0]
        if major.isdigit() and int(major) < OLDEST:
            fix = f"forebay needs Redis {OLDEST} or newer"
            return [Health("coordination", ok=False, detail=detail, fix=fix)]
        return [Health("coordination", ok=True, detail=detail)]

    async def tell(self, selector: Selector, wait_s: float) -> Told:
        """Let every other worker forget what matches; see `Coordination.tell`."""
        return await self._notes.tell(selector, wait_s, self._others)

    async def claim(self, name: str, member: str, places: int, wait_s: float) -> Claimed:
        """Take one of so many places under a name; see `Coordination.claim`."""
        ends = monotonic() + wait_s
        mine = f"{self.name}/{member}"
        keys = [f"{self._prefix}:places:{name}", f"{self._prefix}:left:{name}", f"{self._prefix}:born"]
        life_ms = round(self._lease_s * 1000)
        followed = ""
        woken = asyncio.Event()
        self._waiting.setdefault(name, set()).add(woken)
        try:
            while True:
                woken.clear()
                arguments = (mine, places, life_ms, followed, 2 * life_ms // BEATS)
                reply: Any = await self.link.call(partial(self._claim, keys, arguments))
                if reply[0] == 1:
                    self._held[name, mine] = places
                    return Claimed(granted=True)
                if reply[0] == 2:  # noqa: PLR2004  (see `scripts.CLAIM`)
                    return Claimed(granted=False, left=str(reply[1]))
                followed = str(reply[1])
                left_s = ends - monotonic()
                if left_s <= 0:
                    return Claimed(granted=False)
                pause_s = min(left_s, POLL_S, max(0.005, float(reply[2]) / 1000))
                try:
                    async with asyncio.timeout(pause_s):
                        await woken.wait()
                except TimeoutError:
                    continue
        except asyncio.CancelledError:
            self._keep(self._give_back(name, mine, None))  # it may have been granted at this very moment
            raise
        finally:
            waiting = self._waiting[name]
            waiting.discard(woken)
            if not waiting:
                del self._waiting[name]

    async def release(self, name: str, member: str, left: str | None = None) -> None:
        """Give a place back; see `Coordination.release`. While Redis is down it runs out by itself."""
        try:
            await self._give_back(name, f"{self.name}/{member}", left)
        except CoordinationError:
            log.debug("a place could not be given back; it runs out by itself")

    async def _give_back(self, name: str, mine: str, left: str | None) -> None:
        self._held.pop((name, mine), None)
        keys = [f"{self._prefix}:places:{name}", f"{self._prefix}:left:{name}"]
        life_ms = round(self._left_s * 1000)
        leaves = int(left is not None)
        arguments = (mine, leaves, left or "", life_ms, f"{self._prefix}:wake", name)
        await self.link.call(lambda: self._release(keys, arguments))

    async def _beats(self) -> None:
        while not self._closing:
            await asyncio.sleep(self._lease_s / BEATS)
            try:
                await self._beat()
            except CoordinationError:
                self._turned()  # the workers of this machine are counted instead
            except Exception:
                log.exception("a heartbeat failed")

    async def _beat(self, *, first: bool = False) -> None:
        """Renew what is held, and see who else lives."""
        about = self._listener.about() if self._listener is not None else ""
        self._files.say(about)
        held = list(self._held.items())
        keys = [f"{self._prefix}:workers", f"{self._prefix}:about", f"{self._prefix}:born"]
        said = json.dumps({"pid": os.getpid(), "about": about})
        arguments: list[str | int] = [round(self._lease_s * 1000), self.name if self._serves else "", said]
        for (name, member), places in held:
            keys.append(f"{self._prefix}:places:{name}")
            arguments += [member, places]
        arguments.append(int(first))
        reply: Any = await self.link.call(lambda: self._beat_script(keys, arguments), probe=True)
        for number in reply[1]:
            self._held.pop(held[int(number)][0], None)
        self._seen = tuple(sorted(_workers(reply[0]), key=lambda worker: worker.name))
        self._turned()

    def _turned(self) -> None:
        """Say what the roster is now: as Redis has it, or as this machine's workers are while Redis is down."""
        shared = self.link.up
        workers = self._seen
        if not shared:
            try:
                here = self._files.live()
            except OSError:
                here = ()
            # of other machines nothing is known now: better too many than too few
            workers = here if len(here) > len(workers) else workers
            for waiting in self._waiting.values():
                for woken in waiting:
                    woken.set()
        names = [worker.name for worker in workers]
        rank = names.index(self.name) if self.name in names else 0
        before, self._roster = self._roster, Roster(workers, rank, shareable=True, shared=shared)
        same = before.shared == shared and [worker.name for worker in before.workers] == names
        if self._listener is not None and not same and not self._closing:
            self._listener.changed(self._roster)

    def _others(self) -> set[str]:
        return {worker.name for worker in self._seen} - {self.name}

    async def _hears(self) -> None:
        while not self._closing:
            try:
                async for number, selector in self._notes.heard():
                    await self._do(number, selector)
            except Exception as error:  # the heartbeat says that Redis is down
                log.debug("notes of other workers cannot be read now: %s", type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _do(self, number: str, selector: Selector) -> None:
        try:
            if self._listener is not None:
                dropped = await self._listener.forget(selector)
                await self._notes.done(number, dropped)
        except Exception as error:  # whoever told is not answered, and says so
            log.warning("could not forget what another worker told: %s", str(error) or type(error).__name__)

    async def _wakes(self) -> None:
        """Wake who waits for a name that was released."""
        while not self._closing:
            try:
                async with self.link.blocking.pubsub() as channel:
                    await channel.subscribe(f"{self._prefix}:wake")
                    while True:
                        message: Any = await channel.get_message(ignore_subscribe_messages=True, timeout=5.0)
                        for woken in self._waiting.get(str(message["data"]), ()) if message else ():
                            woken.set()
            except Exception as error:  # until it is back, who waits looks by itself now and then
                log.debug("no wake-ups for now: %s", type(error).__name__)
            await asyncio.sleep(RETRY_S)

    def _keep(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(task.exception(), CoordinationError):
            log.debug("a place could not be given back; it runs out by itself")


def _workers(said: Sequence[Any]) -> list[Worker]:
    found: list[Worker] = []
    for name, text in zip(said[::2], said[1::2], strict=True):
        try:
            about: Any = json.loads(text)
        except ValueError:
            about = None
        fields = about if is_object(about) else {}
        pid = fields.get("pid")
        found.append(Worker(str(name), pid if isinstance(pid, int) else 0, str(fields.get("about", ""))))
    return found
