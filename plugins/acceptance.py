"""The built-in acceptance policies."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from ..middleware.errors import ConfigError
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import ACCEPTANCE, Build, Registrar, Settings
from ..policies import acceptance as data
from ..policies.acceptance.calibrated import CalibratedAcceptance
from ..policies.acceptance.lexis import Lexis
from ..policies.acceptance.model import AcceptanceModel, parse_model
from ..policies.acceptance.threshold import DEFAULT_THRESHOLD, ThresholdAcceptance
from ..policies.acceptance.verified import VerifiedAcceptance

if TYPE_CHECKING:
    from ..middleware.protocols import Acceptance, Embedder


class ThresholdSettings(Settings):
    """When a similar question counts as the same.

    Attributes:
        threshold: the lowest cosine similarity to accept. The default is for the embedder ``minilm``.
    """

    threshold: Annotated[float, Field(ge=-1, le=1)] = DEFAULT_THRESHOLD


class CalibratedSettings(Settings):
    """How sure to be that two questions share an answer.

    Attributes:
        model: a file that `forebay lab acceptance --fit` wrote; None for the one that comes with forebay, for MiniLM.
        confidence: the lowest to accept; None for the model's own.
    """

    model: Annotated[str, Field(min_length=1)] | None = None
    confidence: Annotated[float, Field(gt=0, le=1)] | None = None


class VerifiedSettings(CalibratedSettings):
    """How often a semantic hit may be wrong, and what finding out may cost.

    Attributes:
        delta: the share of wrong hits among hits that is allowed.
        alpha: the probability with which that may fail, for each stratum.
        trust: ``audited`` serves only what audits have proven; ``calibrated`` serves what the calibrated policy accepts.
        budget: the share of served hits to audit while something is to be gained from it; more while a proof is new.
        steady: the same when nothing is.
        sensitivity: how often the judge sees a difference where there is one; None to measure it.
        max_strata: how many tenants, routes and categories are told apart.
    """

    delta: Annotated[float, Field(gt=0, lt=1)] = 0.02
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    trust: Literal["audited", "calibrated"] = "audited"
    budget: Annotated[float, Field(gt=0, le=1)] = 0.1
    steady: Annotated[float, Field(gt=0, le=1)] = 0.02
    sensitivity: Annotated[float, Field(gt=0, le=1)] | None = None
    max_strata: Annotated[int, Field(ge=1)] = 500

    @model_validator(mode="after")
    def _steady_within_budget(self) -> VerifiedSettings:
        if self.steady > self.budget:
            raise ValueError("steady must be at most budget")
        return self


@cache
def lexis() -> Lexis:
    """Return the English words that come with forebay, read once a process."""
    return Lexis.from_bytes(files(data).joinpath("english.bin").read_bytes())


def model(path: str | None = None) -> AcceptanceModel:
    """Return the model of a file, or the one that comes with forebay.

    Raises:
        ConfigError: the file cannot be read, or is not a model.
    """
    source = files(data).joinpath("minilm.json") if path is None else Path(path).expanduser()
    try:
        return parse_model(json.loads(source.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        problem = "is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        raise ConfigError(
            f"the acceptance model cannot be used: {problem}; make one with: forebay lab acceptance FILE --fit OUT",
            path="acceptance.model",
            source=str(source),
        ) from error


def make_calibrated(settings: CalibratedSettings, embedder: Embedder | None) -> CalibratedAcceptance:
    """Return the policy, for an embedder where one is known.

    Raises:
        ConfigError: the model cannot be read, or was made for another embedder.
    """
    made = model(settings.model)
    if embedder is not None and not made.fits(embedder.model_id):
        raise ConfigError(
            f"the acceptance model was made for the vectors of {made.embedder!r}, the embedder is {embedder.model_id!r}; fit one "
            "with: forebay lab acceptance FILE --fit OUT, or set acceptance: { type: threshold }",
            path="acceptance.model",
        )
    return CalibratedAcceptance(made, lexis(), cut=settings.confidence)


def _make_threshold(settings: ThresholdSettings, build: Build) -> Acceptance:  # noqa: ARG001
    return ThresholdAcceptance(threshold=settings.threshold)


def _make_calibrated(settings: CalibratedSettings, build: Build) -> Acceptance:
    return make_calibrated(settings, build.embedder)


def _make_verified(settings: VerifiedSettings, build: Build) -> Acceptance:
    # audits prove hits whatever the confidences are worth; unaudited, the model must be for this embedder
    inner = make_calibrated(settings, build.embedder if settings.trust == "calibrated" else None)
    return VerifiedAcceptance(
        inner,
        # a proof is about confidences, so it goes with the coefficients that make them
        inner_id=hashlib.sha256(repr(astuple(model(settings.model))).encode()).hexdigest(),
        delta=settings.delta,
        alpha=settings.alpha,
        trust=settings.trust,
        budget=settings.budget,
        steady=settings.steady,
        sensitivity=settings.sensitivity,
        max_strata=settings.max_strata,
    )


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "threshold", "calibrated" and "verified"."""
    registry.add(ACCEPTANCE, "threshold", _make_threshold, settings=ThresholdSettings)
    registry.add(ACCEPTANCE, "calibrated", _make_calibrated, settings=CalibratedSettings)
    registry.add(ACCEPTANCE, "verified", _make_verified, settings=VerifiedSettings)
