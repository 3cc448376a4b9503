"""The built-in embedders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import EMBEDDER, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..adapters.embedders.remote import Remote
    from ..middleware.protocols import Embedder

Threads = Annotated[int, Field(ge=1, le=64)]
Memo = Annotated[int, Field(ge=0)]
Dimension = Annotated[int, Field(ge=2, le=32_768)]
Name = Annotated[str, Field(min_length=1)]


class MiniLMSettings(Settings):
    """all-MiniLM-L6-v2 on the CPU.

    Attributes:
        threads: threads one run of the model may use.
        memo: vectors remembered, about 12 KiB each; 0 remembers none.
    """

    threads: Threads = 1
    memo: Memo = 2048


class OnnxSettings(Settings):
    """A model of the operator's own, as ONNX.

    Attributes:
        folder: holds ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``.
        pooling: how token vectors become one; ``model`` where the ONNX file does it. None for what the files say.
        prefix: put before each text, as some models want it.
        dimension: length of the vectors; None for what the files say.
        max_tokens: how much of a text is read; None for what the files say.
        threads: threads one run of the model may use.
        memo: vectors remembered.
    """

    folder: Name
    pooling: Literal["mean", "cls", "model"] | None = None
    prefix: str = ""
    dimension: Dimension | None = None
    max_tokens: Annotated[int, Field(ge=8)] | None = None
    threads: Threads = 1
    memo: Memo = 2048


class FastembedSettings(Settings):
    """A model that the package fastembed knows.

    Attributes:
        model: as fastembed names it.
        folder: the model's files, where they are on this machine already; nothing is downloaded then.
        cache_dir: where fastembed keeps what it downloads; None for its own choice.
        threads: threads one run of the model may use.
        memo: vectors remembered.
    """

    model: Name = "BAAI/bge-small-en-v1.5"
    folder: Name | None = None
    cache_dir: Name | None = None
    threads: Threads = 1
    memo: Memo = 2048


class RemoteSettings(Settings):
    """An embedding model behind an API.

    Attributes:
        model: its name there.
        dimension: length of its vectors. Of well-known models it may be left out, and shorter ones may be asked for.
        prefix: put before each text, as some models want it.
        max_chars: how much of a text is sent.
        max_batch: texts in one call.
        timeout_s: the longest one call may take.
        memo: vectors remembered.
    """

    model: Name
    dimension: Dimension | None = None
    prefix: str = ""
    max_chars: Annotated[int, Field(ge=1)] = 8000
    max_batch: Annotated[int, Field(ge=1, le=2048)] = 32
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    memo: Memo = 2048


class OpenAISettings(RemoteSettings):
    """An embedding model behind OpenAI's HTTP API.

    Attributes:
        base_url: with the version of the API: ``https://api.openai.com/v1``.
        api_key: sent as bearer token.
    """

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    api_key: SecretStr = SecretStr("")


class LiteLLMSettings(RemoteSettings):
    """An embedding model through LiteLLM as a library.

    Attributes:
        api_base: None for the provider's own.
        api_key: None for the environment variable that LiteLLM reads.
    """

    api_base: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    api_key: SecretStr | None = None


class HashingSettings(Settings):
    """Hashed words, without a model.

    Attributes:
        dimension: length of the vectors.
    """

    dimension: Annotated[int, Field(ge=2, le=4096)] = 256


def _make_minilm(settings: MiniLMSettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.minilm import MiniLMEmbedder

    return MiniLMEmbedder(threads=settings.threads, memo=settings.memo)


def _make_onnx(settings: OnnxSettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.onnx_folder import OnnxFolderEmbedder

    return OnnxFolderEmbedder(
        Path(settings.folder),
        dimension=settings.dimension,
        max_tokens=settings.max_tokens,
        pooling=settings.pooling,
        prefix=settings.prefix,
        threads=settings.threads,
        memo=settings.memo,
    )


def _make_fastembed(settings: FastembedSettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.fastembed import FastembedEmbedder

    return FastembedEmbedder(
        settings.model,
        cache_dir=Path(settings.cache_dir) if settings.cache_dir is not None else None,
        folder=Path(settings.folder) if settings.folder is not None else None,
        threads=settings.threads,
        memo=settings.memo,
    )


def _make_openai(settings: OpenAISettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.openai_http import OpenAIHTTPEmbedder

    api_key = settings.api_key.get_secret_value()
    return OpenAIHTTPEmbedder(_remote(settings), base_url=settings.base_url, api_key=api_key)


def _make_litellm(settings: LiteLLMSettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.litellm import LiteLLMEmbedder

    api_key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    return LiteLLMEmbedder(_remote(settings), api_base=settings.api_base, api_key=api_key)


def _remote(settings: RemoteSettings) -> Remote:
    from ..adapters.embedders.remote import Remote

    return Remote(
        model=settings.model,
        dimension=settings.dimension,
        prefix=settings.prefix,
        max_chars=settings.max_chars,
        max_batch=settings.max_batch,
        timeout_s=settings.timeout_s,
        memo=settings.memo,
    )


def _make_hashing(settings: HashingSettings, build: Build) -> Embedder:  # noqa: ARG001
    from ..adapters.embedders.hashing import HashingEmbedder

    return HashingEmbedder(dimension=settings.dimension)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the embedders."""
    registry.add(EMBEDDER, "minilm", _make_minilm, settings=MiniLMSettings, extra="embed")
    registry.add(EMBEDDER, "onnx", _make_onnx, settings=OnnxSettings, extra="embed")
    registry.add(EMBEDDER, "fastembed", _make_fastembed, settings=FastembedSettings, extra="fastembed")
    registry.add(EMBEDDER, "openai", _make_openai, settings=OpenAISettings)
    registry.add(EMBEDDER, "litellm", _make_litellm, settings=LiteLLMSettings, extra="litellm")
    registry.add(EMBEDDER, "hashing", _make_hashing, settings=HashingSettings)
