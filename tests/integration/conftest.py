from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.proxy import RECORDER, Plan, Proxy
from tests.integration.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as engine:
        yield engine


@pytest.fixture(scope="session")
def fixed() -> Iterator[Upstream]:
    """An engine that gives equal requests byte-equal answers."""
    with Upstream(fixed=True) as engine:
        yield engine


@pytest.fixture(scope="session")
def alone(fixed: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM without forebay."""
    with Proxy(tmp_path_factory.mktemp("alone"), Plan(fixed.url, callbacks=(RECORDER,))) as process:
        yield process
