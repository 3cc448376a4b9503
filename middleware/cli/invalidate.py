"""``forebay cache forget`` and ``bump``: take back kept answers, by what they are, by what they are about, or all at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from ..epochs import Epochs
from ..errors import ForebayError
from ..inbound import is_tag, seconds
from ..invalidation import near, wrong_of
from ..invalidation_calls import FORGET
from ..keys import system_digest
from ..records import Selector
from ..state import StateStore
from .cache import WAIT_S, check_answers, delete
from .explain import explanation
from .session import console, plural, session_of, table
from .store import OutOfReachError, coordinated, keyring_of, opened_store, scannable, started, state_dir_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from ..config import Config
    from ..coordination import Told
    from ..invalidation import Near
    from .session import Session
    from .store import Opened

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SHOWN: Final = 10


def forget(
    context: typer.Context,
    *,
    entry_id: Annotated[str | None, typer.Option("--id", help="An entry's id, as `forebay explain` shows it.")] = None,
    request_id: Annotated[
        str | None, typer.Option("--request-id", help="The x-forebay-id of a request that this entry answered.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="A tenant's name; with LiteLLM it is like key=HASH|team=ID.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="A model's name, as requests say it.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="A tag of x-forebay-tags.")] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="The model that the engine says it was, like gpt-4o-2024-08-06.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT|@FILE", help="Asked with this very system prompt.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="DURATION", help="Kept longer ago: 90s, 30m, 36h, 7d, 2w.")
    ] = None,
    near_text: Annotated[
        str | None, typer.Option("--near", metavar="TEXT", help="Whose questions are near to this one.")
    ] = None,
    within: Annotated[float, typer.Option(min=-1.0, max=1.0, help="How near, for --near: the least cosine.")] = 0.9,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many that would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; only --near does.")] = False,
) -> None:
    """Drop the kept answers that match all options; a wrong hit is cured with --request-id."""
    given = (entry_id, request_id, tenant, model, tag, version, system, older_than, near_text)
    if all(option is None for option in given):
        raise ForebayError(
            "say what to forget: --id, --request-id, --tenant, --model, --tag, --version, --system, --older-than or --near "
            "(or `forebay cache bump` or `clear` for everything)"
        )
    if entry_id is not None and request_id is not None:
        raise ForebayError("--id and --request-id both name one entry; use one of them")
    if tag is not None and not is_tag(tag):
        raise ForebayError("--tag: a tag is 1 to 64 letters, digits or ._:@/+-")
    session = session_of(context)
    keyring = keyring_of(session.config)
    selector = Selector(
        id=entry_id if request_id is None else _entry_of(session, request_id),
        tenant=keyring.digest("tenant", tenant) if tenant is not None else None,
        model=model,
        tag=tag,
        version=version,
        system=system_digest(keyring, _prompt(system)) if system is not None else None,
        created_before_s=time() - duration_s(older_than) if older_than is not None else None,
    )
    selectors = [selector]
    if near_text is not None:
        found = asyncio.run(_near(session, near_text, within, selector))
        _show(found)
        selectors = [Selector(id=one.id) for one in found]
        if found and not dry_run and not yes:
            typer.confirm(f"Drop {plural(len(found), 'answer')}?", abort=True)
    if dry_run:
        count = len(selectors) if near_text is not None else asyncio.run(_count(session, selector))
        console().print(f"would drop {plural(count, 'answer')}")
        return
    if not asyncio.run(delete(session, selectors)):
        raise typer.Exit(1)


def bump(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only what this tenant has.")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop serving all that is kept by now, of one tenant or of everybody, at once; it is deleted later."""
    if tenant is None and not yes:
        typer.confirm("Stop serving every answer that is kept now, of all tenants and models?", abort=True)
    session = session_of(context)
    digest = keyring_of(session.config).digest("tenant", tenant) if tenant is not None else None
    told = asyncio.run(bumped(session, digest))
    whose = "everything" if tenant is None else "all of this tenant"
    where = f", {plural(told.answered, 'running process', 'running processes')} told" if told.workers else ""
    console().print(f"{whose} that was kept until now is no longer served{where}")
    check_answers(told)


async def bumped(session: Session, tenant: str | None) -> Told:
    """Bump the epoch of a tenant, or of everything, and tell the running processes.

    Raises:
        AdapterError: it could not be kept.
        CoordinationError: the running processes could not be told; it holds from their next start.
    """
    with opened_state(session.config) as state:
        selector = await asyncio.to_thread(Epochs(state).bump, tenant)
    async with coordinated(session.config, session.plugins) as coordination:
        return await coordination.tell(selector, WAIT_S)


@contextmanager
def opened_state(config: Config) -> Generator[StateStore]:
    """Open the state store of a config.

    Raises:
        ForebayError: there is no state folder, or it cannot be opened.
    """
    state = StateStore(state_dir_of(config) / "state.db")
    try:
        yield state
    finally:
        state.close()


def duration_s(text: str) -> float:
    """Return a duration in seconds: a number, and one of s, m, h, d or w.

    Raises:
        ForebayError: it is none.
    """
    number = text.strip().lower()
    unit = number[-1:]
    value = seconds(number[:-1] if unit in _UNITS else number)
    if value is None:
        raise ForebayError(f"{text!r} is no duration; write 90s, 30m, 36h, 7d or 2w")
    return value * _UNITS.get(unit, 1.0)


def _prompt(option: str) -> str:
    """Return a text, or what the file that ``@`` names holds.

    Raises:
        ForebayError: the file cannot be read, or there is no text.
    """
    text = option
    if option.startswith("@"):
        try:
            text = Path(option[1:]).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ForebayError(f"--system: {option[1:]} cannot be read ({type(error).__name__})") from None
    if not text.strip():
        raise ForebayError("--system: an empty system prompt selects nothing")
    return text


async def _count(session: Session, selector: Selector) -> int:
    async with _looked_into(session) as opened:
        store = scannable(opened.store, session.config)
        return len([entry.id async for entry in store.scan(selector)])


async def _near(session: Session, text: str, within: float, selector: Selector) -> list[Near]:
    async with _looked_into(session) as opened, started(opened.embedder) as embedder:
        store = scannable(opened.store, session.config)
        return await near(store, embedder, text, within=within, keyring=opened.keyring, selector=selector)


@asynccontextmanager
async def _looked_into(session: Session) -> AsyncGenerator[Opened]:
    try:
        async with opened_store(session.config, session.plugins) as opened:
            yield opened
    except OutOfReachError as error:
        raise ForebayError(f"{error}; or ask that process: POST {FORGET}") from None


def _show(found: list[Near]) -> None:
    rows = table("similarity", "kept answer")
    for one in found[:_SHOWN]:
        rows.add_row(f"{one.similarity:.3f}", Text(one.id[:16], "dim"))
    if found:
        console().print(rows)
    if len(found) > _SHOWN:
        console().print(f"and {len(found) - _SHOWN:,} more")


def _entry_of(session: Session, request_id: str) -> str:
    explained = explanation(session.config, request_id)
    wrong = wrong_of(explained)
    if wrong is not None:
        return wrong.entry
    raise ForebayError(f"no kept answer had to do with request {request_id!r}; see `forebay explain {request_id}`")
