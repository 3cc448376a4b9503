"""The built-in engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, SecretStr

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import ENGINE, Build, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.protocols import Engine


class OpenAISettings(Settings):
    """An engine behind OpenAI's HTTP API.

    Attributes:
        base_url: with the version of the API: ``http://127.0.0.1:8000/v1``.
        api_key: sent as bearer token.
        timeout_s: the longest a whole answer may take; of a stream, the longest silence.
        model: asked for instead of the model a request names.
    """

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    api_key: SecretStr = SecretStr("")
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    model: Annotated[str, Field(min_length=1)] | None = None


def _make_openai(settings: OpenAISettings, build: Build) -> Engine:  # noqa: ARG001
    from ..adapters.engines.openai_http import OpenAIHTTPEngine

    return OpenAIHTTPEngine(
        base_url=settings.base_url,
        api_key=settings.api_key.get_secret_value(),
        timeout_s=settings.timeout_s,
        model=settings.model,
    )


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "openai"."""
    registry.add(ENGINE, "openai", _make_openai, settings=OpenAISettings)
