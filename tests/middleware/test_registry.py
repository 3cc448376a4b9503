"""The typed registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.analysis.protocols import Predictor
from forebay.middleware.errors import ConfigError, MissingExtraError, PluginError, StoreError
from forebay.middleware.keys import Keyring
from forebay.middleware.registry import (
    ANALYZER,
    KINDS,
    LIMIT,
    ORDERING,
    STORE,
    Build,
    NoSettings,
    Registry,
    Settings,
    missing_members,
)
from forebay.middleware.telemetry import Telemetry
from tests.middleware.parts import AtMost, Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class LimitSettings(Settings):
    most: int = 1


def make_limit(settings: LimitSettings, build: Build) -> AtMost:
    return AtMost(settings.most)


def making(made: object) -> Callable[[NoSettings, Build], Any]:
    return lambda _settings, _build: made


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path, Keyring({"k1": b"secret"}, "k1"), Telemetry(enabled=False))


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.registrar("mine").add(LIMIT, "moving", make_limit, settings=LimitSettings, stability="beta")
    return registry


def add(registry: Registry, factory: Any, *, kind: Any = STORE, extra: str = "") -> None:
    registry.add(kind, "odd", factory, settings=NoSettings, plugin="odd-plugin", extra=extra)


def test_a_component_is_made_from_checked_settings(registry: Registry, build: Build) -> None:
    limit = registry.build(LIMIT, "moving", {"most": "3"}, build)
    assert isinstance(limit, AtMost)
    assert limit.most == 3


def test_what_is_registered_can_be_listed(registry: Registry) -> None:
    registry.add(LIMIT, "another", make_limit, settings=LimitSettings, plugin="other")
    assert registry.names(LIMIT) == ["another", "moving"]
    assert registry.names(STORE) == []
    assert [(item.kind, item.name, item.plugin, item.stability) for item in registry] == [
        ("limit", "another", "other", "stable"),
        ("limit", "moving", "mine", "beta"),
    ]


def test_a_name_is_taken_once_a_kind(registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"plugin 'other': limit 'moving' is already registered by plugin 'mine'"):
        registry.add(LIMIT, "moving", make_limit, settings=LimitSettings, plugin="other")
    registry.add(ORDERING, "moving", lambda _s, _b: Queue(), settings=NoSettings, plugin="other")
    assert registry.names(ORDERING) == ["moving"]


def test_an_unknown_component_is_named_with_the_nearest_one(registry: Registry, build: Build) -> None:
    with pytest.raises(ConfigError) as raised:
        registry.build(LIMIT, "movin", {}, build)
    assert str(raised.value) == (
        "limit.type: there is no limit named 'movin'. Did you mean 'moving'? "
        "Is its plugin installed and listed under 'plugins'?"
    )


def test_an_unknown_component_of_a_kind_without_any_is_named(registry: Registry, build: Build) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.x\.type: there is no store named 'q'\. Is its plugin installed"):
        registry.build(STORE, "q", {}, build, path="telemetry.x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mos": 1}, "admission.limit.mos: unknown key 'mos'. Did you mean 'most'?"),
        ({"most": "many"}, "admission.limit.most: Input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_named_with_its_path(
    registry: Registry, build: Build, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        registry.build(LIMIT, "moving", settings, build, path="admission.limit")
    assert str(raised.value).startswith(message)


def test_a_missing_package_is_named_with_its_extra(registry: Registry, build: Build) -> None:
    def factory(settings: NoSettings, build: Build) -> Any:
        import no_such_package_at_all  # type: ignore[import-not-found]

        return no_such_package_at_all

    add(registry, factory, extra="odd")
    with pytest.raises(MissingExtraError) as raised:
        registry.build(STORE, "odd", {}, build)
    assert str(raised.value) == (
        "plugin 'odd-plugin': needs the package 'no_such_package_at_all'; install it with: pip install 'forebay[odd]'"
    )
    assert raised.value.extra == "odd"


def test_a_missing_package_without_an_extra_is_named_too(registry: Registry, build: Build) -> None:
    def factory(settings: NoSettings, build: Build) -> Any:
        raise ImportError("libodd.so is too old")

    add(registry, factory)
    with pytest.raises(PluginError, match=r"plugin 'odd-plugin': cannot be imported: libodd\.so is too old") as raised:
        registry.build(STORE, "odd", {}, build)
    assert not isinstance(raised.value, MissingExtraError)


def test_a_factory_that_raises_is_named(registry: Registry, build: Build) -> None:
    def factory(settings: NoSettings, build: Build) -> Any:
        raise ZeroDivisionError("odd")

    add(registry, factory)
    with pytest.raises(PluginError, match="the factory of store 'odd' raised ZeroDivisionError: odd"):
        registry.build(STORE, "odd", {}, build)


def test_a_factorys_own_error_keeps_its_class(registry: Registry, build: Build) -> None:
    def factory(settings: NoSettings, build: Build) -> Any:
        raise StoreError("no disk")

    add(registry, factory)
    with pytest.raises(StoreError, match="no disk"):
        registry.build(STORE, "odd", {}, build)


class HalfAStore:
    async def get(self, entry_id: str) -> None: ...

    async def put(self, entry: object) -> None: ...


def test_a_factory_that_makes_something_else_is_told_what_it_lacks(registry: Registry, build: Build) -> None:
    add(registry, making(HalfAStore()))
    with pytest.raises(PluginError) as raised:
        registry.build(STORE, "odd", {}, build)
    assert str(raised.value) == (
        "plugin 'odd-plugin': the factory of store 'odd' returned a HalfAStore, which lacks search, delete, count"
    )


def test_a_factory_that_makes_nothing_is_told(registry: Registry, build: Build) -> None:
    add(registry, making(None), kind=ANALYZER)
    with pytest.raises(PluginError, match="returned a NoneType, which lacks analyze"):
        registry.build(ANALYZER, "odd", {}, build)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_each_protocol_has_one_to_five_members_and_names_all_of_them(kind: Any) -> None:
    members = missing_members(object(), kind.protocol)
    assert 1 <= len(members) <= 5
    assert not isinstance(object(), kind.protocol)
    assert isinstance(type("Whole", (), dict.fromkeys(members, print))(), kind.protocol)


def test_an_ordering_without_a_length_is_told_so(registry: Registry, build: Build) -> None:
    class NoLength:
        push = peek = remove = print

    add(registry, making(NoLength()), kind=ORDERING)
    with pytest.raises(PluginError, match=r"which lacks __len__$"):
        registry.build(ORDERING, "odd", {}, build)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        LimitSettings().most = 2


def test_what_a_protocol_takes_from_another_is_missed_too() -> None:
    class Half:
        def predict(self) -> None: ...

        def report(self) -> None: ...

    assert sorted(missing_members(Half(), Predictor)) == ["learn", "restore", "snapshot"]
