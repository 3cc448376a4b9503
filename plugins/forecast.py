"""The built-in load prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import STREAM, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..adapters.lab.forecast import ForecastTools
    from ..middleware.analysis.protocols import StreamAnalyzer

Horizon = Annotated[float, Field(gt=0, le=86_400)]


class ForecastSettings(Settings):
    """What to predict the load for.

    Attributes:
        horizons_s: how far to look ahead, in seconds; each has a forecast of its own.
        tenants: how many of the busiest tenants have forecasts of their own.
    """

    horizons_s: Annotated[tuple[Horizon, ...], Field(min_length=1, max_length=8)] = (1.0, 10.0, 60.0)
    tenants: Annotated[int, Field(ge=0, le=64)] = 16


def _make_forecast(settings: ForecastSettings, build: Build) -> StreamAnalyzer:  # noqa: ARG001
    from ..policies.forecast.analyzer import ForecastAnalyzer

    return ForecastAnalyzer(horizons_s=settings.horizons_s, tenants=settings.tenants)


def tools() -> ForecastTools:
    """Return what ``forebay lab forecast`` works with: the shipped bank."""
    from ..adapters.lab.forecast import ForecastTools
    from ..policies.forecast.bank import MEMBERS
    from ..policies.forecast.series import Series

    return ForecastTools(bank=Series, members=MEMBERS)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "forecast"."""
    registry.add(STREAM, "forecast", _make_forecast, settings=ForecastSettings)
