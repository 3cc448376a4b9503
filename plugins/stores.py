"""The built-in answer stores: Milvus (a server, or a Milvus Lite file) and memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import STORE, Build, NoSettings, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.protocols import Store


class MilvusSettings(Settings):
    """Where answers are kept.

    Attributes:
        uri: ``http(s)://`` uri of a Milvus server, or the path of a Milvus Lite database; by default
            ``cache.db`` in state_dir.
        token: ``user:password`` or API key of the server.
        collection: one for each embedder: its vectors are of one length.
        timeout_s: the longest one call may take.
        on_busy: what to do when another process has the Milvus Lite database open.
    """

    uri: Annotated[str, Field(min_length=1)] | None = None
    token: SecretStr = SecretStr("")
    collection: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")] = "forebay_v1"
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    on_busy: Literal["memory", "error"] = "memory"

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
    from ..adapters.memory.store import MemoryStore
    from ..adapters.milvus.fallback import MilvusOrMemory
    from ..adapters.milvus.store import MilvusStore

    lite = Path(settings.uri) if settings.uri is not None else build.state_dir / "cache.db"
    store = MilvusStore(
        settings.place or lite,
        build.keyring,
        dimension=build.dimension,
        collection=settings.collection,
        token=settings.token.get_secret_value(),
        timeout_s=settings.timeout_s,
    )
    if settings.place is None and settings.on_busy == "memory":
        return MilvusOrMemory(store, MemoryStore())
    return store


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the stores."""
    registry.add(STORE, "memory", _make_memory, settings=NoSettings)
    registry.add(STORE, "milvus", _make_milvus, settings=MilvusSettings, extra="milvus")
