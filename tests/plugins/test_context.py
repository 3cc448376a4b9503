from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.middleware.keys import Keyring
from forebay.middleware.registry import CONTEXT, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins.context import register_components
from forebay.policies.context.reading import ContextualReading
from forebay.policies.context.turns import EveryTurn

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("name", "made"), [("reading", ContextualReading), ("turns", EveryTurn)])
def test_the_readers_are_built_by_name(name: str, made: type, tmp_path: Path) -> None:
    registry = Registry()
    register_components(registry.registrar("context"))
    build = Build(tmp_path, Keyring.from_secret("of a test"), Telemetry())
    assert isinstance(registry.build(CONTEXT, name, {}, build), made)
