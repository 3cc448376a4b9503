from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import fastembed
import pytest
import pytest_asyncio

from forebay.adapters.embedders.fastembed import FastembedEmbedder
from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.middleware.errors import ConfigError, EmbedderError
from tests.adapters.embedders.test_onnx_folder import TOKENIZER, weights, write_json
from tests.contract.embedder import EmbedderContract, cosine

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fastembed would have downloaded; our weights are the same model's, as int8."""
    folder = tmp_path_factory.mktemp("fastembed")
    (folder / "model.onnx").symlink_to(weights())
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    write_json(folder / "config.json", {"pad_token_id": 0})
    write_json(folder / "tokenizer_config.json", {"model_max_length": 256, "pad_token": "[PAD]"})
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    write_json(folder / "special_tokens_map.json", special)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(files: Path) -> AsyncIterator[FastembedEmbedder]:
    embedder = FastembedEmbedder(MODEL, folder=files, memo=0)
    await embedder.start()
    yield embedder
    await embedder.stop()


@pytest.mark.asyncio(loop_scope="module")
class TestFastembedEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, loaded: FastembedEmbedder) -> FastembedEmbedder:
        return loaded

    async def test_it_reads_the_same_model_as_we_do(self, loaded: FastembedEmbedder) -> None:
        built_in = MiniLMEmbedder(memo=0)
        await built_in.start()
        texts = ["one", "How do I reset my password?"]
        try:
            for ours, theirs in zip(await built_in.embed(texts), await loaded.embed(texts), strict=True):
                assert cosine(ours, theirs) == pytest.approx(1.0, abs=1e-4)
        finally:
            await built_in.stop()

    async def test_its_name_says_version_and_files(self, loaded: FastembedEmbedder, files: Path) -> None:
        assert loaded.model_id.startswith(f"fastembed/{fastembed.__version__}/{MODEL}/")
        assert FastembedEmbedder(MODEL).model_id == f"fastembed/{fastembed.__version__}/{MODEL}"
        (health,) = await loaded.check_ready()
        assert health.ok


def test_a_model_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"knows no model 'BAAI/bge-smal-en-v1.5'.*Did you mean 'BAAI/bge-small"):
        FastembedEmbedder("BAAI/bge-smal-en-v1.5")
    with pytest.raises(ConfigError, match="there is no folder"):
        FastembedEmbedder(MODEL, folder=tmp_path / "nowhere")


async def test_a_folder_without_the_files_is_said(tmp_path: Path) -> None:
    embedder = FastembedEmbedder(MODEL, folder=tmp_path)
    with pytest.raises(EmbedderError, match=r"cannot load .* from embedder\.folder"):
        await embedder.start()
    (health,) = await embedder.check_ready()
    assert not health.ok
    await embedder.stop()


class Hub:
    """Stands for fastembed where there is no model hub: notes what it is asked to load."""

    calls: list[dict[str, Any]]
    cached: bool
    reachable: bool

    def __init__(self, model: str, **options: Any) -> None:
        type(self).calls.append({"model": model, **options})
        if not (type(self).cached or (type(self).reachable and not options.get("local_files_only"))):
            raise ValueError("Could not load model from any source.")

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        return [{"model": "Tiny/Model", "dim": 2}]

    def embed(self, documents: Sequence[str], batch_size: int) -> Iterator[list[float]]:
        assert batch_size == 1
        for text in documents:
            yield [0.0, 0.0] if text == "nowhere" else [3.0, 4.0]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    Hub.calls, Hub.cached, Hub.reachable = [], False, False
    monkeypatch.setattr(fastembed, "TextEmbedding", Hub)
    return Hub


async def test_what_was_downloaded_before_needs_no_network(hub: type[Hub], tmp_path: Path) -> None:
    hub.cached = True
    embedder = FastembedEmbedder("tiny/model", cache_dir=tmp_path, threads=2)
    await embedder.start()
    assert list(await embedder.embed(["a", "\ud800"])) == [(0.6, 0.8), (0.6, 0.8)]
    with pytest.raises(EmbedderError, match="without a direction"):
        await embedder.embed(["nowhere"])
    await embedder.stop()
    (call,) = hub.calls
    assert (call["model"], call["local_files_only"], call["threads"]) == ("Tiny/Model", True, 2)
    assert call["cache_dir"] == str(tmp_path)


async def test_else_it_is_downloaded(hub: type[Hub]) -> None:
    hub.reachable = True
    embedder = FastembedEmbedder("Tiny/Model")
    await embedder.start()
    await embedder.stop()
    assert [call.get("local_files_only") for call in hub.calls] == [True, None]


async def test_a_hub_that_cannot_be_reached_is_said_with_what_to_do(hub: type[Hub]) -> None:
    embedder = FastembedEmbedder("Tiny/Model")
    with pytest.raises(EmbedderError, match=r"cannot download Tiny/Model .*embedder\.folder.*'minilm'"):
        await embedder.start()
    await embedder.stop()
