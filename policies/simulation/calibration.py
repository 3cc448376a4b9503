"""Fits an engine's law to what became of its requests, through the simulator, and says how well it then tells of others.

Levenberg and Marquardt's steps over the logarithms of the four coefficients, from two usual laws and from the ledger's, since
different starts end in different hollows; from the best of them Nelder and Mead's simplex, which does not mind that a small
change may turn the order of things round. What is made small is the relative error of each request's times, and of their means.

Where the KV cache binds, how many tokens it holds is fitted, too: prompts that begin alike share blocks, so that more go in
than its size says, and a log of lengths does not tell which. A few percent decide who is preempted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..work.fit import LawFit
from ..work.law import Law
from ..work.ledger import Ledger
from .simplex import minimise
from .simulator import Course, Job, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..work.law import Shape
    from ..work.ledger import Floats, Stay

MOST: Final = 1_000
"""Of a longer log, the first so many are used: each trial of the search simulates them all."""
_STARTS: Final = (Law(0.015, 1e-4, 5e-5, 8e-8), Law(0.01, 5e-5, 1e-5, 1e-7))
_LEAST: Final = 1e-10  # a coefficient of 0 has no logarithm
_CLIMBS: Final = 14
_DIFFERENCE: Final = 0.02
_COARSE: Final = (0.3, 40)
_FINE: Final = (0.1, 60)
_SHARED: Final = tuple(1 + at / 200 for at in range(1, 13))  # up to 6% more than the cache's size
_WARM: Final = (0.05, 40)
_PATIENCE: Final = 3  # sizes in a row that are worse end the search for a better one
_TURN: Final = 16
_TRIES: Final = 4
_WORST: Final = 1.0  # an error that is larger counts as this: of those who hardly waited, the wait is hardly known
_MEANS: Final = 2.0
_solve: Any = np.linalg.solve  # its stubs leave the type of the result open


@dataclass(frozen=True, slots=True)
class Told:
    """What a simulation said of some requests: means in seconds of what it said and of what was, and relative errors.

    Attributes:
        signed: errors with their sign, those to the first token over the time of an iteration more.
    """

    metric: str
    said_s: float
    was_s: float
    errors: Sequence[float]
    signed: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Fitted:
    """An engine as it was fitted, and the loss that was left."""

    law: Law
    shape: Shape
    loss: float


def calibrate(stays: Sequence[Stay], shape: Shape, chosen: Sequence[int] | None = None) -> Fitted:
    """Return the law, and the size of the KV cache, that tell the times of a run best.

    Args:
        stays: what became of all, in the order of arrival; at most the first `MOST` are looked at.
        shape: what is known of the engine; `max_num_seqs` must be.
        chosen: the numbers of those whose times may be looked at, None for all; of the others only when they came, and tokens.

    Raises:
        ValueError: as `simulate`.
    """
    some = stays[:MOST]
    told = [at for at in (range(len(some)) if chosen is None else chosen) if at < len(some)]
    jobs = jobs_of(some)

    def look(point: Sequence[float], shape: Shape) -> list[Told]:
        return check(some, simulate(jobs, _law(point), shape), told)

    def refine(point: Sequence[float], shape: Shape, step: tuple[float, int]) -> Fitted:
        found = minimise(lambda point: _loss(look(point, shape)), list(point), *step)
        return Fitted(_law(found), shape, _loss(look(found, shape)))

    known = _ledger(some, told)
    starts = [_climb(look, _point(start), shape) for start in (*_STARTS, *((known,) if known is not None else ()))]
    best = refine(_point(refine(min(starts)[1], shape, _COARSE).law), shape, _FINE)
    if shape.kv_tokens is None or not any(course.preempted for course in simulate(jobs, best.law, shape)):
        return best
    worse, last = 0, best
    for share in _SHARED:
        last = refine(_point(last.law), replace(shape, kv_tokens=round(shape.kv_tokens * share)), _WARM)
        worse = 0 if last.loss < best.loss else worse + 1
        best = min(best, last, key=lambda fitted: fitted.loss)
        if worse == _PATIENCE:
            break
    return refine(_point(best.law), best.shape, _FINE)


def _climb(
    look: Callable[[Sequence[float], Shape], list[Told]], point: list[float], shape: Shape
) -> tuple[float, list[float]]:
    """Return the loss and the point that Levenberg and Marquardt's steps come to."""
    here = look(point, shape)
    loss, damping = _loss(here), 0.01
    for _ in range(_CLIMBS):
        errors = _signed(here)
        slopes = [
            (_signed(look([*point[:at], point[at] + _DIFFERENCE, *point[at + 1 :]], shape)) - errors) / _DIFFERENCE
            for at in range(len(point))
        ]
        jacobian = np.stack(slopes, axis=1)
        gram, right = jacobian.T @ jacobian, jacobian.T @ errors
        for _ in range(_TRIES):
            move: list[float] = _solve(gram + damping * np.diag(np.diag(gram) + 1e-9), right).tolist()
            there = [value - min(max(by, -1.0), 1.0) for value, by in zip(point, move, strict=True)]
            seen = look(there, shape)
            if _loss(seen) < loss:
                point, here, loss, damping = there, seen, _loss(seen), damping / 4
                break
            damping *= 8
        else:
            break
    return loss, point


def _ledger(stays: Sequence[Stay], chosen: Sequence[int]) -> Law | None:
    """Return the law of the ledger, None where others were inside first: what they did is not to be looked at."""
    if not chosen or max(chosen) >= len(chosen):
        return None
    some = [stays[at] for at in chosen]
    whole = len(some) == len(stays)
    # first come, first served: until the last of these began, none of those after it did
    return online(some, until_s=math.inf if whole else max(stay.first_s or stay.entered_s for stay in some))


def online(stays: Sequence[Stay], *, until_s: float = math.inf) -> Law | None:
    """Return the law as the online predictor learns it from a run, None where there is too little to tell.

    Args:
        until_s: until then nobody else was inside.
    """
    ended = sorted(stays, key=lambda stay: stay.ended_s)
    open_since = [math.inf] * (len(ended) + 1)  # the first arrival among those that end later
    for at in range(len(ended) - 1, -1, -1):
        open_since[at] = min(open_since[at + 1], ended[at].entered_s)
    ledger, fit = Ledger(), LawFit()
    for at, stay in enumerate(ended, start=1):
        ledger.add(stay)
        if at % _TURN and at < len(ended):
            continue
        while (rows := ledger.work_out(min(until_s, open_since[at]))) is not None:
            fit.add(rows)
    fit.refit()
    return fit.law


def jobs_of(stays: Sequence[Stay]) -> list[Job]:
    """Return what came, as the simulator takes it."""
    return [Job(stay.entered_s, stay.prompt, stay.output) for stay in stays]


def check(stays: Sequence[Stay], courses: Sequence[Course], chosen: Sequence[int]) -> list[Told]:
    """Compare simulated with measured times to the first token, of each token after it, and to the last, of some requests."""
    found: dict[str, list[tuple[float, float]]] = {"ttft": [], "tpot": [], "e2e": []}
    for at in chosen:
        stay, course = stays[at], courses[at]
        found["e2e"].append((course.e2e_s or 0.0, stay.ended_s - stay.entered_s))
        if stay.first_s is not None:
            found["ttft"].append((course.ttft_s or 0.0, stay.first_s - stay.entered_s))
            if course.tpot_s is not None:
                found["tpot"].append((course.tpot_s, (stay.ended_s - stay.first_s) / (stay.output - 1)))
    tpots = found["tpot"]
    # a first token waits for the iteration under way, which no log tells
    grain_s = math.fsum(was for _, was in tpots) / len(tpots) if tpots else 0.0
    told: list[Told] = []
    for metric, pairs in found.items():
        if pairs:
            least_s = grain_s if metric == "ttft" else 0.0
            said_s, was_s = (math.fsum(values) / len(pairs) for values in zip(*pairs, strict=True))
            errors = [abs(said / was - 1) for said, was in pairs if was > 0]
            signed = [(said - was) / (was + least_s) for said, was in pairs if was + least_s > 0]
            told.append(Told(metric, said_s, was_s, errors, signed))
    return told


def halves(stays: Sequence[Stay], shape: Shape) -> list[tuple[str, Fitted, list[Told]]]:
    """Fit on one half of a run, by arrival, and tell the other, both ways; `stays` in the order of arrival."""
    some = stays[:MOST]
    first, second = range(len(some) // 2), range(len(some) // 2, len(some))
    made: list[tuple[str, Fitted, list[Told]]] = []
    for name, known, other in (("first half → second", first, second), ("second half → first", second, first)):
        fitted = calibrate(some, shape, known)
        made.append((name, fitted, check(some, simulate(jobs_of(some), fitted.law, fitted.shape), other)))
    return made


def _signed(told: Sequence[Told]) -> Floats:
    """Return all errors, as far as they count, and those of the means, which count as much as a metric's all together."""
    parts = [np.clip(one.signed, -_WORST, _WORST) for one in told]
    means = [_MEANS * math.sqrt(len(one.signed)) * (one.said_s / one.was_s - 1) for one in told if one.was_s > 0]
    return np.concatenate([*parts, np.array(means)])


def _point(law: Law) -> list[float]:
    return [math.log(max(value, _LEAST)) for value in law.coefficients]


def _law(point: Sequence[float]) -> Law:
    return Law(*(math.exp(min(value, 5.0)) for value in point))


def _loss(told: Sequence[Told]) -> float:
    loss = 0.0
    for one in told:
        loss += math.fsum(min(abs(error), _WORST) for error in one.signed) / max(1, len(one.signed))
        loss += _MEANS * abs(one.said_s / one.was_s - 1) if one.was_s > 0 else 0.0
    return loss
