"""The built-in embedders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import EMBEDDER, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.protocols import Embedder


class MiniLMSettings(Settings):
    """all-MiniLM-L6-v2 on the CPU.

    Attributes:
        threads: threads one run of the model may use.
        memo: vectors remembered, about 12 KiB each; 0 remembers none.
    """

    threads: Annotated[int, Field(ge=1, le=64)] = 1
    memo: Annotated[int, Field(ge=0)] = 2048


class HashingSettings(Settings):
    """Hashed words, without a model.

    Attributes:
        dimension: length of the vectors.
    """

    dimension: Annotated[int, Field(ge=2, le=4096)] = 256


def _make_minilm(settings: MiniLMSettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.minilm import MiniLMEmbedder

    return MiniLMEmbedder(threads=settings.threads, memo=settings.memo)


def _make_hashing(settings: HashingSettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.hashing import HashingEmbedder

    return HashingEmbedder(dimension=settings.dimension)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "minilm" and "hashing"."""
    registry.add(EMBEDDER, "minilm", _make_minilm, settings=MiniLMSettings, extra="embed")
    registry.add(EMBEDDER, "hashing", _make_hashing, settings=HashingSettings)
