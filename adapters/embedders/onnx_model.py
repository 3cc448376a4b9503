"""A sentence-embedding model as ONNX, with its tokenizer, on the CPU."""

from __future__ import annotations

from array import array
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ...middleware.errors import EmbedderError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...middleware.records import Vector

Pooling: TypeAlias = Literal["mean", "cls", "model"]
"""How token vectors become one: their mean, the first one's, or the model does it itself."""

REQUIRES: Final = ("numpy", "onnxruntime", "tokenizers")

_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_TYPES: Final = {"tensor(int64)": "int64", "tensor(int32)": "int32"}
_ERROR: Final = 3  # ONNX Runtime's severity scale
_TOKENS_RANK: Final = 3
_SENTENCES_RANK: Final = 2


class OnnxModel:
    """Session and tokenizer; used by one thread. Third-party modules are untyped here and nowhere else.

    Batches are cut into runs of equal token count, so that nothing is padded: a text has the same vector alone and in
    company.

    Args:
        weights: the ONNX file, or its content.
        tokenizer_json: content of the tokenizer's ``tokenizer.json``.
        max_tokens: of a text, special tokens included; what follows is not seen.
        threads: threads ONNX Runtime may use for one run.
        prefix: put before each text.
        fix: what to do where ONNX Runtime refuses the file.

    Raises:
        EmbedderError: ONNX Runtime or the tokenizer refuses its file, or the model wants or makes something else.
    """

    def __init__(
        self,
        weights: Path | bytes,
        tokenizer_json: bytes,
        *,
        max_tokens: int,
        threads: int,
        pooling: Pooling = "mean",
        prefix: str = "",
        fix: str = "",
    ) -> None:
        import numpy as np
        import onnxruntime  # type: ignore[import-untyped]
        import tokenizers

        runtime: Any = onnxruntime
        library: Any = tokenizers
        self._numpy: Any = np
        self._prefix = prefix
        self._pooling = pooling
        try:
            self._tokenizer: Any = library.Tokenizer.from_str(tokenizer_json.decode("utf-8"))
            self._tokenizer.enable_truncation(max_tokens)
        except Exception as error:
            raise EmbedderError(f"tokenizer.json cannot be read ({type(error).__name__}); {fix}") from error
        self._tokenizer.no_padding()
        runtime.disable_telemetry_events()
        options: Any = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERROR
        source: Any = weights if isinstance(weights, bytes) else str(weights)
        try:
            self._session: Any = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EmbedderError(
                f"ONNX Runtime {runtime.__version__} cannot load the model ({type(error).__name__}); {fix}"
            ) from error
        self._inputs = self._wanted()
        self._output = self._offered()

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return unit vectors: the pooled token vectors over their L2 norm (as Sentence-BERT does)."""
        np = self._numpy
        # the tokenizer takes UTF-8 only: half a surrogate pair becomes a question mark
        clean = [f"{self._prefix}{text}".encode("utf-8", "replace").decode("utf-8") for text in texts]
        tokens: list[list[int]] = [encoding.ids for encoding in self._tokenizer.encode_batch(clean)]
        vectors: dict[int, Vector] = {}
        for _, run in groupby(
            sorted(range(len(tokens)), key=lambda at: len(tokens[at])), key=lambda at: len(tokens[at])
        ):
            members = list(run)
            ids = np.array([tokens[at] for at in members], dtype=np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            inputs = {name: given[name].astype(kind, copy=False) for name, kind in self._inputs.items()}
            pooled = self._pooled(self._session.run([self._output], inputs)[0]).astype(np.float32, copy=False)
            unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
            # as they lie in memory: an eighth of a tuple's size, and whoever computes with one need not read each number
            vectors.update((at, array("f", vector.tobytes())) for at, vector in zip(members, unit, strict=True))
        return [vectors[at] for at in range(len(texts))]

    def _pooled(self, output: Any) -> Any:
        if self._pooling == "mean":
            return output.mean(axis=1)
        return output[:, 0] if self._pooling == "cls" else output

    def _wanted(self) -> dict[str, str]:
        wanted = {str(each.name): str(each.type) for each in self._session.get_inputs()}
        strange = [name for name, kind in wanted.items() if name not in _INPUTS or kind not in _TYPES]
        if strange or "input_ids" not in wanted:
            raise EmbedderError(
                f"the model wants {', '.join(strange) or 'no input_ids'}, which no text gives; "
                "export the model for feature extraction, or take another one"
            )
        return {name: _TYPES[kind] for name, kind in wanted.items()}

    def _offered(self) -> str:
        """Return the name of the output to read: vectors of tokens to be pooled, or of sentences."""
        rank = _SENTENCES_RANK if self._pooling == "model" else _TOKENS_RANK
        named = {"last_hidden_state", "token_embeddings", "sentence_embedding"}
        fitting = [str(each.name) for each in self._session.get_outputs() if len(each.shape) == rank]
        fitting.sort(key=lambda name: name not in named)
        if not fitting:
            what = "whole texts" if self._pooling == "model" else "tokens"
            raise EmbedderError(
                f"the model has no output with vectors of {what}; set embedder.pooling to what its card says, or to "
                "'model' where the ONNX file pools by itself"
            )
        return fitting[0]
