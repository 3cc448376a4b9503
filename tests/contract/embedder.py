"""What every embedder must do: subclass `EmbedderContract` and give it a fixture `embedder`, started.

It should remember nothing (``memo=0``): a remembered vector is the same in any company.
"""

from __future__ import annotations

import asyncio
import math

import pytest

from forebay.middleware.protocols import Embedder
from forebay.middleware.records import Vector

HOSTILE = ["", " ", "\x00", "\ud800", "a\ud800b", "漢字 🙂", "?!", "\n\n", "x" * 100_000, "word " * 5_000]


def norm(vector: Vector) -> float:
    return math.sqrt(math.fsum(value * value for value in vector))


def cosine(left: Vector, right: Vector) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


class EmbedderContract:
    async def test_it_is_an_embedder(self, embedder: Embedder) -> None:
        assert isinstance(embedder, Embedder)
        assert embedder.model_id
        assert embedder.dimension > 1

    async def test_vectors_are_unit_vectors_of_the_dimension(self, embedder: Embedder) -> None:
        vectors = await embedder.embed(["one", "a second text", *HOSTILE])
        assert len(vectors) == 2 + len(HOSTILE)
        for vector in vectors:
            assert len(vector) == embedder.dimension
            assert all(type(value) is float for value in vector)
            assert norm(vector) == pytest.approx(1.0, abs=1e-5)

    async def test_no_text_makes_no_vector(self, embedder: Embedder) -> None:
        assert list(await embedder.embed([])) == []

    async def test_order_and_repeats_are_kept(self, embedder: Embedder) -> None:
        texts = ["the first", "the second one", "the first", "a third, rather longer text"]
        vectors = await embedder.embed(texts)
        for text, vector in zip(texts, vectors, strict=True):
            assert cosine(vector, (await embedder.embed([text]))[0]) == pytest.approx(1.0, abs=1e-5)
        assert cosine(vectors[0], vectors[1]) < 0.999

    async def test_the_same_text_has_the_same_vector_in_any_company(self, embedder: Embedder) -> None:
        question = "How do I reset my password?"
        others = [f"{'another ' * count}question" for count in range(8)]
        alone, *_ = await embedder.embed([question])
        together = (await embedder.embed([*others, question]))[-1]
        assert together == pytest.approx(alone, abs=1e-5)

    async def test_what_is_no_text_in_utf_8_has_a_vector_of_its_own(self, embedder: Embedder) -> None:
        half, other = await embedder.embed(["half a pair: \ud83d", "something else entirely"])
        assert norm(half) == pytest.approx(1.0, abs=1e-5)
        assert cosine(half, other) < 0.999

    async def test_a_caller_that_leaves_takes_no_other_with_it(self, embedder: Embedder) -> None:
        leaves = asyncio.create_task(embedder.embed([f"text {index} of one who leaves" for index in range(20)]))
        stays = asyncio.create_task(embedder.embed(["a text of one who stays"]))
        await asyncio.sleep(0)
        leaves.cancel()
        (vector,) = await stays
        assert (await embedder.embed(["a text of one who stays"]))[0] == pytest.approx(vector, abs=1e-5)
        await asyncio.wait([leaves])

    async def test_callers_at_the_same_time_get_their_own(self, embedder: Embedder) -> None:
        texts = [f"question number {index}" for index in range(40)]
        found = await asyncio.gather(*(embedder.embed([text]) for text in texts))
        again = await embedder.embed(texts)
        for one, other in zip(found, again, strict=True):
            assert one[0] == pytest.approx(other, abs=1e-5)

    async def test_shared_words_bring_texts_closer(self, embedder: Embedder) -> None:
        question, near, far = await embedder.embed(
            ["how do I reset my password", "how can I reset my password", "list the planets of the solar system"]
        )
        assert cosine(question, near) > cosine(question, far) + 0.2
