from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.middleware.audits import SNAPSHOT
from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.protocols import Audited
from forebay.middleware.records import Asked, Audit, Key, Verdict
from forebay.middleware.registry import ACCEPTANCE, Build
from forebay.middleware.state import StateStore
from forebay.middleware.telemetry import Telemetry

Run = Callable[..., Any]
TENANT = "ab" * 32


def audit(same: bool, confidence: float = 0.99, kind: str = "candidate") -> Audit:
    asked = Asked(Key("s", "", "e", "?"), TENANT, "small", "question")
    return Audit(asked, Verdict(accepted=True, confidence=confidence, reason="accepted", proven=False), same, kind=kind)


@pytest.fixture
def audited(config: Path, folder: Path) -> Path:
    (folder / "state").mkdir()
    build = Build(folder / "state", Keyring({"k": b"k"}, "k"), Telemetry(enabled=False))
    policy = PluginManager.from_entry_points().registry.build(ACCEPTANCE, "verified", {}, build, path="acceptance")
    assert isinstance(policy, Audited)
    for _ in range(300):
        policy.learn(audit(False, kind="control"))
    for _ in range(600):
        policy.learn(audit(True))
    policy.learn(audit(False, 0.5))
    state = StateStore(folder / "state" / "state.db")
    state.save(SNAPSHOT, {"made_with": {}, "policy": dict(policy.snapshot())})
    state.close()
    return config


def test_each_kind_of_hits_has_a_line(forebay: Run, audited: Path) -> None:
    lines = forebay("audits").out.splitlines()
    assert lines[0].split() == ["hits", "served", "from", "confidence", "audits", "wrong", "at", "most"]
    tenant = next(line for line in lines if line.startswith("tenant"))
    assert tenant.split()[:4] == ["tenant", TENANT[:12], "question", "yes"]
    assert float(tenant.split()[-1].removesuffix("%")) <= 2.0
    assert len(forebay("audits", "--all").out.splitlines()) > len(lines)


def test_as_json(forebay: Run, audited: Path) -> None:
    rows = json.loads(forebay("audits", "--json").out)
    assert {row["stratum"].split()[0] for row in rows} >= {"tenant", "all"}
    assert any(row["proven"] for row in rows)


def test_nothing_learned(forebay: Run, config: Path, folder: Path) -> None:
    (folder / "state").mkdir()
    StateStore(folder / "state" / "state.db").close()
    assert forebay("audits").out.startswith("no audit yet")


def test_a_policy_without_audits(forebay: Run, config: Path, folder: Path) -> None:
    (folder / "state").mkdir()
    config.write_text(config.read_text(encoding="utf-8") + "acceptance: {type: threshold}\n", encoding="utf-8")
    outcome = forebay("audits")
    assert outcome.status == 2
    assert "'threshold' is not audited" in outcome.err


def test_a_snapshot_of_other_settings(forebay: Run, audited: Path) -> None:
    audited.write_text(
        audited.read_text(encoding="utf-8") + "acceptance: {type: verified, delta: 0.5}\n", encoding="utf-8"
    )
    assert "another policy's" in forebay("audits").err
