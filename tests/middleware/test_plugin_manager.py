"""Loading plugins: what is accepted, what is refused and how it is said, and in which order observers run."""

from __future__ import annotations

import asyncio
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from forebay import hookimpl
from forebay.middleware import plugin_manager
from forebay.middleware.errors import ConfigError, PluginError
from forebay.middleware.events import Check, Finished, Started
from forebay.middleware.hookspecs import OBSERVERS
from forebay.middleware.observers import ObserverCaller
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.registry import LIMIT, ORDERING, STORE, NoSettings, Registrar
from tests.middleware.parts import AtMost, Queue

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(plugin: object, name: str = "mine") -> str:
    with pytest.raises(PluginError) as raised:
        PluginManager().register(plugin, name)
    return str(raised.value)


def plugin(function: Callable[..., Any], **options: Any) -> object:
    """A plugin with one hook."""
    return type("Plugin", (), {function.__name__: staticmethod(hookimpl(**options)(function))})()


class Limits:
    @hookimpl
    def register_components(self, registry: Registrar) -> None:
        registry.add(LIMIT, "moving", lambda _s, _b: AtMost(1), settings=NoSettings)


def test_a_plugin_registers_its_components_under_its_name() -> None:
    manager = PluginManager()
    manager.register(Limits(), "mine", distribution="forebay-mine", version="1.2")
    assert [(item.name, item.plugin) for item in manager.registry] == [("moving", "mine")]
    assert [(item.name, item.distribution, item.version) for item in manager.loaded] == [
        ("mine", "forebay-mine", "1.2")
    ]


def test_two_managers_know_nothing_of_each_other() -> None:
    one, other = PluginManager(), PluginManager()
    one.register(Limits(), "mine")
    assert list(other.registry) == []
    assert other.loaded == []


def test_a_module_is_a_plugin() -> None:
    module = ModuleType("mine")

    def startup(started: Started) -> None: ...

    vars(module)["startup"] = hookimpl(startup)
    manager = PluginManager()
    manager.register(module, "mine")
    assert [name for name, _ in manager.observers()["startup"]] == ["mine"]


def test_functions_without_the_mark_are_not_hooks() -> None:
    class Plain:
        def register_components(self, registry: Registrar) -> None:
            raise AssertionError

        def startup(self, started: Started) -> None:
            raise AssertionError

    manager = PluginManager()
    manager.register(Plain(), "plain")
    assert list(manager.observers()["startup"]) == []


def test_registering_may_have_another_name_or_no_argument() -> None:
    calls: list[str] = []

    class Named:
        @hookimpl(specname="register_components")
        def add_all(self, registry: Registrar) -> None:
            registry.add(ORDERING, "queue", lambda _s, _b: Queue(), settings=NoSettings)

    class Bare:
        @hookimpl
        def register_components(self) -> None:
            calls.append("bare")

    manager = PluginManager()
    manager.register(Named(), "named")
    manager.register(Bare(), "bare")
    assert manager.registry.names(ORDERING) == ["queue"]
    assert calls == ["bare"]


def test_a_mistyped_hook_is_named_with_the_nearest_one() -> None:
    def request_finnished(finished: Finished) -> None: ...

    assert refusal(plugin(request_finnished)) == (
        "plugin 'mine' (hook request_finnished): there is no such hook. Did you mean 'request_finished'?"
    )


def test_a_mistyped_argument_is_explained() -> None:
    def request_finished(finish: Finished) -> None: ...

    message = refusal(plugin(request_finished))
    assert message.startswith("plugin 'mine': Plugin 'mine' for hook 'request_finished'")
    assert "finish" in message
    assert message.endswith("Each hook takes the one argument that docs/hooks.md shows.")


def test_wrappers_are_refused() -> None:
    def startup(started: Started) -> Any:
        yield

    for options in ({"wrapper": True}, {"hookwrapper": True}):
        assert refusal(plugin(startup, **options)) == (
            "plugin 'mine' (hook startup): is a wrapper; hooks here only register and observe, use a plain one"
        )


def test_what_yields_would_never_run_and_is_refused() -> None:
    def startup(started: Started) -> Any:
        yield

    async def shutdown() -> Any:
        yield

    assert refusal(plugin(startup)) == "plugin 'mine' (hook startup): yields; it must return"
    assert refusal(plugin(shutdown)) == "plugin 'mine' (hook shutdown): yields; it must return"


@pytest.mark.parametrize("option", ["tryfirst", "trylast"])
def test_no_plugin_jumps_the_order(option: str) -> None:
    def startup(started: Started) -> None: ...

    assert "asks for another order; hooks run in the order of loading" in refusal(plugin(startup, **{option: True}))


def test_registering_is_not_async() -> None:
    async def register_components(registry: Registrar) -> None: ...

    assert refusal(plugin(register_components)) == (
        "plugin 'mine' (hook register_components): must be a plain function, not 'async def'"
    )


def test_what_registering_raises_names_the_plugin() -> None:
    def register_components(registry: Registrar) -> None:
        raise ZeroDivisionError("odd")

    assert refusal(plugin(register_components)) == (
        "plugin 'mine' (hook register_components): raised ZeroDivisionError: odd"
    )


def test_a_component_of_another_plugin_is_not_replaced() -> None:
    manager = PluginManager()
    manager.register(Limits(), "one")
    with pytest.raises(PluginError, match="plugin 'two': limit 'moving' is already registered by plugin 'one'"):
        manager.register(Limits(), "two")
    assert [item.name for item in manager.loaded] == ["one"]
    manager.register(type("Empty", (), {})(), "two")  # the name is free again


def test_a_name_or_a_plugin_is_registered_once() -> None:
    manager = PluginManager()
    limits = Limits()
    manager.register(limits, "one")
    for again, name in ((object(), "one"), (limits, "two")):
        with pytest.raises(PluginError, match=f"plugin '{name}': is registered already, or another plugin has"):
            manager.register(again, name)


def test_all_built_ins_load_by_entry_point() -> None:
    manager = PluginManager.from_entry_points()
    assert {"stores", "embedding", "acceptance", "analysis", "limit", "ordering", "shedding", "keeping"} <= {
        item.name for item in manager.loaded
    }
    assert {item.distribution for item in manager.loaded} == {"forebay"}
    assert "memory" in manager.registry.names(STORE)


def test_an_unknown_plugin_that_is_wanted_is_named() -> None:
    with pytest.raises(ConfigError) as raised:
        PluginManager.from_entry_points(["strickt"])
    assert str(raised.value).startswith(
        "plugins: no installed distribution offers a plugin named 'strickt' in the entry-point group 'forebay.plugins'."
    )


class Dist:
    """Just enough of a distribution."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = "9"


def offer(monkeypatch: pytest.MonkeyPatch, **points: tuple[str, str]) -> None:
    made: list[EntryPoint] = []
    for name, (distribution, value) in points.items():
        point = EntryPoint(name, value, plugin_manager.GROUP)
        vars(point)["dist"] = Dist(distribution)
        made.append(point)

    def entry_points(group: str) -> list[EntryPoint]:
        return made if group == plugin_manager.GROUP else []

    monkeypatch.setattr(plugin_manager, "entry_points", entry_points)


STORES = "forebay.plugins.stores"


def test_a_third_partys_plugin_loads_only_when_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, theirs=("forebay-theirs", STORES), telemetry=("forebay", "forebay.plugins.telemetry"))
    assert [item.name for item in PluginManager.from_entry_points().loaded] == ["telemetry"]
    loaded = PluginManager.from_entry_points(["theirs"]).loaded
    assert [(item.name, item.distribution, item.version) for item in loaded] == [
        ("telemetry", "forebay", "9"),
        ("theirs", "forebay-theirs", "9"),
    ]
    with pytest.raises(ConfigError, match="Did you mean 'theirs'"):
        PluginManager.from_entry_points(["their"])


def test_a_plugin_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, gone=("forebay-gone", "no_such_module_here"))
    with pytest.raises(PluginError, match=r"plugin 'gone': cannot be imported .*'forebay-gone' installed whole"):
        PluginManager.from_entry_points(["gone"])
    offer(monkeypatch, gone=("forebay-gone", f"{STORES}:no_such_name"))
    with pytest.raises(PluginError, match="plugin 'gone': raised AttributeError while importing"):
        PluginManager.from_entry_points(["gone"])


class Noting:
    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    @hookimpl
    async def startup(self, started: Started) -> None:
        await asyncio.sleep(0)
        self._notes.append(f"startup {self._name}")

    @hookimpl
    def check_ready(self, check: Check) -> None:
        self._notes.append(f"check_ready {self._name}")

    @hookimpl
    def shutdown(self) -> None:
        self._notes.append(f"shutdown {self._name}")


async def test_observers_run_in_the_order_of_loading_and_shutdown_in_reverse() -> None:
    notes: list[str] = []
    manager = PluginManager()
    for name in "abc":
        manager.register(Noting(name, notes), name)
    caller = ObserverCaller(manager.observers())
    await caller.fire("startup", Started("1", "."))
    await caller.fire("check_ready", Check())
    await caller.fire("shutdown")
    assert notes == [
        *("startup a", "startup b", "startup c"),
        *("check_ready a", "check_ready b", "check_ready c"),
        *("shutdown c", "shutdown b", "shutdown a"),
    ]


def test_every_observer_hook_is_listed_even_without_an_implementation() -> None:
    assert set(PluginManager().observers()) == set(OBSERVERS)
