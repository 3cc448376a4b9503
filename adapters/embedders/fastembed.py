"""Models of the package ``fastembed``: downloaded by it at the first start, then taken from its folder."""

from __future__ import annotations

import hashlib
import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import fastembed

from ...middleware.errors import ConfigError, EmbedderError, did_you_mean
from .local import LocalEmbedder, of_dimension

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ...middleware.records import Vector
    from .local import Model

MAX_BATCH: Final = 8
"""Small: fastembed is asked text by text, and who comes next waits for the whole batch."""


class FastembedEmbedder(LocalEmbedder):
    """Embeds with a model that fastembed knows.

    Another version of fastembed may make other vectors of the same model (its pooling and its files changed before), so
    its version is in `model_id`.

    Args:
        model: as fastembed names it.
        cache_dir: where fastembed keeps what it downloads, None for its own choice.
        folder: the model's files, where they are here already: nothing is downloaded then.
        threads: threads ONNX Runtime may use for one run.
        memo: how many vectors to keep, 0 for none.

    Raises:
        ConfigError: fastembed knows no such model, or there is no such folder.
        ImportError: fastembed is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        cache_dir: Path | None = None,
        folder: Path | None = None,
        threads: int = 1,
        memo: int = 2048,
    ) -> None:
        kind: Any = fastembed.TextEmbedding
        known: dict[str, int] = {str(each["model"]): int(each["dim"]) for each in kind.list_supported_models()}
        name = next((each for each in known if each.lower() == model.lower()), None)
        if name is None:
            raise ConfigError(f"fastembed knows no model {model!r}.{did_you_mean(model, known)}", path="embedder.model")
        if folder is not None and not folder.expanduser().is_dir():
            raise ConfigError(f"there is no folder {folder}", path="embedder.folder")
        self._options: dict[str, Any] = {
            "threads": threads,
            "cache_dir": str(cache_dir.expanduser()) if cache_dir is not None else None,
            "providers": ["CPUExecutionProvider"],
        }
        if folder is not None:
            self._options["specific_model_path"] = str(folder.expanduser())
        super().__init__(
            model_id=f"fastembed/{version('fastembed')}/{name}{_digest_of(folder)}",
            dimension=known[name],
            load=lambda: of_dimension(self._found(kind, name), known[name]),
            max_batch=MAX_BATCH,
            memo=memo,
            fix="look for an error at start-up; `forebay doctor` tries again",
        )

    def _found(self, kind: Any, name: str) -> Model:
        """Load what is here, else let fastembed download it.

        Raises:
            EmbedderError: it cannot be had.
        """
        try:
            return _Model(kind(name, local_files_only=True, **self._options))
        except Exception as error:
            if "specific_model_path" in self._options:
                raise EmbedderError(
                    f"fastembed cannot load {name} from embedder.folder ({type(error).__name__}); "
                    "it must hold the files that fastembed downloads for this model"
                ) from error
        try:
            return _Model(kind(name, **self._options))
        except Exception as error:
            raise EmbedderError(
                f"fastembed cannot download {name} ({type(error).__name__}): let this machine reach its model hub once, "
                "or bring the files here and set embedder.folder, or take the embedder 'minilm', which needs no download"
            ) from error


class _Model:
    """What fastembed loaded; used by one thread. It is untyped here and nowhere else."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return unit vectors; each text is run alone, since padding changes the vectors of quantised models."""
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        found: Iterable[Any] = self._loaded.embed(clean, batch_size=1)
        return [_unit([float(value) for value in vector]) for vector in found]


def _unit(vector: list[float]) -> Vector:
    norm = math.hypot(*vector)
    if not (math.isfinite(norm) and norm):
        raise EmbedderError("fastembed made a vector without a direction")
    return tuple(value / norm for value in vector)


def _digest_of(folder: Path | None) -> str:
    """Return a suffix that changes with the model files of a folder, "" for fastembed's own."""
    if folder is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.expanduser().rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder.expanduser()).as_posix().encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"/{digest.hexdigest()[:32]}"
