"""Which mode holds for a request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.middleware.config import parse_config
from forebay.middleware.modes import KILL_FILE, Modes, narrower
from forebay.middleware.records import Controls, Mode, Request
from tests.middleware.parts import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = Request(id="r", model="gpt-5", messages=(), tenant="acme")


def modes(folder: Path, clock: FakeClock | None = None, **settings: Any) -> Modes:
    return Modes(parse_config(settings, environ={}), folder, clock=clock or FakeClock())


@given(st.sampled_from(Mode), st.sampled_from(Mode))
def test_the_narrower_mode_allows_less(one: Mode, other: Mode) -> None:
    order = [Mode.OFF, Mode.SHADOW, Mode.SERVE]
    assert narrower(one, other) is order[min(order.index(one), order.index(other))]


def test_without_rules_the_configured_mode_holds(tmp_path: Path) -> None:
    assert modes(tmp_path).of(REQUEST) is Mode.SERVE
    assert modes(tmp_path, mode="shadow").of(REQUEST) is Mode.SHADOW


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({"model": "gpt-*"}, True),
        ({"model": "GPT-*"}, False),
        ({"model": "gpt-4"}, False),
        ({"tenant": "acme", "model": "gpt-5"}, True),
        ({"tenant": "other", "model": "gpt-5"}, False),
        ({"endpoint": "chat"}, True),
        ({"endpoint": "responses"}, False),
    ],
)
def test_a_rule_matches_by_pattern(tmp_path: Path, rule: dict[str, str], matches: bool) -> None:
    found = modes(tmp_path, rules=[{**rule, "mode": "off"}]).of(REQUEST)
    assert (found is Mode.OFF) is matches


def test_the_first_rule_that_matches_wins(tmp_path: Path) -> None:
    rules = [{"tenant": "no*", "mode": "off"}, {"model": "gpt-*", "mode": "shadow"}, {"mode": "off"}]
    assert modes(tmp_path, rules=rules).of(REQUEST) is Mode.SHADOW


@pytest.mark.parametrize(("percent", "low", "high"), [(0, 0, 0), (25, 180, 320), (100, 1000, 1000)])
def test_a_percentage_of_tenants_is_served_and_the_rest_is_shadowed(
    tmp_path: Path, percent: float, low: int, high: int
) -> None:
    found = modes(tmp_path, rules=[{"mode": "serve", "percent": percent}])
    seen = [found.of(replace(REQUEST, tenant=f"t{at}")) for at in range(1000)]
    assert set(seen) <= {Mode.SERVE, Mode.SHADOW}
    assert low <= seen.count(Mode.SERVE) <= high


def test_a_tenant_stays_where_it_is_and_a_larger_percentage_only_adds(tmp_path: Path) -> None:
    tenants = [replace(REQUEST, tenant=f"t{at}") for at in range(200)]
    served = [
        {request.tenant for request in tenants if modes(tmp_path, rules=[rule]).of(request) is Mode.SERVE}
        for rule in ({"mode": "serve", "percent": percent} for percent in (10, 10, 30, 70))
    ]
    assert served[0] == served[1] < served[2] < served[3]


def test_a_percentage_of_less_than_shadow_is_not_widened(tmp_path: Path) -> None:
    assert modes(tmp_path, rules=[{"mode": "off", "percent": 0}]).of(REQUEST) is Mode.OFF


def test_bypass_wins_over_everything(tmp_path: Path) -> None:
    request = replace(REQUEST, controls=Controls(bypass=True))
    assert modes(tmp_path, rules=[{"mode": "serve"}]).of(request) is Mode.OFF


def test_the_kill_switch_is_seen_within_a_second_and_looked_at_once_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    found = modes(tmp_path, clock)
    assert found.of(REQUEST) is Mode.SERVE
    (tmp_path / KILL_FILE).touch()
    clock.now_s += 0.9
    assert found.of(REQUEST) is Mode.SERVE
    clock.now_s += 0.1
    assert found.of(REQUEST) is Mode.OFF
    (tmp_path / KILL_FILE).unlink()
    assert found.of(REQUEST) is Mode.OFF
    clock.now_s += 1.0
    assert found.of(REQUEST) is Mode.SERVE


def test_a_folder_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    class Unreadable:
        def __truediv__(self, name: str) -> Unreadable:
            return self

        def exists(self) -> bool:
            raise PermissionError

    folder: Any = Unreadable()
    assert modes(folder).of(REQUEST) is Mode.SERVE


def test_odd_tenants_have_a_mode_too(tmp_path: Path) -> None:
    found = modes(tmp_path, rules=[{"mode": "serve", "percent": 50}])
    assert found.of(replace(REQUEST, tenant="\ud800[")) in (Mode.SERVE, Mode.SHADOW)
