"""``forebay cache reembed``: make the vectors again that another embedder made."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..errors import EmbedderError, ForebayError, PayloadError, StoreMismatchError
from ..payload import encode_entry
from ..records import EVERYTHING
from .session import console, plural, progress, say_json, session_of
from .store import opened_store, scannable, started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..keys import Keyring
    from ..protocols import Embedder, Store
    from ..records import Entry
    from .session import Session

BATCH: Final = 32


def reembed(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Embed again what another model embedded; may be stopped, and run again, at any time."""
    session = session_of(context)
    found = asyncio.run(_reembed(session))
    if as_json:
        say_json(found)
    elif not found["reembedded"]:
        console().print(f"nothing to do: no answer has vectors of another model than {found['embedder']}")
    else:
        console().print(f"embedded {plural(found['reembedded'], 'answer')} again, with {found['embedder']}")


class Reembedder:
    """Makes entries' vectors anew.

    Args:
        embedder: started.
        keyring: an entry's size is that of its signed payload, which names the embedder.
    """

    def __init__(self, embedder: Embedder, keyring: Keyring) -> None:
        self._embedder = embedder
        self._keyring = keyring

    def wants(self, entry: Entry) -> bool:
        """Return whether an entry was embedded, and not by this model; one that never was shall not be compared."""
        return bool(entry.embedder) and (entry.embedder != self._embedder.model_id or entry.vector is None)

    async def remade(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries, those that want it with vectors of this embedder.

        Raises:
            EmbedderError: it failed.
        """
        mine = [entry for entry in entries if self.wants(entry)]
        texts = list(dict.fromkeys(text for entry in mine for text in (entry.question, entry.reading)))
        vectors = dict(zip(texts, await self._embedder.embed(texts), strict=True)) if texts else {}
        made: list[Entry] = []
        for entry in entries:
            if self.wants(entry):
                changed = replace(
                    entry,
                    vector=vectors[entry.question],
                    context_vector=vectors[entry.reading] if entry.reading else None,
                    embedder=self._embedder.model_id,
                )
                made.append(replace(changed, size_bytes=len(encode_entry(changed, self._keyring))))
            else:
                made.append(entry)
        return made


async def _reembed(session: Session) -> dict[str, Any]:
    config = session.config
    try:
        async with opened_store(config, session.plugins) as opened, started(opened.embedder) as embedder:
            listed = scannable(opened.store, config)
            reembedder = Reembedder(embedder, opened.keyring)
            wanted = [entry.id async for entry in listed.scan(EVERYTHING) if reembedder.wants(entry)]
            done = await _redo(opened.store, reembedder, wanted)
            return {"reembedded": done, "embedder": embedder.model_id}
    except StoreMismatchError as error:
        what = str(error).partition(";")[0]  # what follows is for those who start with an empty cache
        raise ForebayError(
            f"{what}; vectors of another length need a collection of their own: "
            "1. `forebay cache export FILE --dimension N`, N being the length of those that are kept; "
            "2. set store.collection to a new name; 3. `forebay cache import FILE --reembed`"
        ) from None


async def _redo(store: Store, reembedder: Reembedder, wanted: Sequence[str]) -> int:
    done = 0
    with progress("embedding", len(wanted)) as step:
        for start in range(0, len(wanted), BATCH):
            names = wanted[start : start + BATCH]
            # read now: it may have been replaced or dropped since it was listed
            entries = [entry for name in names if (entry := await _read(store, name)) and reembedder.wants(entry)]
            try:
                for entry in await reembedder.remade(entries):
                    await store.put(entry)
                    done += 1
            except EmbedderError as error:
                raise EmbedderError(f"{error}. {done} of {len(wanted)} are done; run this again to go on") from None
            step(len(names))
    return done


async def _read(store: Store, name: str) -> Entry | None:
    try:
        return await store.get(name)
    except PayloadError:  # damaged meanwhile
        return None
