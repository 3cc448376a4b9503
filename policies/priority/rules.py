"""The operator's rules: which requests belong to which priority class."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

if TYPE_CHECKING:
    from ...middleware.analysis.facts import Priority, RequestFacts
    from ...middleware.records import Request

MAX_VALUE: Final = 512
"""Characters of a value that a pattern is held against; a longer value matches nothing, so that no request is slow."""

Patterns: TypeAlias = tuple[str, ...]
Condition: TypeAlias = Callable[["Request", "RequestFacts"], bool]


def _none() -> Mapping[str, Patterns]:
    return {}


@dataclass(frozen=True, slots=True)
class Rule:
    """Requests of which all that is given here holds belong to a class.

    A pattern is a shell's (``*``, ``?``, ``[ab]``) and minds case. Of several patterns one must fit, and a value that is
    not there fits none, not even ``*``.

    Attributes:
        priority: the class.
        name: for reasons; "" for the rule's number.
        model, tenant, endpoint: patterns of the request's fields.
        key, team, user: patterns of whom the request is accounted to.
        header: patterns by the header's name, in any case.
        metadata: patterns by the name of what the operator noted on the key or, where it has no such note, on its team.
        label: patterns by the name of a fact that a plugin found; a number or a truth value is written as Python does.
        stream, batch: whether it streams, and whether its messages are asked one by one.
        deadline_below_s: the caller waits for less than so many seconds.
        min_input_tokens, max_input_tokens: the prompt has at least, at most, so many.
    """

    priority: Priority
    name: str = ""
    model: Patterns = ()
    tenant: Patterns = ()
    endpoint: Patterns = ()
    key: Patterns = ()
    team: Patterns = ()
    user: Patterns = ()
    header: Mapping[str, Patterns] = field(default_factory=_none)
    metadata: Mapping[str, Patterns] = field(default_factory=_none)
    label: Mapping[str, Patterns] = field(default_factory=_none)
    stream: bool | None = None
    batch: bool | None = None
    deadline_below_s: float | None = None
    min_input_tokens: int | None = None
    max_input_tokens: int | None = None


def conditions(rule: Rule) -> Sequence[Condition]:
    """Return what must hold of a request, compiled; nothing where the rule is about all."""
    found: list[Condition] = []
    for name in ("model", "tenant", "endpoint", "key", "team", "user"):
        patterns = cast("Patterns", getattr(rule, name))
        about = _about_account if name in ("key", "team", "user") else _about_field
        if patterns:
            found.append(about(name, _compiled(patterns)))
    for name, patterns in rule.header.items():
        found.append(_about_hint(f"header.{name.lower()}", _compiled(patterns)))
    for name, patterns in rule.metadata.items():
        found.append(_about_hint(f"key.{name}", _compiled(patterns), f"team.{name}"))
    for name, patterns in rule.label.items():
        found.append(_about_label(name, _compiled(patterns)))
    if (stream := rule.stream) is not None:
        found.append(lambda request, _: request.stream is stream)
    if (batch := rule.batch) is not None:
        found.append(lambda request, _: request.batch is batch)
    if (below := rule.deadline_below_s) is not None:
        found.append(lambda request, _: request.deadline_s is not None and request.deadline_s < below)
    if (least := rule.min_input_tokens) is not None:
        found.append(lambda _, facts: facts.prompt_tokens >= least)
    if (most := rule.max_input_tokens) is not None:
        found.append(lambda _, facts: facts.prompt_tokens <= most)
    return found


def _compiled(patterns: Patterns) -> Callable[[str], object]:
    return re.compile("|".join(map(translate, patterns))).match


def _fits(value: Any, match: Callable[[str], object]) -> bool:
    return isinstance(value, str) and len(value) <= MAX_VALUE and match(value) is not None


def _about_field(name: str, match: Callable[[str], object]) -> Condition:
    return lambda request, _: _fits(getattr(request, name), match)


def _about_account(name: str, match: Callable[[str], object]) -> Condition:
    return lambda request, _: _fits(request.labels.get(name), match)


def _about_hint(name: str, match: Callable[[str], object], otherwise: str = "") -> Condition:
    def holds(request: Request, _: RequestFacts) -> bool:
        hints = request.hints
        return _fits(hints[name] if name in hints else hints.get(otherwise), match)

    return holds


def _about_label(name: str, match: Callable[[str], object]) -> Condition:
    def holds(_: Request, facts: RequestFacts) -> bool:
        value = facts.labels.get(name)
        return value is not None and _fits(str(value), match)

    return holds
