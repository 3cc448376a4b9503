"""The built-in answer stores: Milvus (a server, or a Milvus Lite file) and memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import STORE, Build, NoSettings, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.protocols import Store


class HotSettings(Settings):
    """What a process keeps in memory of the answers in Milvus.

    Attributes:
        enabled: ids and vectors of all entries, and the entries used last.
        max_bytes: memory for those entries; ids and vectors come on top, 2.2 KB an entry at 384 dimensions.
        int8: a byte a number in the index of vectors, 1.1 KB an entry instead.
    """

    enabled: bool = True
    max_bytes: Annotated[int, Field(ge=0)] = 512 * 1024 * 1024
    int8: bool = False


class MilvusSettings(Settings):
    """Where answers are kept.

    Attributes:
        uri: ``http(s)://`` uri of a Milvus server, or the path of a Milvus Lite database; by default
            ``cache.db`` in state_dir.
        token: ``user:password`` or API key of the server.
        collection: one for each embedder: its vectors are of one length.
        timeout_s: the longest one call may take.
        on_busy: what to do when another process has the Milvus Lite database open.
        hot: what is kept in memory of it.
    """

    uri: Annotated[str, Field(min_length=1)] | None = None
    token: SecretStr = SecretStr("")
    collection: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")] = "forebay_v2"
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    on_busy: Literal["memory", "error"] = "memory"
    hot: HotSettings = HotSettings()

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and "://" in value and not value.startswith(("http://", "https://")):
            msg = "must start with http:// or https://, or be the path of a Milvus Lite database"
            raise ValueError(msg)
        return value

    @property
    def place(self) -> str | None:
        """The server's uri, None for Milvus Lite."""
        return self.uri if self.uri is not None and "://" in self.uri else None


def _make_memory(settings: NoSettings, build: Build) -> Store:  # noqa: ARG001
    from ..adapters.memory.store import MemoryStore

    return MemoryStore()


def _make_milvus(settings: MilvusSettings, build: Build) -> Store:
    from ..adapters.hot.tier import HotTier
    from ..adapters.memory.store import MemoryStore
    from ..adapters.milvus.fallback import MilvusOrMemory
    from ..adapters.milvus.store import MilvusStore

    lite = Path(settings.uri) if settings.uri is not None else build.state_dir / "cache.db"
    milvus = MilvusStore(
        settings.place or lite,
        build.keyring,
        dimension=build.dimension,
        collection=settings.collection,
        token=settings.token.get_secret_value(),
        timeout_s=settings.timeout_s,
    )
    store: HotTier | MilvusStore = milvus
    if settings.hot.enabled and build.serves:  # a command that only looks would read the whole store first
        store = HotTier(milvus, max_bytes=settings.hot.max_bytes, int8=settings.hot.int8)
    if settings.place is None and settings.on_busy == "memory":
        return MilvusOrMemory(store, MemoryStore())
    return store


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the stores."""
    registry.add(STORE, "memory", _make_memory, settings=NoSettings)
    registry.add(STORE, "milvus", _make_milvus, settings=MilvusSettings, extra="milvus")
