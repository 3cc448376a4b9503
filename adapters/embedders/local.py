"""An embedder in this process: a model in one thread of its own, behind a batcher."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from ...middleware.errors import EmbedderError
from ...middleware.events import Health
from .batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...middleware.records import Vector


class Model(Protocol):
    """A loaded model; used by one thread."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return one unit vector a text, in order."""
        ...


class LocalEmbedder:
    """Embeds in one thread of its own, many callers at a time.

    Args:
        model_id: names the model; see `Embedder.model_id`.
        dimension: length of its vectors.
        load: loads the model, in that thread; see `of_dimension`. Raises EmbedderError.
        max_batch: texts in one run of the model.
        memo: how many vectors to keep, 0 for none.
        fix: what to do where the model is not loaded.
    """

    def __init__(
        self, *, model_id: str, dimension: int, load: Callable[[], Model], max_batch: int, memo: int, fix: str
    ) -> None:
        self._model_id = model_id
        self._dimension = dimension
        self._load = load
        self._fix = fix
        self._batcher = Batcher(self._compute, max_batch=max_batch, memo=memo)
        self._executor: ThreadPoolExecutor | None = None
        self._model: Model | None = None

    @property
    def model_id(self) -> str:
        """Names the model and what else makes its vectors what they are."""
        return self._model_id

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return self._dimension

    async def start(self) -> None:
        """Load the model and run it once, off the event loop.

        Raises:
            EmbedderError: a file is missing or is not the expected one, or cannot be loaded.
        """
        if self._model is not None:
            return
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forebay-embedder")
        self._model = await asyncio.get_running_loop().run_in_executor(self._executor, self._loaded)

    async def stop(self) -> None:
        """Fail what waits, let the running batch end and close the thread."""
        self._model = None
        await self._batcher.stop()
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def check_ready(self) -> Sequence[Health]:
        """Say whether the model is loaded."""
        loaded = self._model is not None
        known = f"{self._model_id}, {self._batcher.remembered} vectors remembered"
        return [
            Health(
                name="embedder",
                ok=loaded,
                detail=known if loaded else "the model is not loaded",
                fix="" if loaded else self._fix,
                required=False,
            )
        ]

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one unit vector a text, in order; any text will do, the empty one included.

        Cancelling the caller leaves the batch it is part of, and so the other callers, alone.

        Raises:
            EmbedderError: not started, stopped meanwhile, or the model failed.
        """
        if self._model is None:
            raise EmbedderError("the embedder is not running; start() it first")
        return await self._batcher.embed(texts)

    def _loaded(self) -> Model:
        model = self._load()
        model.embed(["warm up"])
        return model

    async def _compute(self, texts: Sequence[str]) -> list[Vector]:
        model, executor = self._model, self._executor
        if model is None or executor is None:
            raise EmbedderError("the embedder was stopped")
        return await asyncio.get_running_loop().run_in_executor(executor, model.embed, texts)


def of_dimension(model: Model, dimension: int) -> Model:
    """Return the model, if its vectors have this length.

    Raises:
        EmbedderError: they have another one.
    """
    (vector,) = model.embed(["which length"])
    if len(vector) != dimension:
        raise EmbedderError(
            f"the model makes vectors of {len(vector)} dimensions, not of {dimension}; "
            f"set embedder.dimension to {len(vector)}, and store.collection to a new name"
        )
    return model
