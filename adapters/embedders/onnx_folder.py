"""A folder with a sentence-embedding model as ONNX, laid out as sentence-transformers and its exporters do.

Read are ``model.onnx`` or ``onnx/model.onnx`` (with weights beside it, ``model.onnx_data``), ``tokenizer.json``, and where
they are there ``1_Pooling/config.json``, ``modules.json``, ``sentence_bert_config.json``, ``tokenizer_config.json`` and
``config.json``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import ConfigError, EmbedderError
from ...middleware.narrow import is_array, is_object
from .local import LocalEmbedder, of_dimension
from .onnx_model import REQUIRES, OnnxModel

if TYPE_CHECKING:
    from pathlib import Path

    from .local import Model
    from .onnx_model import Pooling

MAX_BATCH: Final = 16

_WEIGHTS: Final = ("model.onnx", "onnx/model.onnx")
_MODES: Final[dict[str, Pooling]] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_KNOWN_MODULES: Final = frozenset({"Transformer", "Pooling", "Normalize"})
_NO_LIMIT: Final = 1_000_000
"""Tokenizers without a limit say a number with 30 digits."""


class OnnxFolderEmbedder(LocalEmbedder):
    """Embeds with a model of the operator's own.

    Args:
        folder: where its files are.
        dimension: length of its vectors, None for what its files say.
        max_tokens: how much of a text is read, None for what its files say.
        pooling: how token vectors become one, None for what its files say.
        prefix: put before each text, as some models want it (E5: ``query: ``).
        threads: threads ONNX Runtime may use for one run.
        memo: how many vectors to keep, 0 for none.

    Raises:
        ConfigError: a file or a fact is missing, or the model needs a step that is not supported.
        ImportError: onnxruntime, tokenizers or numpy is not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dimension: int | None = None,
        max_tokens: int | None = None,
        pooling: Pooling | None = None,
        prefix: str = "",
        threads: int = 1,
        memo: int = 2048,
    ) -> None:
        for package in REQUIRES:
            if find_spec(package) is None:
                raise ImportError(f"the package {package!r} is not installed", name=package)
        facts = read_facts(folder, dimension=dimension, max_tokens=max_tokens, pooling=pooling)
        model_id = facts.model_id(prefix)

        def load() -> Model:
            if facts.model_id(prefix) != model_id:
                raise EmbedderError(f"the files in {folder} changed since this process started; restart it")
            model = OnnxModel(
                facts.weights if facts.data else facts.weights.read_bytes(),
                facts.tokenizer.read_bytes(),
                max_tokens=facts.max_tokens,
                threads=threads,
                pooling=facts.pooling,
                prefix=prefix,
                fix=f"check {facts.weights.parent}",
            )
            return of_dimension(model, facts.dimension)

        super().__init__(
            model_id=model_id,
            dimension=facts.dimension,
            load=load,
            max_batch=MAX_BATCH,
            memo=memo,
            fix="look for an error at start-up; embedder.folder must hold model.onnx and tokenizer.json",
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What is to be known of a model before it is loaded.

    Attributes:
        name: the folder's name.
        data: files with weights that lie beside `weights`.
    """

    name: str
    weights: Path
    data: tuple[Path, ...]
    tokenizer: Path
    dimension: int
    max_tokens: int
    pooling: Pooling

    def model_id(self, prefix: str) -> str:
        """Return a name that changes with whatever changes a vector: weights, tokenizer, pooling, length, prefix.

        Raises:
            ConfigError: a file cannot be read.
        """
        digest = hashlib.sha256()
        try:
            for path in (self.weights, *self.data, self.tokenizer):
                digest.update(_digest_of(path))
        except OSError as error:
            raise _wrong(f"{error.filename} cannot be read ({error.strerror})") from None
        digest.update(json.dumps([self.dimension, self.max_tokens, self.pooling, prefix]).encode("ascii"))
        return f"onnx/{self.name}/{digest.hexdigest()[:32]}"


def read_facts(folder: Path, *, dimension: int | None, max_tokens: int | None, pooling: Pooling | None) -> Facts:
    """Read a folder; what is given is taken, what is None is looked up.

    Raises:
        ConfigError: a file or a fact is missing, or the model needs a step that is not supported.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise _wrong(f"there is no folder {folder}")
    weights = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise _wrong(f"{folder} holds neither {' nor '.join(_WEIGHTS)}")
    tokenizer = next(
        (at / "tokenizer.json" for at in (folder, weights.parent) if (at / "tokenizer.json").is_file()), None
    )
    if tokenizer is None:
        raise _wrong(f"{folder} holds no tokenizer.json; save the model's fast tokenizer there")
    data = sorted(path for path in weights.parent.glob("model.onnx?*") if path.is_file())
    _check_modules(folder)
    shapes = _read(folder / "1_Pooling" / "config.json")
    config = _read(folder / "config.json")
    length = dimension or _count(shapes, "word_embedding_dimension") or _count(config, "hidden_size")
    if length is None:
        raise _wrong("the length of its vectors is in none of its files; set embedder.dimension")
    tokens = (
        max_tokens
        or _count(_read(folder / "sentence_bert_config.json"), "max_seq_length")
        or _count(_read(folder / "tokenizer_config.json"), "model_max_length")
        or _count(config, "max_position_embeddings")
    )
    if tokens is None:
        raise _wrong("how many tokens it reads is in none of its files; set embedder.max_tokens")
    return Facts(folder.name, weights, tuple(data), tokenizer, length, tokens, pooling or _pooling(shapes))


def _pooling(shapes: dict[str, Any]) -> Pooling:
    wanted = [name for name, on in shapes.items() if name.startswith("pooling_mode_") and on is True]
    if len(wanted) == 1 and wanted[0] in _MODES:
        return _MODES[wanted[0]]
    what = f"it pools by {', '.join(wanted)}" if wanted else "how it pools is in none of its files"
    raise _wrong(
        f"{what}; set embedder.pooling to mean or cls, as the model's card says, or to 'model' where the ONNX file "
        "pools by itself"
    )


def _check_modules(folder: Path) -> None:
    """Refuse a model that does more than embed tokens, pool and normalise."""
    path = folder / "modules.json"
    modules: Any = _json(path) if path.is_file() else []
    names = (
        [str(each.get("type")).rpartition(".")[2] for each in modules if is_object(each)] if is_array(modules) else []
    )
    strange = [name for name in names if name not in _KNOWN_MODULES]
    if strange:
        raise _wrong(f"its modules.json names {', '.join(strange)}, which is not supported here")


def _read(path: Path) -> dict[str, Any]:
    found: Any = _json(path) if path.is_file() else None
    return found if is_object(found) else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(f"{path} cannot be read as JSON ({type(error).__name__})") from None


def _count(config: dict[str, Any], name: str) -> int | None:
    value = config.get(name)
    return value if isinstance(value, int) and 1 < value < _NO_LIMIT else None


def _digest_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _wrong(problem: str) -> ConfigError:
    return ConfigError(problem, path="embedder.folder")
