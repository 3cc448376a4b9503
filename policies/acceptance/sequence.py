"""Evidence about a rate that is valid at any time: bets on "it is below the limit" and on "it is above".

Audits are right or wrong ones. Betting a share g of one's money on "right" multiplies it by 1 + g * limit / (1 - limit)
after a right one and by 1 - g after a wrong one. Where wrong ones come at a rate of `limit` or more that is a losing
game, whatever came before, so by Ville's inequality the money ever exceeds 1 / alpha times the stake with a probability
of at most alpha. Looking after every audit costs nothing, and the rate may change from one to the next. The stake is
divided among a few values of g, which makes it a mixture of likelihood ratios (Robbins 1970; Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", 2024).

A decision that is audited with probability p stands for 1 / p of them. A weight of w = floor / p makes all count the
same, where floor is the least probability in force for any that are counted together: the bet is then w * g. As
(1 + z)**w is at most 1 + w * z for w in [0, 1], the money of w bets of g is never more than that of one bet of w * g:
``right`` and ``wrong``, the sums of the weights, are all that needs to be kept.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, log, log1p
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

BETS: Final = (0.95, 0.8, 0.6, 0.4, 0.2)
"""The best bet where the true rate is q: 1 - q / limit."""

MULTIPLES: Final = (1.5, 2.5, 5.0)
"""How many times the odds of the limit the rate is thought to be, where it is thought to be above."""

_STAKE: Final = -log(len(BETS))
_STAKE_ABOVE: Final = -log(len(MULTIPLES))
_STEPS: Final = 40


def evidence_below(right: float, wrong: float, limit: float) -> float:
    """Return the log of the e-value against "the rate of wrong ones is at least the limit".

    At any time, at or above log(1 / alpha) it is proven at level alpha that the rate is below the limit.

    Args:
        right: sum of the weights of right ones, at least 0.
        wrong: the same of wrong ones.
        limit: a rate in [0, 1].
    """
    if limit <= 0:
        return -inf
    if limit >= 1:
        return inf if right else -inf
    return _STAKE + _log_sum([right * gain + wrong * loss for gain, loss in _odds(limit)])


def evidence_above(right: float, wrong: float, limit: float) -> float:
    """Return the log of the e-value against "the rate of wrong ones is at most the limit"."""
    if limit >= 1:
        return -inf
    if limit <= 0:
        return inf if wrong else -inf
    return _STAKE_ABOVE + _log_sum(
        # the rate with m times the odds of the limit is m * limit / (1 + (m - 1) * limit)
        [wrong * log(multiple) - (right + wrong) * log1p((multiple - 1) * limit) for multiple in MULTIPLES]
    )


def upper_bound(right: float, wrong: float, alpha: float) -> float:
    """Return what the rate is below, with a confidence of 1 - alpha, at all times together; in (0, 1]."""
    return _crossing(lambda limit: evidence_below(right, wrong, limit) >= -log(alpha), rising=True)


def lower_bound(right: float, wrong: float, alpha: float) -> float:
    """Return what the rate is above, with a confidence of 1 - alpha, at all times together; in [0, 1)."""
    return _crossing(lambda limit: evidence_above(right, wrong, limit) >= -log(alpha), rising=False)


def tempered(right: float, wrong: float, limit: float, most: float) -> tuple[float, float]:
    """Return the sums, scaled down where the evidence below the limit exceeds `most`: forget what is not needed.

    So that a rate that has changed shows soon. By Jensen's inequality scaling never raises evidence that is above 0,
    and dividing money anew among bets keeps them fair: the bound stays valid.
    """
    evidence = evidence_below(right, wrong, limit)
    if evidence <= most or most <= 0:
        return right, wrong
    scale = most / evidence
    return right * scale, wrong * scale


@lru_cache(maxsize=1024)
def _odds(limit: float) -> tuple[tuple[float, float], ...]:
    """Return for each bet the logs of what right and wrong ones multiply the money by."""
    return tuple((log1p(bet * limit / (1 - limit)), log1p(-bet)) for bet in BETS)


def _log_sum(logs: list[float]) -> float:
    top = max(logs)
    return top + log(sum(exp(each - top) for each in logs))


def _crossing(crossed: Callable[[float], bool], *, rising: bool) -> float:
    """Return where a condition that holds on one side starts to hold, on the side that is safe to report."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if crossed(middle) == rising:
            high = middle
        else:
            low = middle
    return high if rising else low
