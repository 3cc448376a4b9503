"""``forebay cache warm``: keep the answers of past requests from a log."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path  # noqa: TC003  (typer reads the annotations)
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from .. import registry as kinds
from ..config import Spec
from ..errors import ForebayError
from ..plugin_manager import PluginManager
from ..records import Controls, Ending
from ..registry import Build
from .components import chosen
from .logged import UnreadableError, read_line
from .session import console, plural, progress, say_json, session_of, table
from .store import OutOfReachError, opened_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from ..config import Config
    from ..protocols import Analyzer, Expiry
    from ..records import Key
    from ..runtime import Runtime
    from .logged import Logged
    from .session import Session

AT_ONCE: Final = 16
"""Lines on their way at a time, so that their texts are embedded together."""

WHY: Final[Mapping[str, str]] = {
    "already_kept": "kept here already",
    "bypass": "the config's mode is off for it",
    "expired": "too old: it would have expired by now",
    "failed": "the request failed",
    "no_answer": "no whole answer in the line",
    "no_chat_completion": "not a chat completion",
    "no_lifetime": "the expiry policy keeps it no time",
    "no_messages": "no messages in the line, or redacted ones",
    "no_model": "no model in the line",
    "no_request": "its request is no object",
    "not_an_object": "not a JSON object",
    "not_json": "not JSON",
    "store_error": "the store refused it",
    "tenant_is_no_text": "its tenant is no text",
}
"""What the reasons mean that are not those of the write gate."""


def warm(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSONL: {request, response, tenant?}, or LiteLLM's logs.")],
    *,
    tenant: Annotated[str, typer.Option("--tenant", help="Of lines that name none.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fill the cache from a log of past requests and their answers, as if they came now."""
    found = asyncio.run(_warm(session_of(context), file, tenant))
    if as_json:
        say_json(found)
        return
    out = console()
    out.print(f"kept {plural(found['kept'], 'answer')} of {plural(found['lines'], 'line')}")
    if found["skipped"]:
        rows = table("left out", "why", "first line")
        for reason in found["skipped"]:
            label = str(reason["reason"])
            rows.add_row(f"{reason['lines']:,}", Text(WHY.get(label, label)), str(reason["first_line"]))
        out.print()
        out.print(rows)


async def _warm(session: Session, file: Path, tenant: str) -> dict[str, Any]:
    outcomes: Counter[str] = Counter()
    first: dict[str, int] = {}
    async with _running(session) as runtime:
        keep = Warmer(runtime)
        with progress("keeping", None) as step:
            for lines in _chunks(file):
                read = [keep.line(line, tenant) for _, line in lines]
                for (number, _), outcome in zip(lines, await asyncio.gather(*read), strict=True):
                    outcomes[outcome] += 1
                    first.setdefault(outcome, number)
                step(len(lines))
    kept = outcomes.pop("kept", 0)
    return {
        "lines": kept + outcomes.total(),
        "kept": kept,
        "skipped": [
            {"reason": reason, "lines": count, "first_line": first[reason]} for reason, count in outcomes.most_common()
        ],
    }


class Warmer:
    """Lets logged requests through the stops that live ones go through, but for lookup, queue and engine.

    Args:
        runtime: started; its own pipeline analyzes, judges, embeds and keeps.
    """

    def __init__(self, runtime: Runtime, *, clock: Callable[[], float] = time) -> None:
        config = runtime.config
        build = Build(runtime.state_dir, runtime.keyring, runtime.telemetry, serves=False)
        make = runtime.plugins.registry.build
        self._analyzer: Analyzer = make(kinds.ANALYZER, config.analyzer.type, config.analyzer.settings, build)
        self._expiry: Expiry = make(kinds.EXPIRY, config.expiry.type, config.expiry.settings, build)
        self._runtime = runtime
        self._clock = clock

    async def line(self, line: str, tenant: str) -> str:
        """Keep one line's answer; return ``kept``, or a label that says why not."""
        try:
            logged = read_line(line, tenant=tenant, parts=self._runtime.config.litellm.tenant)
        except UnreadableError as error:
            return str(error)
        return await self.keep(logged)

    async def keep(self, logged: Logged) -> str:
        """Keep one answer; return ``kept``, or a label that says why not."""
        left_s = self._left_s(logged)
        if left_s is not None and left_s <= 0:
            return "expired"
        pipeline = self._runtime.pipeline
        flight = pipeline.begin(replace(logged.request, controls=Controls(ttl_s=left_s)))
        ending = Ending.COMPLETE
        try:
            pipeline.analyze(flight)
            if flight.key is not None and await self._runtime.keeper.get(flight.key) is not None:
                ending = Ending.CANCELLED
                return "already_kept"
            flight.answered(logged.answer)
        except (ForebayError, TimeoutError):
            ending = Ending.FAILED
            return "store_error"
        finally:
            pipeline.finish(flight, ending)
            await flight.settled.wait()
        settled = [each for each in flight.decisions if each.stop == "settle"]
        if not settled or settled[-1].choice != "stored":
            return settled[-1].reason if settled else "error"
        if flight.key is not None and logged.created_s is not None:
            await self._date(flight.key, logged.created_s)
        return "kept"

    async def _date(self, key: Key, created_s: float) -> None:
        """Say of a kept answer how old it is: the settle stop takes each for a new one."""
        keeper = self._runtime.keeper
        try:
            entry = await keeper.get(key)
            if entry is not None and created_s < entry.created_s:
                await keeper.put(replace(entry, created_s=created_s))
        except (ForebayError, TimeoutError):
            return  # it is kept all the same

    def _left_s(self, logged: Logged) -> float | None:
        """Return how much of its lifetime an old answer has left, None where its age is not known."""
        if logged.created_s is None:
            return None
        facts = self._analyzer.analyze(logged.request)
        lifetime_s = self._expiry.lifetime(logged.request, facts, logged.answer).fresh_s
        return lifetime_s - max(0.0, self._clock() - logged.created_s) if lifetime_s > 0 else None


@asynccontextmanager
async def _running(session: Session) -> AsyncGenerator[Runtime]:
    """Run what serves, for a command: without an engine, audits and telemetry.

    Raises:
        OutOfReachError: the store lives inside another process, or is held by one.
        ForebayError: something the answers need is down.
    """
    from ..runtime import Runtime, prepare_state_dir  # here, because --help must not wait for it

    prepare_state_dir(session.config.state_dir)  # it may be filled before it serves
    async with opened_store(session.config, session.plugins):
        pass  # says what is wrong with the store, if something is
    runtime = Runtime(
        quiet(session.config, session.plugins), _Unobserved.from_entry_points(session.config.plugins), serves=False
    )
    try:
        await runtime.start()
        if runtime.problems:
            raise OutOfReachError("; ".join(runtime.problems))
        yield runtime
    finally:
        await runtime.stop()


def quiet(config: Config, plugins: PluginManager) -> Config:
    """Return the config without what a log's lines have no use for."""
    store = config.store
    (item,) = [each.item for each in chosen(config, plugins.registry) if each.place == "store"]
    if "on_busy" in item.settings.model_fields:
        store = Spec.model_validate({"type": store.type, **store.settings, "on_busy": "error"})
    return config.model_copy(
        update={
            "store": store,
            "engine": None,
            "limit": Spec(type="none"),
            "audits": config.audits.model_copy(update={"enabled": False}),
            "litellm": config.litellm.model_copy(update={"billed_to": None}),
            "telemetry": config.telemetry.model_copy(update={"enabled": False, "exporter": None}),
        }
    )


class _Unobserved(PluginManager):
    """Plugins without those that count requests: a line of a log is none."""

    def observers(self) -> Mapping[str, Iterable[tuple[str, Callable[..., Any]]]]:
        """Return the observer implementations but for those of `explain` and `savings`."""
        return {
            hook: [(name, call) for name, call in found if name not in ("explain", "savings")]
            for hook, found in super().observers().items()
        }


def _chunks(file: Path) -> Iterable[list[tuple[int, str]]]:
    """Yield lines that are not empty, with their numbers, a few at a time.

    Raises:
        ForebayError: the file cannot be read.
    """
    chunk: list[tuple[int, str]] = []
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    chunk.append((number, line))
                if len(chunk) >= AT_ONCE:
                    yield chunk
                    chunk = []
    except OSError as error:
        raise ForebayError(f"{file} cannot be read ({error.strerror})") from None
    if chunk:
        yield chunk
