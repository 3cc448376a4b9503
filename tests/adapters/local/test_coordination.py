"""Several workers through a shared folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.local.coordination import LocalCoordination
from tests.contract.coordination import CoordinationContract

if TYPE_CHECKING:
    from pathlib import Path


class TestContract(CoordinationContract):
    @pytest.fixture
    def made(self, tmp_path: Path) -> Any:
        def make(**options: Any) -> LocalCoordination:
            return LocalCoordination(tmp_path, **options)

        return make
