"""Several workers through a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.redis.coordination import RedisCoordination
from tests.contract.coordination import SharedContract
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # needs Debian's redis-server, which PyPI does not have


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class TestContract(SharedContract):
    @pytest.fixture
    def made(self, redis: RedisServer, tmp_path: Path) -> Any:
        prefix = f"forebay:{tmp_path.name}"

        def make(**options: Any) -> RedisCoordination:
            return RedisCoordination(redis.url, prefix=prefix, folder=tmp_path, lease_s=1.0, timeout_s=2.0, **options)

        return make
