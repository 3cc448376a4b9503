from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.proxy import RECORDER, Plan, Proxy
from tests.integration.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-tables", action="store_true", help="write docs/conformance.md anew")


@pytest.fixture(scope="module")
def engine() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def plan(engine: Upstream, **more: Any) -> Plan:
    def model(name: str, real: str, base: str) -> dict[str, Any]:
        return {
            "model_name": name,
            "litellm_params": {"model": real, "api_base": base, "api_key": "none", "max_retries": 0},
        }

    models = (
        model("text", "text-completion-openai/tiny", engine.url),
        model("claude", "anthropic/tiny", engine.root),
        model("gpt-5", "openai/gpt-5", engine.url),
        model("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", engine.root),
        model("vectors", "openai/text-embedding-3-small", engine.url),
    )
    return Plan(engine.url, models=models, **more)


@pytest.fixture(scope="module")
def lone(engine: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM without forebay."""
    with Proxy(tmp_path_factory.mktemp("lone"), plan(engine, callbacks=(RECORDER,))) as process:
        yield process


@pytest.fixture(scope="module")
def fronted(engine: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM with forebay, which answers what was asked before in the same words."""
    settings = {"cache": {"semantic": "off"}, "store": {"type": "memory"}}
    with Proxy(tmp_path_factory.mktemp("fronted"), plan(engine, forebay=settings)) as process:
        yield process
