from __future__ import annotations

import pytest

from forebay.adapters.embedders.hashing import HashingEmbedder
from tests.contract.embedder import EmbedderContract, cosine


class TestHashingEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> HashingEmbedder:
        return HashingEmbedder()


async def test_vectors_are_the_same_in_every_process() -> None:
    (vector,) = await HashingEmbedder(dimension=8).embed(["a forebay"])
    assert vector == pytest.approx([0, 0, 0.9701, 0, -0.2425, 0, 0, 0], abs=1e-4)


async def test_texts_without_words_differ() -> None:
    question, exclamation = await HashingEmbedder().embed(["???", "!!!"])
    assert abs(cosine(question, exclamation)) < 0.5


async def test_another_dimension_is_another_model() -> None:
    assert HashingEmbedder(dimension=64).model_id != HashingEmbedder(dimension=128).model_id
    assert len((await HashingEmbedder(dimension=64).embed(["x"]))[0]) == 64


def test_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        HashingEmbedder(dimension=1)
