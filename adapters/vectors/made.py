"""Chooses how vectors are compared: with numpy and faiss where they are installed, else in pure Python."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from .plain import PlainVectors

if TYPE_CHECKING:
    from .points import Vectors


def make_vectors(*, int8: bool = False) -> Vectors:
    """Return the fastest `Vectors` this installation has."""
    if find_spec("numpy") is None:
        return PlainVectors()
    from .index import VectorIndex

    return VectorIndex(int8=int8)
