"""One engine as it is seen from outside: its law, what usually comes, and how long a request will take now."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, cast

from .fit import LawFit
from .law import Law, Shape
from .ledger import Ledger, Stay

if TYPE_CHECKING:
    from ...middleware.analysis.facts import Work
    from ...middleware.records import JsonObject

_SMOOTH = 0.05
_RECENT = 128
_EARLY = 64
_SELDOM = 16
_OFTEN = 4
_WAITED = 5.0
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds to the first token, and for each token after it."""

    ttft_s: float
    tpot_s: float

    def seconds(self, output: float) -> float:
        """Return the time from entering to the last of so many tokens."""
        return self.ttft_s + self.tpot_s * max(output - 1, 0.0)


class Lane:
    """Learns one engine's law from the requests that it served.

    Args:
        model: the model by which it became known.
        shape: what is known of the engine. Where `max_num_seqs` is not, the places are taken to be as many as decoded while
            somebody had to wait.

    Attributes:
        model, shape: as given.
        stays: how many requests were learned from.
    """

    def __init__(self, model: str, shape: Shape) -> None:
        self.model = model
        self.shape = shape
        self.stays = 0
        self._ledger = Ledger()
        self._fit = LawFit()
        self._unfitted = False
        self._prompt = 0.0
        self._output = 0.0
        self._places = 0.0
        self._waits = deque[float](maxlen=_EARLY)
        self._errors = {name: deque[float](maxlen=_RECENT) for name in ("ttft", "tpot", "seconds")}

    @property
    def law(self) -> Law | None:
        """The law as it is known, None before enough was seen."""
        return self._fit.law

    @property
    def output(self) -> float:
        """Tokens of a usual answer, 0 before any was seen."""
        return self._output

    def estimate(self, prompt: int, inside: int) -> Estimate | None:
        """Return how long a request takes that enters now, while so many others are inside; None where no law is known.

        The load is taken to last: each that ends is followed by one like the usual ones. Others beyond the engine's places
        are before it in the engine's queue, and leave it one by one as places become free.
        """
        law = self._fit.law
        if law is None:
            return None
        decoding = min(inside + 1.0, self._capacity())
        ahead = inside + 1.0 - decoding
        context = decoding * (self._prompt + self._output / 2)
        if self.shape.kv_tokens is not None:
            context = min(context, float(self.shape.kv_tokens))
        step = law.seconds(0, decoding, context)
        ends = decoding / max(self._output, 1.0)  # in an iteration
        tpot = step + law.prefill_s * self._prompt * ends * (1 - 1 / decoding)
        chunks = math.ceil(prompt / self.shape.budget) + (0.5 if inside else 0.0)
        return Estimate(ahead / ends * tpot + chunks * step + law.prefill_s * prompt, tpot)

    def learn(self, stay: Stay, *, clean: bool, open_since_s: float) -> None:
        """Take in a request that has ended.

        Args:
            stay: its times and tokens.
            clean: it came to a clean end.
            open_since_s: since when the oldest request is inside of which the end is not known yet: what happened after
                that is worked out later.
        """
        self._ledger.add(stay, clean=clean)
        self.stays += 1
        pace = max(_SMOOTH, 1 / self.stays)
        self._prompt += pace * (stay.prompt - self._prompt)
        self._output += pace * (stay.output - self._output)
        law = self._fit.law
        if law is not None and stay.first_s is not None:
            self._notice(law, stay.entered_s, stay.first_s)
        turn = self.stays % (_OFTEN if self.stays < _EARLY else _SELDOM)
        if turn == 0:
            self._count_places(open_since_s)
            rows = self._ledger.work_out(open_since_s)
            if rows is not None:
                self._fit.add(rows)
                self._unfitted = True
        elif self._unfitted:  # a turn later: neither shall hold others up for long
            self._fit.refit()
            self._unfitted = False

    def score(self, work: Work, stay: Stay) -> None:
        """Compare what was said with what happened."""
        self._err("seconds", work.seconds, stay.ended_s - stay.entered_s)
        if stay.first_s is not None:
            self._err("ttft", work.ttft_s, stay.first_s - stay.entered_s)
            self._err("tpot", work.tpot_s, (stay.ended_s - stay.first_s) / max(stay.output - 1, 1))

    def report(self) -> JsonObject:
        """Return the law, and medians of the relative errors of the last 128 predictions."""
        coefficients = (None,) * 4 if self.law is None else self.law.coefficients
        names = ("step_s", "prefill_s", "decode_s", "kv_s")
        return {
            "n": self.stays,
            **dict(zip(names, coefficients, strict=True)),
            "places": None if math.isinf(self._capacity()) else round(self._capacity(), 1),
            **{
                f"{name}_median_rel_error": round(median(errors), _DIGITS) if errors else None
                for name, errors in self._errors.items()
            },
        }

    def snapshot(self) -> JsonObject:
        """Return what is known as JSON; the requests themselves are not in it."""
        return {
            "stays": self.stays,
            "law": None if self.law is None else list(self.law.coefficients),
            "usual": [self._prompt, self._output, self._places],
            "errors": {name: list(errors) for name, errors in self._errors.items()},
        }

    def restore(self, state: JsonObject) -> None:
        """Take over what `snapshot` returned, into a new lane.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        self.stays = _whole(state["stays"])
        law = state["law"]
        self._fit = LawFit(None if law is None else Law(*_amounts(law, 4)))
        self._prompt, self._output, self._places = _amounts(state["usual"], 3)
        for name, errors in self._errors.items():
            errors.extend(_amounts(state["errors"][name]))

    def _capacity(self) -> float:
        places = float(self.shape.max_num_seqs or self._places or math.inf)
        if self.shape.kv_tokens is not None and self._prompt:
            places = min(places, self.shape.kv_tokens / (self._prompt + self._output / 2))
        return max(places, 1.0)

    def _notice(self, law: Law, entered_s: float, first_s: float) -> None:
        """Remember one that waited longer than reading prompts explains: it had no place."""
        decoding = self._places or 1.0
        context = decoding * (self._prompt + self._output / 2)
        if first_s - entered_s > _WAITED * law.seconds(self.shape.budget, decoding, context):
            self._waits.append(first_s)

    def _count_places(self, until_s: float) -> None:
        """Learn how many places there are: as many as decoded when one that had to wait got its own, the most of late."""
        while self._waits and self._waits[0] <= until_s:
            seen = self._ledger.decoding_at(self._waits.popleft())
            self._places = max(float(seen), self._places + _SMOOTH * (seen - self._places))

    def _err(self, name: str, said: float | None, was: float) -> None:
        if said is not None and was > 0:
            self._errors[name].append(round(min(abs(said - was) / was, 1e6), _DIGITS))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("work: not a count")
    return value


def _amounts(values: object, count: int | None = None) -> list[float]:
    if not isinstance(values, list):
        raise TypeError("work: not a list of numbers")
    numbers = [float(value) for value in cast("list[float]", values)]
    if count not in (None, len(numbers)) or not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("work: other numbers than there should be")
    return numbers
