"""Engines for tests on a real vLLM, each started once, when the first test asks for it: that takes half a minute.

`make test-vllm` makes the environment. Where vLLM is not installed this folder has no tests.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.vllm.real import ENVIRONMENT, OPTIONS, its_own_warnings, module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

if importlib.util.find_spec("vllm") is None:
    collect_ignore_glob = ["test_*.py"]

for _name, _value in ENVIRONMENT.items():  # before vLLM is imported, here and in the processes it starts
    os.environ.setdefault(_name, _value)


def pytest_configure(config: pytest.Config) -> None:
    """Let engines that were shut down be collected: vLLM leaves the context of their sockets to the collector."""
    config.addinivalue_line("filterwarnings", "ignore:Unclosed context <zmq:ResourceWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests on the loop that the engine lives on; async fixtures need ``loop_scope="session"`` for the same."""
    for item in items:
        if "tests/vllm/" in item.path.as_posix() and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine() -> AsyncIterator[Any]:
    """An AsyncLLM; a test leaves nothing running in it."""
    with its_own_warnings():
        asked = module("vllm.engine.arg_utils").AsyncEngineArgs(**OPTIONS)
        started = module("vllm.v1.engine.async_llm").AsyncLLM.from_engine_args(asked)
    yield started
    started.shutdown()


@pytest.fixture(scope="session")
def llm() -> Iterator[Any]:
    """An LLM, for offline use."""
    with its_own_warnings():
        started = module().LLM(**OPTIONS)
    yield started
    started.llm_engine.engine_core.shutdown()
