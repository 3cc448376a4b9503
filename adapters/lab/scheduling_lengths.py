"""How long the answers of a trace are said to be: by the shipped predictor where there is text, else the truth with noise."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from ...middleware.analysis.facts import Outcome
from ...middleware.errors import ConfigError
from .length import exchanges_of
from .length_measure import kendall
from .length_rows import ONE_MODEL, Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.analysis.facts import Subject
    from .length import LengthTools
    from .scheduling_tools import Course, Row

TAU: Final = 0.44
"""What vllm-ltr-like rankers reach across models, and the online predictor with vectors on alpaca_eval."""
ORACLE: Final = 1.0
_SAMPLE: Final = 2000
_HALVINGS: Final = 24
_MOST_SIGMA: Final = 40.0
_Q90: Final = NormalDist().inv_cdf(0.9)

Said = tuple[float, float]


def noisy(rows: Sequence[Row], tau: float, seed: int) -> list[Said]:
    """Return the true lengths times lognormal noise, as much of it that their order agrees with the truth to Kendall's `tau`.

    The noise of a request is the same for every policy and load.

    Returns:
        Median and 90% quantile of each.

    Raises:
        ConfigError: `tau` is not above 0 and at most 1.
    """
    if not 0 < tau <= ORACLE:
        raise ConfigError("--noise must be above 0 and at most 1: Kendall's tau of predicted and true lengths")
    truth = [float(row.output) for row in rows]
    if tau == ORACLE:
        return [(length, length) for length in truth]
    draw = random.Random(f"{seed} noise")  # noqa: S311 - not a secret
    normal = [draw.gauss(0.0, 1.0) for _ in rows]
    sigma = _sigma(truth[:_SAMPLE], normal[:_SAMPLE], tau)
    return [
        (length * math.exp(sigma * noise), length * math.exp(sigma * (noise + _Q90)))
        for length, noise in zip(truth, normal, strict=True)
    ]


def _sigma(truth: Sequence[float], normal: Sequence[float], tau: float) -> float:
    low, high = 0.0, _MOST_SIGMA
    logs = [math.log(length) for length in truth]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        said = [length + middle * noise for length, noise in zip(logs, normal, strict=True)]
        low, high = (middle, high) if (kendall(said, truth) or 0.0) > tau else (low, middle)
    return low


def predicted(tools: LengthTools, rows: Sequence[Row], courses: Sequence[Course]) -> list[Said]:
    """Return what the shipped predictor says of each prompt when it comes, having learned those that had ended by then.

    Args:
        courses: when each ended, with nothing in front of the engine; the same for every policy, so that they are told alike.
    """
    asked = [
        Asked(
            row.messages or ({"role": "user", "content": ""},),
            {row.model or ONE_MODEL: row.output},
            row.tenant or "default",
        )
        for row in rows
    ]
    embedder = tools.embedder() if tools.embedder is not None else None
    exchanges = exchanges_of(tools, asked, embedder)
    predictor = tools.predictor()
    said: list[Said] = []
    open_: list[tuple[float, int]] = []
    told: list[Subject] = []
    for at, (exchange, course) in enumerate(zip(exchanges, courses, strict=True)):
        while open_ and open_[0][0] <= course.arrival_s:
            ended = heapq.heappop(open_)[1]
            predictor.learn(Outcome(told[ended], output_tokens=rows[ended].output))
        (subject,) = exchange.subjects.values()
        facts = predictor.predict(subject)
        told.append(replace(subject, facts=facts))
        said.append((facts.length.median, facts.length.q90) if facts.length is not None else (0.0, 0.0))
        heapq.heappush(open_, (math.inf if course.ended_s is None else course.ended_s, at))
    return said
