"""What a batch does about answers that a check refuses, and about calls that fail."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .batch_parts import bodies_of
from .errors import AdapterError, EngineError, ShedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .protocols import AnswerCheck
    from .records import Answer, Request

PASSING: Final = frozenset({408, 425, 429})
"""Statuses below 500 that another try may not meet."""
TOLD: Final = frozenset(
    {
        "finish_reason_content_filter",
        "finish_reason_length",
        "finish_reason_null",
        "finish_reason_other",
        "logprobs_missing",
        "wrong_choice_count",
    }
)
"""Labels of answers that are what was asked for, but for their end: the caller's own bounds made it, and would again."""
DOUBTFUL: Final = frozenset({"empty", "other_language", "refusal"})
"""Labels of answers that are worth another try, and whole all the same."""
_SERVER_ERROR: Final = 500
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0


class RefusedAnswerError(AdapterError):
    """The engine answered, and a check refuses what it said.

    Attributes:
        reason: the check's label.
        answer: what it said.
    """

    def __init__(self, reason: str, answer: Answer) -> None:
        self.reason = reason
        self.answer = answer
        super().__init__(f"the engine's answer was refused ({reason})")


def backoff_s(attempt: int) -> float:
    """Return how long to wait after a failed attempt, the first being 0: half a second, doubled each time, at most 30."""
    return min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempt, 16))


@dataclass(frozen=True, slots=True)
class Care:
    """How the answers of a batch are checked, and how often they are asked for again.

    An answer with a label of `TOLD` is taken with that label as its warning. One of `DOUBTFUL` is asked for again, and
    taken with a warning in the end. Any other is asked for again and, in the end, a failure. At temperature 0 nothing is
    asked for again for what an answer says: it would say it again.

    Attributes:
        checks: what they refuse is not taken for an answer.
        retries: how often one member is asked for again at most.
        wait_s: how long to wait after a failed attempt, the first being 0.
    """

    checks: Sequence[AnswerCheck] = ()
    retries: int = 0
    wait_s: Callable[[int], float] = backoff_s

    def label(self, request: Request, answer: Answer) -> str:
        """Return the label of the worst thing that the checks find, "" where they find nothing."""
        parts = [replace(answer, body=body) for body in bodies_of(answer)] if request.batch else [answer]
        found = [label for check in self.checks for part in parts if (label := check.refuse(request, part)) is not None]
        return max(found, key=_severity, default="")

    def asks_again(self, request: Request, label: str, attempt: int) -> bool:
        """Return whether an answer with this label is asked for again."""
        steady = request.params.get("temperature") == 0
        return bool(label) and label not in TOLD and attempt < self.retries and not steady

    def tries_again(self, error: Exception, attempt: int) -> bool:
        """Return whether a call that failed so is made again."""
        if attempt >= self.retries or isinstance(error, RefusedAnswerError):
            return False
        if isinstance(error, ShedError):
            return True
        return isinstance(error, EngineError) and (
            error.status is None or error.status >= _SERVER_ERROR or error.status in PASSING
        )


def is_failure(label: str) -> bool:
    """Return whether an answer with this label is none."""
    return _severity(label) > 1


def reason_of(error: Exception) -> str:
    """Return a bounded label of why a member failed."""
    if isinstance(error, RefusedAnswerError | ShedError):
        return error.reason
    if isinstance(error, EngineError):
        return "no_answer" if error.status is None else f"status_{error.status}"
    return type(error).__name__


def _severity(label: str) -> int:
    if not label or label in TOLD:
        return 0
    return 1 if label in DOUBTFUL else 2
