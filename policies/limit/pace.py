"""How long an engine takes for a token, by how many decode: learned from what the gate sees.

While a stream decodes, each iteration of the engine gives it one token, so the time from its first to its last token is
a * iterations + b * prompt tokens read meanwhile + c * sum of the decoding sequences + d * sum of their prompts
(`forebay.policies.work.law`). The gate sees all four: counts inside are summed up over time, and each first token says
that a prompt was read.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ..work.fit import ENOUGH, LawFit
from ..work.law import BUDGET
from ..work.ledger import Rows

if TYPE_CHECKING:
    from ...middleware.admission.tickets import Load, Served, Ticket
    from ..work.law import Law

_OPEN: Final = 8_192
_LEAST_TOKENS: Final = 8
_USUAL: Final = 0.01


@dataclass(frozen=True, slots=True)
class _Mark:
    """The sums at a moment: of the decoding sequences and their prompts over time, and of the prompt tokens read."""

    decoding: float
    prompts: float
    read: float
    at_s: float


class Pace:
    """Learns an engine's law from the streams that it served.

    Attributes:
        peak: the most that decoded at once.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._fit = LawFit()
        self._rows: deque[tuple[float, ...]] = deque(maxlen=64)
        self._open: OrderedDict[str, _Mark] = OrderedDict()
        self._decoding = self._prompts = 0
        self._sums = _Mark(0.0, 0.0, 0.0, 0.0)
        self._begun = False
        self._ended = 0
        self._prompt = self._output = 0.0
        _warm_up()

    @property
    def law(self) -> Law | None:
        """The law, None before enough was seen."""
        return self._fit.law

    def seen(self, load: Load) -> None:
        """Take in what is inside from now on."""
        sums, now = self._sums, max(load.now_s, self._sums.at_s) if self._begun else load.now_s
        gone_s = now - sums.at_s if self._begun else 0.0
        self._begun = True
        self._sums = _Mark(
            sums.decoding + self._decoding * gone_s, sums.prompts + self._prompts * gone_s, sums.read, now
        )
        self._decoding = max(load.inflight - load.prefilling, 0)
        self._prompts = max(load.inflight_tokens - load.prefilling_tokens, 0)
        self.peak = max(self.peak, self._decoding)

    def first_token(self, ticket: Ticket, load: Load) -> None:
        """Note that a prompt was read."""
        self.seen(load)
        sums = self._sums
        self._sums = _Mark(sums.decoding, sums.prompts, sums.read + ticket.input_tokens, sums.at_s)
        self._open[ticket.id] = self._sums
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)  # of which the end was never told

    def ended(self, served: Served, load: Load) -> float | None:
        """Take in a request that has ended; return how many decoded beside it, itself included; None where that is not known."""
        self.seen(load)
        since, sums = self._open.pop(served.ticket.id, None), self._sums
        if since is None or served.tpot_s is None or not served.complete or sums.at_s <= since.at_s:
            return None
        span_s, steps = sums.at_s - since.at_s, served.output_tokens - 1
        decoding, prompts = (sums.decoding - since.decoding) / span_s, (sums.prompts - since.prompts) / span_s
        if served.output_tokens >= _LEAST_TOKENS:
            self._rows.append((steps, sums.read - since.read, decoding * steps, prompts * steps, span_s))
        self._ended += 1
        pace = max(_USUAL, 1 / self._ended)
        self._prompt += pace * (served.input_tokens - self._prompt)
        self._output += pace * (served.output_tokens - self._output)
        return max(decoding, 1.0)

    def refit(self) -> None:
        """Fit the law again."""
        if self._rows:
            rows = np.array(self._rows)
            self._rows.clear()
            self._fit.add(Rows(rows[:, :4], rows[:, 4], np.ones(len(rows))))
            self._fit.refit()

    def first_s(self, load: Load) -> float | None:
        """Return how long reading all prompts inside takes, those that decode going on; None before enough was seen."""
        law = self._fit.law
        if law is None:
            return None
        steps = 2 + load.prefilling_tokens // BUDGET
        return (
            law.seconds(load.prefilling_tokens, steps * load.inflight, steps * load.inflight_tokens)
            + (steps - 1) * law.step_s
        )

    def tpot(self) -> tuple[float, float] | None:
        """Return seconds a token in steady load: base, and more for each that decodes; None before enough was seen.

        Each that ends is followed by one like the usual ones, whose prompt all others wait for.
        """
        law = self._fit.law
        if law is None:
            return None
        each = law.decode_s + law.kv_s * self._prompt + law.prefill_s * self._prompt / max(self._output, 1.0)
        return law.step_s, each


def _warm_up() -> None:
    """Fit something once: the first time takes 10 ms, and nobody waits for it yet."""
    fit = LawFit()
    fit.add(Rows(np.ones((ENOUGH, 4)), np.ones(ENOUGH), np.ones(ENOUGH)))
    fit.refit()
