"""A model of acceptance: coefficients that turn a cosine and lexical evidence into a probability.

Logistic regression whose part for the cosine is piecewise linear and never falls:
log odds = bias + sum of slope * max(0, cosine - knot) + sum of weight * feature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING, Any, Final, cast

from .features import FAVOURABLE, NAMES, UNFAVOURABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...middleware.records import JsonObject

KIND: Final = "forebay acceptance model"
SCHEMA: Final = 1
_STEEPEST: Final = 40.0


@dataclass(frozen=True, slots=True)
class AcceptanceModel:
    """Coefficients and the cut that goes with them.

    Attributes:
        embedder: id of the model whose cosines these are.
        bias: log odds where all else is 0.
        knots: cosines from which a slope counts.
        slopes: log odds a unit of cosine, one a knot, none negative.
        weights: log odds a unit of feature, in the order of `features.NAMES`.
        cut: lowest confidence to accept, in (0, 1).
        vetoed: what the confidence of a vetoed pair is multiplied by, in [0, 1).
    """

    embedder: str
    bias: float
    knots: tuple[float, ...]
    slopes: tuple[float, ...]
    weights: tuple[float, ...]
    cut: float
    vetoed: float

    def confidence(self, similarity: float, values: Sequence[float], *, vetoed: bool) -> float:
        """Return the probability that the answers are interchangeable; never less for a higher similarity.

        Args:
            similarity: a cosine, not NaN.
            values: features in the order of `features.NAMES`.
        """
        odds = self.bias + sum(map(mul, self.weights, values))
        odds += sum(
            slope * (similarity - knot)
            for knot, slope in zip(self.knots, self.slopes, strict=True)
            if similarity > knot
        )
        sure = 1.0 / (1.0 + math.exp(-max(-_STEEPEST, min(odds, _STEEPEST))))
        return sure * self.vetoed if vetoed else sure

    def fits(self, embedder: str) -> bool:
        """Return whether an embedder's cosines are those it was made for: the same network, in whatever precision."""
        return self.embedder.partition("/")[0] in embedder.split("/")


def parse_model(content: Any) -> AcceptanceModel:
    """Read a model from JSON.

    Raises:
        ValueError: it is not one that this version reads; the text says what is wrong.
    """
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - one kind of error for whoever reads a file
    about = cast("dict[str, Any]", content)
    if about.get("kind") != KIND:
        raise ValueError(f"it is not an acceptance model; its 'kind' must be {KIND!r}")
    if about.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {about.get('schema')!r}, this version reads {SCHEMA}; fit it again")
    weights = _section(about, "weights")
    if set(weights) != set(NAMES):
        odd = sorted(set(weights) ^ set(NAMES))
        raise ValueError(f"its weights are not those of this version ({', '.join(odd)}); fit it again")
    cosine = _section(about, "cosine")
    knots, slopes = _numbers(cosine, "knots"), _numbers(cosine, "slopes")
    if len(knots) != len(slopes) or any(slope < 0 for slope in slopes):
        raise ValueError("its slopes must be as many as its knots, and none negative")
    wrong = [
        name
        for names, sign in ((UNFAVOURABLE, 1.0), (FAVOURABLE, -1.0))
        for name in names
        if _number(weights, name) * sign > 0
    ]
    if wrong:
        raise ValueError(f"the weight of {', '.join(wrong)} has the wrong sign; fit it again")
    embedder = about.get("embedder")
    if not isinstance(embedder, str) or not embedder:
        raise ValueError("its 'embedder' must be the id of a model")
    cut, vetoed = _number(about, "cut"), _number(about, "vetoed")
    if not (0 < cut < 1 and 0 <= vetoed < cut):
        raise ValueError("its cut must be in (0, 1), and 'vetoed' from 0 to below the cut")
    return AcceptanceModel(
        embedder=embedder,
        bias=_number(about, "bias"),
        knots=knots,
        slopes=slopes,
        weights=tuple(_number(weights, name) for name in NAMES),
        cut=cut,
        vetoed=vetoed,
    )


def dump_model(model: AcceptanceModel, about: JsonObject) -> dict[str, Any]:
    """Return a model as JSON that `parse_model` reads.

    Args:
        about: where it comes from; for people.
    """
    return {
        "kind": KIND,
        "schema": SCHEMA,
        "embedder": model.embedder,
        "cut": model.cut,
        "vetoed": model.vetoed,
        "bias": _short(model.bias),
        "cosine": {"knots": list(model.knots), "slopes": [_short(slope) for slope in model.slopes]},
        "weights": {name: _short(weight) for name, weight in zip(NAMES, model.weights, strict=True)},
        "about": dict(about),
    }


def _short(value: float) -> float:
    return round(value, 4) + 0.0  # no negative zero


def _section(content: Mapping[str, Any], name: str) -> JsonObject:
    section: Any = content.get(name)
    if not isinstance(section, dict):
        raise ValueError(f"its {name!r} must be an object")  # noqa: TRY004 - as above
    return cast("dict[str, Any]", section)


def _number(content: Mapping[str, Any], name: str) -> float:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"its {name!r} must be a number, got {value!r}")
    return float(value)


def _numbers(content: Mapping[str, Any], name: str) -> tuple[float, ...]:
    values = content.get(name)
    if not isinstance(values, list):
        raise ValueError(f"its {name!r} must be a list of numbers")  # noqa: TRY004 - as above
    return tuple(_number({name: value}, name) for value in cast("Sequence[object]", values))
