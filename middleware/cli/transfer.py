"""``forebay cache export`` and ``import``: kept answers as a file, and back."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from ..epochs import Epochs
from ..errors import ForebayError, PayloadError
from ..housekeeping import SNAPSHOT
from ..records import EVERYTHING
from ..state import StateStore
from ..version import __version__
from .cache import size_text
from .cache_files import check_header, entry_of, header_of, line_of
from .reembed import BATCH, Reembedder
from .session import console, plural, progress, say_json, session_of
from .store import opened_store, scannable, started, state_dir_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..keys import Keyring
    from ..protocols import Scannable, Store
    from ..records import Entry
    from .session import Session
    from .store import Opened

SHOWN: Final = 3
"""Damaged lines that a message names."""


def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Written whole or not at all; readable by this user only.")],
    *,
    vectors: Annotated[
        bool, typer.Option(help="With the vectors, or without: then `import --reembed` makes them.")
    ] = True,
    dimension: Annotated[
        int | None,
        typer.Option(min=1, help="Length of the kept vectors, where the configured embedder makes others already."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write every kept answer into a file, one a line: questions and answers are readable in it."""
    found = asyncio.run(_export(session_of(context), file, vectors=vectors, dimension=dimension))
    found["bytes"] = file.stat().st_size
    if as_json:
        say_json(found)
        return
    console().print(
        f"exported {plural(found['exported'], 'answer')}, {found['with_vector']:,} with a vector, "
        f"to {file} ({size_text(found['bytes'])})"
    )
    console().print(Text("questions and answers are readable in it, by this user only", style="dim"))
    if found["damaged"]:
        console().print(Text(f"left {plural(found['damaged'], 'damaged one')} out", style="yellow"))


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `forebay cache export` wrote.")],
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace newer answers, too.")] = False,
    reembed: Annotated[bool, typer.Option("--reembed", help="Embed anew what another model embedded.")] = False,
    skip_damaged: Annotated[bool, typer.Option("--skip-damaged", help="Leave damaged lines out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Keep the answers of an exported file; nothing is kept where a line of it is damaged."""
    session = session_of(context)
    found = asyncio.run(_import(session, file, overwrite=overwrite, reembed=reembed, skip_damaged=skip_damaged))
    if as_json:
        say_json(found)
        return
    out = console()
    out.print(f"imported {plural(found['imported'], 'answer')}")
    for name, why in (
        ("expired", "expired"),
        ("known", "kept here already, as new or newer (--overwrite replaces them)"),
        ("damaged", "damaged"),
    ):
        if found[name]:
            out.print(Text(f"left {found[name]:,} out: {why}", style="dim"))
    if found["without_vector"]:
        out.print(
            Text(
                f"{plural(found['without_vector'], 'answer')} of another embedder came without vectors that fit, and "
                "will be exact hits only; `forebay cache reembed` makes new ones",
                style="yellow",
            )
        )


async def _export(session: Session, file: Path, *, vectors: bool, dimension: int | None) -> dict[str, Any]:
    async with opened_store(session.config, session.plugins, dimension=dimension) as opened:
        store = opened.store
        header = header_of(opened.keyring, version=__version__, created_s=time(), embedder=opened.embedder_id)
        with replaced(file) as out:
            out.write(header + "\n")
            found = await write_entries(scannable(store, session.config), opened.keyring, out, vectors=vectors)
        return {**found, "damaged": int(getattr(store, "damaged", 0))}


async def write_entries(store: Scannable, keyring: Keyring, out: IO[str], *, vectors: bool) -> dict[str, int]:
    """Write a line for every entry; return how many, and how many of them with a vector."""
    exported = with_vector = 0
    with progress("exporting", None) as step:
        async for entry in store.scan(EVERYTHING):
            out.write(line_of(entry, keyring, vectors=vectors) + "\n")
            exported += 1
            with_vector += vectors and entry.vector is not None
            step(1)
    return {"exported": exported, "with_vector": with_vector}


@contextmanager
def replaced(file: Path) -> Generator[IO[str]]:
    """Open a file of mode 0600 that takes this one's place when all of it is written.

    Raises:
        ForebayError: it cannot be written.
    """
    draft: str | None = None
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # 0600
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(draft).replace(file)
        draft = None
    except OSError as error:
        raise ForebayError(f"{file} cannot be written ({error.strerror})") from None
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)


async def _import(
    session: Session, file: Path, *, overwrite: bool, reembed: bool, skip_damaged: bool
) -> dict[str, Any]:
    from ..runtime import prepare_state_dir  # here, because --help must not wait for it

    if session.config.secret:  # without one there is nothing that a file could have been written with
        prepare_state_dir(session.config.state_dir)
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(opened_store(session.config, session.plugins))
        good, damaged = read_lines(file, opened.keyring)
        if damaged and not skip_damaged:
            shown = "; ".join(f"line {number}: {why}" for number, why in damaged[:SHOWN])
            more = f"; and {len(damaged) - SHOWN} more" if len(damaged) > SHOWN else ""
            raise ForebayError(
                f"{file}: {shown}{more}. Nothing was imported; export again, or leave such lines out with --skip-damaged"
            )
        reembedder = None
        if reembed:
            reembedder = Reembedder(await stack.enter_async_context(started(opened.embedder)), opened.keyring)
        state = StateStore(state_dir_of(session.config) / "state.db")
        stack.callback(state.close)
        counts = await put_lines(file, good, opened, overwrite=overwrite, reembedder=reembedder, epochs=Epochs(state))
    if counts["imported"]:
        await asyncio.to_thread(_let_adopt, session)
    return {**counts, "damaged": len(damaged)}


def _let_adopt(session: Session) -> None:
    """Make the next start tell the eviction policy of all entries: it takes those older than its snapshot for known."""
    state = StateStore(state_dir_of(session.config) / "state.db")
    state.save(SNAPSHOT, {})
    state.close()


def read_lines(file: Path, keyring: Keyring) -> tuple[list[int], list[tuple[int, str]]]:
    """Read a file through; return the numbers of its good lines, and those of the damaged ones with what is wrong.

    Raises:
        ForebayError: it cannot be read, or was not written for this keyring.
    """
    good: list[int] = []
    damaged: list[tuple[int, str]] = []
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            try:
                check_header(lines.readline(), keyring)
            except ForebayError as error:
                raise ForebayError(f"{file}: {error}") from None
            for number, line in enumerate(lines, start=2):
                try:
                    entry_of(line, keyring)
                except PayloadError as error:
                    damaged.append((number, str(error)))
                else:
                    good.append(number)
    except OSError as error:
        raise ForebayError(f"{file} cannot be read ({error.strerror})") from None
    return good, damaged


async def put_lines(
    file: Path,
    numbers: Sequence[int],
    opened: Opened,
    *,
    overwrite: bool,
    reembedder: Reembedder | None = None,
    epochs: Epochs | None = None,
) -> dict[str, int]:
    """Keep the entries on these lines; return how many were imported, expired, known, and left without a vector.

    Args:
        reembedder: makes the vectors of other embedders anew, None to take those that fit as they are.
        epochs: what is imported counts as kept now: who imports wants it served, whatever was invalidated since it was made.
    """
    counts: dict[str, int] = {"imported": 0, "expired": 0, "known": 0, "without_vector": 0}
    dimension = opened.embedder.dimension if opened.embedder is not None else 0
    waiting: list[Entry] = []
    wanted = set(numbers)

    async def put() -> None:
        for entry in await reembedder.remade(waiting) if reembedder is not None else waiting:
            fitting = fitted(entry, dimension)
            if epochs is not None:
                fitting = replace(fitting, epoch=epochs.of(fitting.tenant))
            counts["without_vector"] += fitting.vector is None and bool(fitting.embedder)
            await opened.store.put(fitting)
            counts["imported"] += 1
        waiting.clear()

    with file.open(encoding="utf-8", errors="replace") as lines, progress("importing", len(numbers)) as step:
        for number, line in enumerate(lines, start=1):
            if number not in wanted:
                continue
            entry = entry_of(line, opened.keyring)
            step(1)
            if entry.expires_s <= time():
                counts["expired"] += 1
            elif not overwrite and await _is_known(opened.store, entry):
                counts["known"] += 1
            else:
                waiting.append(entry)
                if len(waiting) >= BATCH:
                    await put()
        await put()
    return counts


def fitted(entry: Entry, dimension: int) -> Entry:
    """Return the entry without vectors of another length than the store's; their embedder's name stays for `reembed`."""
    if all(vector is None or len(vector) == dimension for vector in (entry.vector, entry.context_vector)):
        return entry
    return replace(entry, vector=None, context_vector=None)


async def _is_known(store: Store, entry: Entry) -> bool:
    try:
        kept = await store.get(entry.id)
    except PayloadError:  # damaged: the imported one is better
        return False
    return kept is not None and kept.created_s >= entry.created_s
