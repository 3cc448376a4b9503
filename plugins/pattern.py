"""The built-in analyzer of the stream's pattern, and the predictor of a request's neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import PREDICTOR, STREAM, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.analysis.protocols import Predictor, StreamAnalyzer

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Cosine = Annotated[float, Field(gt=0, le=1)]


class PatternSettings(Settings):
    """How much of the stream is looked at.

    Attributes:
        window_s: seconds; longer ones need a larger `most`.
        most: requests.
        vectors: of so many of them the vectors are kept, 4 bytes a dimension each.
        similar: cosine from which two questions are near-duplicates. The default is for the embedder ``minilm``.
    """

    window_s: Seconds = 300.0
    most: Annotated[int, Field(ge=2, le=20_000)] = 2000
    vectors: Annotated[int, Field(ge=1, le=4096)] = 1024
    similar: Cosine = 0.88


class NeighboursSettings(Settings):
    """Which requests are compared.

    Attributes:
        window_s: seconds that a request is a recent one.
        most: recent requests.
        similar: cosine from which two questions are nearly equal. The default is for the embedder ``minilm``.
        clusters: groups of like questions.
        alike: cosine with the first of a group from which a question belongs to it.
    """

    window_s: Seconds = 300.0
    most: Annotated[int, Field(ge=1, le=4096)] = 256
    similar: Cosine = 0.88
    clusters: Annotated[int, Field(ge=1, le=1024)] = 64
    alike: Cosine = 0.6


def _make_pattern(settings: PatternSettings, build: Build) -> StreamAnalyzer:  # noqa: ARG001
    from ..policies.pattern.window import StreamPattern  # numpy takes a while to load

    return StreamPattern(**settings.model_dump())


def _make_neighbours(settings: NeighboursSettings, build: Build) -> Predictor:  # noqa: ARG001
    from ..policies.pattern.neighbours import RequestNeighbours

    return RequestNeighbours(**settings.model_dump())


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the stream analyzer "pattern" and the predictor "neighbours"."""
    registry.add(STREAM, "pattern", _make_pattern, settings=PatternSettings)
    registry.add(PREDICTOR, "neighbours", _make_neighbours, settings=NeighboursSettings)
