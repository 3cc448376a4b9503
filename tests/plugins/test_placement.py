from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.admission.protocols import Placement
from forebay.middleware.admission.tickets import Replica
from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import PLACEMENT, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import placement as plugin
from tests.contract.ordering import ticket


def build(settings: dict[str, Any], folder: Path) -> Placement:
    registry = Registry()
    plugin.register_components(registry.registrar("placement"))
    made = Build(folder, Keyring.from_secret("of a test of placement"), Telemetry(enabled=False))
    return registry.build(PLACEMENT, "prefix", settings, made)


def test_its_settings_reach_it(tmp_path: Path) -> None:
    prompt = ticket("a", input_tokens=1_000, prefix=(1, 2, 3))
    for settings, stays in (({"load": 0, "spread": 50}, True), ({"load": 0, "spread": 1}, False), ({"load": 9}, False)):
        made = build(settings, tmp_path)
        first = made.place(prompt, [Replica("one"), Replica("two")]).replica
        busy = [Replica(name, 5 if name == first else 0) for name in ("one", "two")]
        assert (made.place(prompt, busy).replica == first) is stays, settings


@pytest.mark.parametrize("wrong", [{"load": -1}, {"spread": 0.9}, {"blocks": 3}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        build(wrong, tmp_path)
