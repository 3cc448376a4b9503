"""The judge `cascade`: several in a row, the cheapest first; the first that can tell decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...middleware.errors import ForebayError
from ...middleware.records import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.protocols import Judge
    from ...middleware.records import AnswerPair


class CascadeJudge:
    """Asks judges in order until one can tell.

    Args:
        judges: with their names, which stand in front of the reason.
    """

    def __init__(self, judges: Sequence[tuple[str, Judge]]) -> None:
        if not judges:
            raise ValueError("a cascade needs a judge")
        self._judges = tuple(judges)

    async def compare(self, pair: AnswerPair) -> Judgement:
        """Return the first judgement that tells, else the last one.

        Raises:
            ForebayError: none could tell, and one of them failed.
        """
        failed: ForebayError | None = None
        last = Judgement(None, "undecided")
        for name, judge in self._judges:
            try:
                found = await judge.compare(pair)
            except ForebayError as error:  # another may tell without it
                failed = failed or error
                continue
            last = Judgement(found.same, f"{name}:{found.reason}")
            if found.same is not None:
                return last
        if failed is not None:
            raise failed
        return last
