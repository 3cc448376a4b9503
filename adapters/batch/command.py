"""``forebay batch``: a file of requests answered with as few computations as it needs."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ...middleware import registry as kinds
from ...middleware.batch_checks import Care
from ...middleware.cli.components import chosen
from ...middleware.cli.session import Session
from ...middleware.errors import ConfigError, ForebayError, PluginError
from ...middleware.plugin_manager import PluginManager
from ...middleware.records import Mode
from ...middleware.registry import Build
from .engine import PATHS, Endpoints
from .expected import expect
from .journal import Journal
from .options import OPENAI, check_paths, config_for, parse, proven_only
from .reading import Reading, check
from .refill import MOST, refill
from .runner import Job, Runner
from .screen import Screen
from .totals import Totals

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ...middleware.config import Config
    from ...middleware.protocols import Engine
    from ...middleware.runtime import Runtime
    from .expected import Reckon
    from .options import Options
    from .reading import Checked

ALL_ANSWERED: Final = 0
SOME_FAILED: Final = 1
NOT_DONE: Final = 2
MEMORY: Final = "memory"
"""The store that ends with its process. In any other an answer is still kept, or it was forgotten or dropped and stays so."""


def run(args: Sequence[str], reckon: Reckon, screen: Screen | None = None) -> int:
    """Run a batch file and return the exit status: 0 every line is answered, 1 some are in the error file, 2 not done.

    Args:
        reckon: says what need not be computed of the lines, before they are asked.

    Raises:
        ConfigError: an option or the config is wrong.
        ForebayError: the input cannot be read, was changed since a run was stopped, or the output cannot be written.
    """
    try:
        options = parse(args)
    except SystemExit as end:
        return int(end.code or 0)
    show = screen or Screen()
    check_paths(options)
    source = options.config or os.environ.get("FOREBAY_CONFIG")
    session = Session(source)
    config = config_for(session.config, options, os.environ)
    chosen(config, session.plugins.registry, source=session.source)
    reading = Reading(options.source, options.model, options.tenant, _endpoints(config))
    try:
        checked = _checked(reading, show)
    except KeyboardInterrupt:
        return NOT_DONE
    again = ["forebay", "batch", *args]
    if options.config is None and source is not None:
        again += ["--config", source]
    return asyncio.run(_Command(_Plan(options, config, reading, checked, again), show).run(reckon))


def _checked(reading: Reading, show: Screen) -> Checked:
    try:
        size = reading.path.stat().st_size
    except OSError as error:
        raise ForebayError(f"{reading.path} cannot be read ({error.strerror})") from None
    with show.reading(size) as step:
        checked = check(reading, step)
    if not checked.lines:
        raise ForebayError(f"{reading.path} holds no lines")
    show.checked(reading.path, checked)
    return checked


def _endpoints(config: Config) -> frozenset[str]:
    other = PATHS if config.engine is not None and config.engine.type == OPENAI else ()
    return frozenset(("chat", *other))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be run.

    Attributes:
        again: the words that make it go on after a stop.
    """

    options: Options
    config: Config
    reading: Reading
    checked: Checked
    again: Sequence[str]


class _Command:
    """One run of the command."""

    def __init__(self, plan: _Plan, show: Screen) -> None:
        self._plan = plan
        self._options = plan.options
        self._config = plan.config
        self._checked = plan.checked
        self._show = show
        self._totals = Totals(plan.checked.lines)
        self._signal = ""

    async def run(self, reckon: Reckon) -> int:
        """Expect, answer, write."""
        with self._stoppable():
            if self._options.expect:
                async with self._running() as runtime:
                    await self._expect(runtime, reckon)
                return ALL_ANSWERED
            journal = self._journal()
            try:
                return await self._answered(journal, reckon)
            except (ConfigError, PluginError):  # nothing was begun
                raise
            except (asyncio.CancelledError, ForebayError) as error:
                self._show.stopped(self._why(error), self._totals, self._plan.again)
                return NOT_DONE
            finally:
                if not self._totals.done:
                    journal.drop()
                journal.close()

    async def _answered(self, journal: Journal, reckon: Reckon) -> int:
        totals, options = self._totals, self._options
        for done in journal.done():
            totals.add(done)
        totals.before = totals.done
        began = monotonic()
        if totals.before:
            self._show.resumed(totals)
        if totals.done < totals.lines:
            async with self._running() as runtime:
                if not totals.before:
                    await self._expect(runtime, reckon)
                began = monotonic()
                if totals.before and self._config.store.type == MEMORY:
                    await self._refill(runtime, journal)
                await self._ask(runtime, journal)
        seconds = monotonic() - began
        await asyncio.to_thread(journal.finish, options.out, options.errors)
        self._show.report(totals, seconds, options.out, options.errors)
        return SOME_FAILED if totals.failed else ALL_ANSWERED

    async def _refill(self, runtime: Runtime, journal: Journal) -> None:
        skip = max(0, self._totals.computed - MOST)
        with self._show.refilling():
            kept = await refill(runtime.pipeline, self._plan.reading, self._checked, journal, skip=skip)
        self._show.refilled(kept)

    async def _ask(self, runtime: Runtime, journal: Journal) -> None:
        care = Care(_checks(runtime), self._options.retries)
        job = Job(self._plan.reading, self._checked, journal, care, self._options.max_parallel)
        with self._show.running(self._totals) as step:
            async with _engine(runtime) as engine:
                await Runner(job, self._totals, step).run(runtime.pipeline, engine)

    async def _expect(self, runtime: Runtime, reckon: Reckon) -> None:
        try:
            with self._show.reckoning():
                expected = await expect(runtime, self._checked, reckon)
        except ForebayError as error:  # costs the expectation, nothing else
            self._show.note(f"what it saves cannot be reckoned: {error}")
            return
        self._show.expected(self._checked, expected, proven_only=proven_only(self._config))

    def _journal(self) -> Journal:
        options, checked = self._options, self._checked
        settings = {"--model": options.model or "", "--tenant": options.tenant}
        return Journal(options.journal, digest=checked.digest, settings=settings, lines=checked.lines)

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[Runtime]:
        from ...middleware.runtime import Runtime  # here, because --help must not wait for it

        runtime = Runtime(self._config, PluginManager.from_entry_points(self._config.plugins))
        try:
            await runtime.start()
            for problem in runtime.problems:
                self._show.note(problem)
            if self._config.mode is Mode.OFF:
                self._show.note("the config's mode is off: nothing is answered from the cache")
            if find_spec("jsonschema") is None:
                self._show.note(
                    "answers are not held against their schemas; install that with: pip install 'forebay[batch]'"
                )
            yield runtime
        finally:
            await runtime.stop()

    def _stoppable(self) -> _Signals:
        task = asyncio.current_task()
        assert task is not None

        def stop(name: str) -> None:
            self._signal = name
            task.cancel()

        return _Signals(stop)

    def _why(self, error: BaseException) -> str:
        if isinstance(error, ForebayError):
            return str(error)
        return f"stopped by {self._signal}" if self._signal else "stopped"


class _Signals:
    """Turns the first SIGINT or SIGTERM into a clean stop; a second one ends the process at once."""

    def __init__(self, stop: Any) -> None:
        self._stop = stop
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError, NotImplementedError, RuntimeError):  # not the main thread
                self._loop.add_signal_handler(number, self._came, number)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(number)

    def _came(self, number: signal.Signals) -> None:
        self.__exit__()
        self._stop(signal.Signals(number).name)


@asynccontextmanager
async def _engine(runtime: Runtime) -> AsyncGenerator[Engine]:
    """Run the configured engine with all endpoints that it has."""
    spec, chat = runtime.config.engine, runtime.engine
    if spec is None or chat is None:
        raise ConfigError("no engine is configured; name one there, or give --url", path="engine")
    if spec.type != OPENAI:
        yield chat
        return
    given = spec.settings
    engine = Endpoints(
        chat,
        base_url=str(given["base_url"]),
        api_key=str(given.get("api_key") or ""),
        timeout_s=float(given.get("timeout_s") or 600.0),
        model=given.get("model"),
    )
    try:
        yield engine
    finally:
        await engine.stop()


def _checks(runtime: Runtime) -> list[Any]:
    build = Build(runtime.state_dir, runtime.keyring, runtime.telemetry, serves=False)
    make = runtime.plugins.registry.build
    return [make(kinds.ANSWER_CHECK, spec.type, spec.settings, build) for spec in runtime.config.answer_checks]
