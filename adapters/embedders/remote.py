"""What embedding models behind an API have in common: dimension, batches, a deadline, and what they may send back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import ConfigError, EmbedderError
from ...middleware.events import Health
from ...middleware.narrow import is_array, is_object
from .batching import Batcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import Vector

DIMENSIONS: Final = {
    "amazon.titan-embed-text-v1": 1536,
    "amazon.titan-embed-text-v2:0": 1024,
    "bge-m3": 1024,
    "embed-english-v3.0": 1024,
    "embed-multilingual-v3.0": 1024,
    "mistral-embed": 1024,
    "mxbai-embed-large": 1024,
    "nomic-embed-text": 768,
    "text-embedding-3-large": 3072,
    "text-embedding-3-small": 1536,
    "text-embedding-ada-002": 1536,
    "voyage-3": 1024,
    "voyage-3-lite": 512,
}
"""Length of the vectors of well-known models, by the last part of their name."""

MAX_CHARS: Final = 8000
"""Of a text; the rest is not seen. Below the 8,191 tokens most models read, in any script but the rarest."""

REFUSALS: Final = frozenset({400, 413, 422})
"""Statuses that may be about one text of a batch."""
_MOST_REFUSALS: Final = 3
_LANES: Final = 4


class RefusedError(EmbedderError):
    """The server refused these very texts, not all work."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A model behind an API, and how it is asked.

    Attributes:
        model: its name. Which weights a provider serves under it cannot be seen.
        dimension: length of its vectors, None for that of a well-known model; of one that makes others, vectors of this
            length are asked for.
        prefix: put before each text, as some models want it.
        max_chars: how much of a text is sent.
        max_batch: texts in a call.
        timeout_s: the longest a call may take.
        memo: how many vectors to keep in memory, 0 for none.
    """

    model: str
    dimension: int | None = None
    prefix: str = ""
    max_chars: int = MAX_CHARS
    max_batch: int = 32
    timeout_s: float = 5.0
    memo: int = 2048


class RemoteEmbedder(ABC):
    """Embeds through an API, many callers at a time: at most four calls at once.

    A call is tried once. Where the server refuses a batch, its halves are asked for instead, so that one text that it does
    not like does not fail those of others.

    Args:
        kind: first part of the model's id.

    Attributes:
        shortened: the dimension to ask for (OpenAI's ``dimensions``), None for what the model makes anyway.

    Raises:
        ConfigError: the dimension is neither given nor known.
    """

    def __init__(self, kind: str, remote: Remote) -> None:
        known = DIMENSIONS.get(remote.model.rpartition("/")[2])
        length = remote.dimension or known
        if length is None:
            raise ConfigError(
                f"the length of the vectors of {remote.model!r} is not known here: say it", path="embedder.dimension"
            )
        self._remote = remote
        self._dimension = length
        self.shortened = length if known not in (None, length) else None
        self._model_id = f"{kind}/{remote.model}/{length}{_suffix(remote)}"
        self._batcher = Batcher(self._compute, max_batch=remote.max_batch, memo=remote.memo, lanes=_LANES)
        self._problem = "it was not asked yet"

    @property
    def model_id(self) -> str:
        """Names kind, model and dimension, and what is done to a text; not the host."""
        return self._model_id

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return self._dimension

    async def start(self) -> None:
        """Get ready and ask for one vector. Where that fails, later calls are tried all the same.

        Raises:
            EmbedderError: the model cannot be reached, refuses, or makes vectors of another length.
        """
        await self.open()
        await self._batcher.embed(["which length"])

    async def stop(self) -> None:
        """Fail what runs and what waits."""
        await self._batcher.stop()
        await self.close()

    async def check_ready(self) -> Sequence[Health]:
        """Say how the last call went; makes none, since calls cost money."""
        ok = not self._problem
        known = f"{self._model_id}, {self._batcher.remembered} vectors remembered"
        return [
            Health(
                name="embedder",
                ok=ok,
                detail=known if ok else f"{self._model_id}: {self._problem}",
                fix="" if ok else "until it answers only exact hits are found; check the embedder's settings",
                required=False,
            )
        ]

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one unit vector a text, in order; any text will do, the empty one included.

        Cancelling the caller leaves the batch it is part of, and so the other callers, alone.

        Raises:
            EmbedderError: not started, stopped meanwhile, or the model failed.
        """
        return await self._batcher.embed(texts)

    async def open(self) -> None:
        """Get ready for `ask`."""
        return

    async def close(self) -> None:
        """Close what `open` opened."""
        return

    @abstractmethod
    async def ask(self, texts: Sequence[str]) -> object:
        """Make one call and return the parsed body of the answer.

        Raises:
            RefusedError: the server refused these texts.
            EmbedderError: it failed in another way.
        """

    async def _compute(self, texts: Sequence[str]) -> list[Vector | EmbedderError]:
        sent = [self._sendable(text) for text in texts]
        limit_s = self._remote.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                found = await self._asked(sent)
        except TimeoutError:
            self._problem = f"it did not answer within {limit_s:g} s"
            raise EmbedderError(f"the embedding model did not answer within {limit_s:g} s") from None
        except EmbedderError as error:
            self._problem = str(error)
            raise
        self._problem = ""
        return found

    async def _asked(self, texts: Sequence[str]) -> list[Vector | EmbedderError]:
        """Ask for all, and where that is refused for halves, down to the text that is refused."""
        found: list[Vector | EmbedderError] = []
        refusals = 0
        waiting = [list(texts)]
        while waiting:
            part = waiting.pop()
            try:
                found.extend(vectors_of(await self.ask(part), len(part), self._dimension))
            except RefusedError as error:
                if len(part) > 1:
                    half = len(part) // 2
                    waiting += [part[half:], part[:half]]
                    continue
                found.append(error)
                refusals += 1
                if refusals >= _MOST_REFUSALS:  # it is not about one text
                    found.extend(error for rest in reversed(waiting) for _ in rest)
                    break
        if refusals and all(isinstance(each, EmbedderError) for each in found):
            raise RefusedError(str(found[0]))
        return found

    def _sendable(self, text: str) -> str:
        """Return what is sent for a text: UTF-8, not too long, and not nothing, which many APIs refuse."""
        cut = f"{self._remote.prefix}{text[: self._remote.max_chars]}".encode("utf-8", "replace").decode("utf-8")
        return cut if cut.strip() else "."


def vectors_of(body: object, count: int, dimension: int) -> list[Vector]:
    """Return the unit vectors of an OpenAI embedding answer, in the order of the texts.

    Raises:
        EmbedderError: it is no such answer, lacks one, or they have another length.
    """
    rows: Any = body.get("data") if is_object(body) else None
    found: dict[int, Vector] = {}
    for place, row in enumerate(rows if is_array(rows) else []):
        if not is_object(row):
            continue
        at: Any = row.get("index", place)
        values: Any = row.get("embedding")
        if isinstance(at, int) and 0 <= at < count and is_array(values):
            found[at] = _unit(values, dimension)
    if len(found) != count:
        raise EmbedderError(f"the embedding model answered with {len(found)} vectors for {count} texts")
    return [found[at] for at in range(count)]


def _unit(values: list[Any], dimension: int) -> Vector:
    if len(values) != dimension:
        raise EmbedderError(
            f"the embedding model makes vectors of {len(values)} dimensions, embedder.dimension is {dimension}; "
            f"set embedder.dimension to {len(values)}, and store.collection to a new name"
        )
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        raise EmbedderError("the embedding model answered with something that is no vector of numbers")
    numbers = [float(value) for value in values]
    norm = math.hypot(*numbers)
    if not (math.isfinite(norm) and norm):
        raise EmbedderError("the embedding model answered with a vector without a direction")
    return tuple(value / norm for value in numbers)


def _suffix(remote: Remote) -> str:
    """Return what makes vectors of the same model others, "" where nothing does."""
    if not remote.prefix and remote.max_chars == MAX_CHARS:
        return ""
    return "/" + hashlib.sha256(json.dumps([remote.prefix, remote.max_chars]).encode("ascii")).hexdigest()[:8]
