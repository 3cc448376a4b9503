"""The HTTP API of invalidation, as the hosts that serve HTTP have in common: a path, a JSON body, a status and an answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from time import time
from typing import TYPE_CHECKING, Any, Final

from .errors import ForebayError
from .inbound import is_tag, seconds
from .invalidation import FLUSH_S, Invalidation, near, wrong_of
from .keys import system_digest
from .narrow import is_object
from .protocols import Scannable
from .records import Selector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .coordination import Told
    from .invalidation import WrongHit
    from .records import JsonObject
    from .runtime import Runtime

FORGET: Final = "/forebay/cache/forget"
BUMP: Final = "/forebay/cache/bump"
PATHS: Final = (FORGET, BUMP)
OK: Final = 200
BAD_REQUEST: Final = 400
NOT_FOUND: Final = 404
UNAVAILABLE: Final = 503
TEXT_CHARS: Final = 100_000
_TEXTS: Final = ("id", "request_id", "tag", "tenant", "model", "version", "system", "system_digest", "near")
_NUMBERS: Final = ("older_than_s", "within")
_FORGET_FIELDS: Final = frozenset((*_TEXTS, *_NUMBERS, "dry_run"))


class _WrongCallError(Exception):
    """A body says something that cannot be done; its text is for the caller."""


@dataclass(frozen=True, slots=True)
class Called:
    """What a call is answered with."""

    status: int
    body: JsonObject


async def call(runtime: Runtime, path: str, body: Any) -> Called:
    """Do what an administrator's call says.

    Args:
        path: one of `PATHS`.
        body: as JSON; None for an empty one.
    """
    fields: Any = {} if body is None else body
    try:
        if not is_object(fields):
            raise _WrongCallError("the body must be a JSON object")
        return Called(OK, await (_forget if path == FORGET else _bump)(runtime, fields))
    except _WrongCallError as error:
        return Called(BAD_REQUEST, {"error": str(error)})
    except LookupError as error:
        return Called(NOT_FOUND, {"error": str(error.args[0])})
    except (ForebayError, OSError, TimeoutError) as error:
        return Called(UNAVAILABLE, {"error": str(error) or type(error).__name__})


async def _bump(runtime: Runtime, fields: Mapping[str, Any]) -> JsonObject:
    _known(fields, frozenset({"tenant"}))
    tenant = _text(fields, "tenant")
    told = await _invalidation(runtime).bump(_tenant(runtime, tenant))
    return {"bumped": "everything" if tenant is None else "tenant", **_workers(told)}


async def _forget(runtime: Runtime, fields: Mapping[str, Any]) -> JsonObject:
    _known(fields, _FORGET_FIELDS)
    if not any(fields.get(name) is not None for name in (*_TEXTS, "older_than_s")):
        named = ", ".join((*_TEXTS, "older_than_s"))
        raise _WrongCallError(f"say what to forget: {named}; or use {BUMP}")
    dry_run = fields.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise _WrongCallError("dry_run must be true or false")
    selector, wrong = _selector(runtime, fields), None
    request = _text(fields, "request_id")
    if request is not None:
        wrong = await _of_request(runtime, request, selector)
        selector = replace(selector, id=wrong.entry)
    text = _text(fields, "near")
    selectors = [selector]
    rows: list[JsonObject] = []
    if text is not None:
        rows = await _near(runtime, text, fields, selector)
        selectors = [Selector(id=str(row["id"])) for row in rows]
    if dry_run:
        matched = len(rows) if text is not None else [1 async for _ in runtime.keeper.scan(selector)].count(1)
        return {"dry_run": True, "matched": matched, **({"near": rows} if text is not None else {})}
    if wrong is not None and wrong.asked:
        runtime.refused.add(wrong.asked, wrong.entry)
    outcome = await _invalidation(runtime).forget(selectors)
    return {"dry_run": False, "dropped": outcome.dropped, **_workers(outcome.told)}


async def _near(runtime: Runtime, text: str, fields: Mapping[str, Any], selector: Selector) -> list[JsonObject]:
    within = fields.get("within")
    if isinstance(within, bool) or not isinstance(within, (int, float)) or not -1 <= within <= 1:
        raise _WrongCallError("near needs within: the least cosine, from -1 to 1")
    store = runtime.keeper.store
    if runtime.embedder is None or not isinstance(store, Scannable):
        raise ForebayError("there is no embedder (cache.semantic is off), or the store cannot list its entries")
    found = await near(store, runtime.embedder, text, within=float(within), keyring=runtime.keyring, selector=selector)
    return [{"id": one.id, "question": one.question, "similarity": round(one.similarity, 4)} for one in found]


def _selector(runtime: Runtime, fields: Mapping[str, Any]) -> Selector:
    tag, age = _text(fields, "tag"), fields.get("older_than_s")
    if tag is not None and not is_tag(tag):
        raise _WrongCallError("no answer is kept under such a tag: it has other characters, or is too long")
    older_s = None if age is None or isinstance(age, str) else seconds(age)
    if age is not None and older_s is None:
        raise _WrongCallError("older_than_s must be a number of seconds, 0 or more")
    prompt, system = _text(fields, "system"), _text(fields, "system_digest")
    if prompt is not None and not prompt.strip():
        raise _WrongCallError("an empty system prompt selects nothing")
    return Selector(
        id=_text(fields, "id"),
        tenant=_tenant(runtime, _text(fields, "tenant")),
        model=_text(fields, "model"),
        tag=tag,
        system=system_digest(runtime.keyring, prompt) if prompt is not None else system,
        version=_text(fields, "version"),
        created_before_s=time() - older_s if older_s is not None else None,
    )


async def _of_request(runtime: Runtime, request: str, selector: Selector) -> WrongHit:
    """Return the entry that a request was served, or that was kept of its answer.

    Raises:
        LookupError: there is none.
    """
    if selector.id is not None:
        raise _WrongCallError("id and request_id both name one entry; use one of them")
    await asyncio.to_thread(runtime.state.flush, FLUSH_S)
    explained = await asyncio.to_thread(runtime.state.explanation, request)
    wrong = wrong_of(explained) if explained is not None else None
    if wrong is None:
        raise LookupError("no kept answer had to do with this request, or it was not asked here")
    return wrong


def _invalidation(runtime: Runtime) -> Invalidation:
    return Invalidation(runtime.workers, runtime.epochs)


def _tenant(runtime: Runtime, name: str | None) -> str | None:
    return runtime.keyring.digest("tenant", name) if name is not None else None


def _known(fields: Mapping[str, Any], known: frozenset[str]) -> None:
    if not fields.keys() <= known:
        # a selector that is not understood must not become a wider one
        raise _WrongCallError(f"unknown fields; known are {', '.join(sorted(known))}")


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or (isinstance(value, str) and len(value) <= TEXT_CHARS):
        return value
    raise _WrongCallError(f"{name} must be a text of at most {TEXT_CHARS} characters")


def _workers(told: Told) -> JsonObject:
    return {"workers": told.workers, "answered": told.answered}
