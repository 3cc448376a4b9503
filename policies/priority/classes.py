"""The priority class of a request, by the operator's rules and notes, else by its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from ...middleware.analysis.facts import Priority, Urgency
from .rules import Condition, Rule, conditions

if TYPE_CHECKING:
    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.records import JsonObject, Request

HEADER: Final = "x-forebay-priority"
NOTE: Final = "forebay_priority"
"""Name of the operator's note on a key or a team."""
SHORT_DEADLINE_S: Final = 10.0
"""Who waits no longer is a person; clients of the usual libraries give up after minutes."""
LONG_DEADLINE_S: Final = 3_600.0
"""Who waits for an hour is a job."""

_CLASSES: Final = {each.value: each for each in Priority}
_RANKS: Final = {each: rank for rank, each in enumerate(Priority)}
_TIERS: Final = {"flex": Priority.BATCH, "priority": Priority.INTERACTIVE}


class PriorityClassifier:
    """Sets `RequestFacts.urgency`.

    Of these the first that says something decides: the background caller's tenant (reason ``background_caller``), the
    rules in their order (``rule:NAME`` or ``rule:NUMBER``, counted from 1), the operator's note ``forebay_priority`` on
    the key (``key``), then on its team (``team``), then the request's shape: several inputs (``batch_input``), a deadline
    below 10 s (``deadline``) or of an hour and more (``long_deadline``), a stream (``stream``); else standard (``default``).

    The caller's own wish, the first of the header ``x-forebay-priority`` (``header``), ``service_tier``
    (``service_tier``: flex is batch, priority is interactive) and vLLM's ``priority`` (``priority``: a later turn, above 0,
    is batch, an earlier one interactive), lowers that class and never raises it, unless callers are trusted: anyone could
    jump the queue. What is none of the four classes is ignored.

    Args:
        rules: the first whose conditions all hold decides.
        trust_client: a wish counts upwards, too.
        background: tenant of the background caller, whose class no rule and no wish changes.
    """

    def __init__(self, rules: Sequence[Rule] = (), *, trust_client: bool = False, background: str = "") -> None:
        self._rules: list[tuple[Sequence[Condition], Urgency]] = [
            (conditions(rule), Urgency(rule.priority, f"rule:{rule.name or number}"))
            for number, rule in enumerate(rules, start=1)
        ]
        self._trust_client = trust_client
        self._background = background

    def classify(self, request: Request, facts: RequestFacts) -> RequestFacts:
        """Return the facts with the priority class."""
        return facts.having(urgency=self._urgency(request, facts))

    def _urgency(self, request: Request, facts: RequestFacts) -> Urgency:
        if self._background and request.tenant == self._background:
            return _BACKGROUND_CALLER
        urgency = self._ruled(request, facts) or _noted(request) or _by_shape(request)
        wish = _wish(request)
        if wish is None:
            return urgency
        lower = _RANKS[wish.priority] - _RANKS[urgency.priority]
        return wish if lower > 0 or (lower < 0 and self._trust_client) else urgency

    def _ruled(self, request: Request, facts: RequestFacts) -> Urgency | None:
        for needed, urgency in self._rules:
            for holds in needed:  # a loop: with `all` twenty rules take twice the time
                if not holds(request, facts):
                    break
            else:
                return urgency
        return None


_BACKGROUND_CALLER: Final = Urgency(Priority.BACKGROUND, "background_caller")
_BATCH_INPUT: Final = Urgency(Priority.BATCH, "batch_input")
_DEADLINE: Final = Urgency(Priority.INTERACTIVE, "deadline")
_LONG_DEADLINE: Final = Urgency(Priority.BATCH, "long_deadline")
_STREAM: Final = Urgency(Priority.INTERACTIVE, "stream")
_DEFAULT: Final = Urgency(Priority.STANDARD, "default")


def _named(value: Any) -> Priority | None:
    # a longer value is no class's name: it is not worth a copy in lower case
    return _CLASSES.get(value.strip().lower()) if isinstance(value, str) and len(value) < 32 else None  # noqa: PLR2004


def _noted(request: Request) -> Urgency | None:
    for place in ("key", "team"):
        noted = _named(request.hints.get(f"{place}.{NOTE}"))
        if noted is not None:
            return Urgency(noted, place)
    return None


def _by_shape(request: Request) -> Urgency:
    messages: Any = request.messages
    if request.batch and isinstance(messages, list | tuple) and len(cast("Sequence[Any]", messages)) > 1:
        return _BATCH_INPUT
    if request.deadline_s is not None:
        if request.deadline_s < SHORT_DEADLINE_S:
            return _DEADLINE
        if request.deadline_s >= LONG_DEADLINE_S:
            return _LONG_DEADLINE
    return _STREAM if request.stream else _DEFAULT


_TURN: Final = re.compile(r"-?[0-9]{1,9}")


def _wish(request: Request) -> Urgency | None:
    named = _named(request.hints.get(f"header.{HEADER}"))
    if named is not None:
        return Urgency(named, "header")
    given: Any = request.params
    params: Mapping[str, Any] = cast("JsonObject", given) if isinstance(given, (dict, Mapping)) else {}
    tier: Any = params.get("service_tier", request.hints.get("body.service_tier"))
    if isinstance(tier, str) and tier in _TIERS:
        return Urgency(_TIERS[tier], "service_tier")
    noted = request.hints.get("body.priority", "")  # as text, like every hint
    turn: Any = params.get("priority", int(noted) if _TURN.fullmatch(noted) else None)
    if isinstance(turn, int) and not isinstance(turn, bool) and turn != 0:
        return Urgency(Priority.BATCH if turn > 0 else Priority.INTERACTIVE, "priority")
    return None
