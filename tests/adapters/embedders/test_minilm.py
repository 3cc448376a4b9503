from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import pytest_asyncio

from forebay.adapters.embedders import minilm
from forebay.adapters.embedders.minilm import MAX_BATCH, MiniLMEmbedder
from forebay.middleware.errors import EmbedderError
from forebay.middleware.records import Vector
from tests.contract.embedder import EmbedderContract, cosine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded() -> AsyncIterator[MiniLMEmbedder]:
    embedder = MiniLMEmbedder(memo=0)
    await embedder.start()
    yield embedder
    await embedder.stop()


@pytest.mark.asyncio(loop_scope="module")
class TestMiniLMEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, loaded: MiniLMEmbedder) -> MiniLMEmbedder:
        return loaded

    async def test_a_paraphrase_is_nearer_than_another_question(self, loaded: MiniLMEmbedder) -> None:
        one, paraphrase, other = await loaded.embed(
            ["What is the capital of France?", "What's France's capital city?", "What is the capital of Germany?"]
        )
        assert cosine(one, paraphrase) > 0.9
        assert cosine(one, other) < 0.8

    async def test_what_stands_behind_256_tokens_is_not_seen(self, loaded: MiniLMEmbedder) -> None:
        head = "lake " * 254
        short, long, other = await loaded.embed([head, head + "and something else", "and something else"])
        assert cosine(short, long) == pytest.approx(1.0, abs=1e-5)
        assert cosine(short, other) < 0.9

    async def test_it_is_ready(self, loaded: MiniLMEmbedder) -> None:
        (health,) = await loaded.check_ready()
        assert health.ok


class Gate:
    """A model that waits until it is let go, and notes its batches."""

    def __init__(self) -> None:
        self.loaded = 0
        self.batches: list[list[str]] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.fail = False

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.batches.append(list(texts))
        self.entered.set()
        assert self.open.wait(10)
        if self.fail:
            raise RuntimeError("a text that must not be shown")
        return [(1.0, 0.0) for _ in texts]


@pytest_asyncio.fixture
async def gated(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[MiniLMEmbedder, Gate]]:
    gate = Gate()
    gate.open.set()

    def load(threads: int) -> Gate:
        gate.loaded += 1
        return gate

    monkeypatch.setattr(minilm, "_Model", load)
    embedder = MiniLMEmbedder(memo=4)
    await embedder.start()
    gate.batches.clear()
    gate.entered.clear()
    gate.open.clear()
    yield embedder, gate
    gate.open.set()
    await embedder.stop()


async def busy(embedder: MiniLMEmbedder, gate: Gate) -> asyncio.Task[Sequence[Vector]]:
    """Let a first text occupy the model."""
    first = asyncio.create_task(embedder.embed(["first"]))
    assert await asyncio.to_thread(gate.entered.wait, 10)
    return first


async def waiting(embedder: MiniLMEmbedder, *texts: str) -> list[asyncio.Task[Sequence[Vector]]]:
    """Let more texts arrive, and return when they wait for the model."""
    tasks = [asyncio.create_task(embedder.embed([text])) for text in texts]
    await asyncio.sleep(0)  # each task runs once, up to where it waits
    return tasks


async def test_texts_that_come_while_the_model_runs_become_one_batch(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    first = await busy(embedder, gate)
    others = await waiting(embedder, *(f"text {index}" for index in range(MAX_BATCH + 3)))
    gate.open.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in gate.batches] == [1, MAX_BATCH, 3]


async def test_equal_texts_in_a_batch_are_computed_once(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    first = await busy(embedder, gate)
    others = await waiting(embedder, "same", "same", "same")
    gate.open.set()
    await asyncio.gather(first, *others)
    assert gate.batches == [["first"], ["same"]]


async def test_a_caller_that_leaves_does_not_break_the_batch(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    first = await busy(embedder, gate)
    leaves, stays = await waiting(embedder, "leaves", "stays")
    first.cancel()
    leaves.cancel()
    gate.open.set()
    assert list(await stays) == [(1.0, 0.0)]
    assert gate.batches == [["first"], ["stays"]]
    assert first.cancelled()
    assert leaves.cancelled()


async def test_a_failing_batch_fails_its_callers_alone(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    gate.fail = True
    first = await busy(embedder, gate)
    gate.open.set()
    with pytest.raises(EmbedderError, match="failed \\(RuntimeError\\)") as caught:
        await first
    assert "must not be shown" not in str(caught.value)
    gate.fail = False
    assert list(await embedder.embed(["second"])) == [(1.0, 0.0)]


async def test_vectors_are_remembered_least_recently_used_out_first(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    gate.open.set()
    await embedder.embed(["a", "b", "c", "d"])
    await embedder.embed(["a"])
    await embedder.embed(["e"])
    gate.batches.clear()
    await embedder.embed(["a", "c", "d", "e"])
    assert gate.batches == []
    await embedder.embed(["b"])
    assert gate.batches == [["b"]]


async def test_stopping_fails_what_runs_and_what_waits(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    first = await busy(embedder, gate)
    (second,) = await waiting(embedder, "second")
    await embedder.stop()
    for task in (first, second):
        with pytest.raises(EmbedderError, match="stopped"):
            await task
    with pytest.raises(EmbedderError, match="start"):
        await embedder.embed(["third"])


async def test_starting_twice_loads_the_model_once(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    await embedder.start()
    assert gate.loaded == 1


async def test_it_starts_again_after_a_stop(gated: tuple[MiniLMEmbedder, Gate]) -> None:
    embedder, gate = gated
    gate.open.set()
    await embedder.stop()
    (health,) = await embedder.check_ready()
    assert (health.ok, health.required) == (False, False)
    assert health.fix
    await embedder.start()
    assert list(await embedder.embed(["again"])) == [(1.0, 0.0)]


async def test_another_model_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"another model")
    monkeypatch.setattr(minilm, "_weights", lambda: tmp_path / "model.onnx")
    embedder = MiniLMEmbedder()
    with pytest.raises(EmbedderError, match=r"SHA-256 differs.*forebay\[embed\]"):
        await embedder.start()
    await embedder.stop()


async def test_a_missing_model_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(minilm, "_weights", lambda: tmp_path / "model.onnx")
    embedder = MiniLMEmbedder()
    with pytest.raises(EmbedderError, match=r"model\.onnx cannot be read"):
        await embedder.start()
    await embedder.stop()


def test_a_missing_package_is_an_import_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == "onnxruntime" else ModuleSpec(name, None)

    monkeypatch.setattr(minilm, "find_spec", find)
    with pytest.raises(ImportError) as caught:
        MiniLMEmbedder()
    assert caught.value.name == "onnxruntime"
