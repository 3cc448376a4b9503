from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.admission.protocols import Shedding
from forebay.middleware.admission.tickets import Objective, Ticket
from forebay.middleware.analysis.facts import Priority
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import SHEDDING, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import shedding as plugin
from tests.contract.shedding import waiting

STREAM = Ticket("a", "t", 0.0, 10, stream=True, objective=Objective(ttft_s=2.0))


def build(settings: dict[str, Any], folder: Path) -> Shedding:
    registry = Registry()
    plugin.register_components(registry.registrar("shedding"))
    made = Build(folder, Keyring.from_secret("of a test of shedding"), Telemetry(enabled=False))
    return registry.build(SHEDDING, "deadline", settings, made)


def test_as_shipped_it_only_bounds_the_queue(tmp_path: Path) -> None:
    made = build({}, tmp_path)
    assert made.patience_s(STREAM) == math.inf
    assert made.refuse(STREAM, waiting(899)) is None
    assert made.refuse(STREAM, waiting(900)) is not None


def test_its_settings_reach_it(tmp_path: Path) -> None:
    settings = {"max_requests": 10, "max_tokens": 50, "shares": {"standard": 0.5}, "by_objective": True, "grace": 3}
    made = build(settings, tmp_path)
    assert made.patience_s(STREAM) == 6.0
    assert made.refuse(STREAM, waiting(4, tokens=10.0)) is None
    assert made.refuse(STREAM, waiting(4, tokens=20.0)) is not None
    assert made.refuse(STREAM, waiting(5)) is not None
    assert made.gives_way(STREAM, waiting(5, priority=Priority.BATCH)) is Priority.BATCH


@pytest.mark.parametrize("wrong", [{"max_requests": 0}, {"tenant_share": 2}, {"grace": 0.1}, {"shares": {"nobody": 1}}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        build(wrong, tmp_path)
