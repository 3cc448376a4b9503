"""Finds plugins, validates their hooks and collects what they register.

Built-ins come in through the same entry-point group as anyone's. A plugin of another distribution loads
only when the config names it under ``plugins``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

import pluggy

from . import hookspecs
from .errors import ConfigError, PluginError, did_you_mean
from .hookspecs import OBSERVERS, PROJECT, REGISTRATION
from .narrow import is_object
from .registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

GROUP: Final = "forebay.plugins"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One loaded plugin, as `forebay plugins` lists it."""

    name: str
    distribution: str
    version: str


class PluginManager:
    """Loads plugins into one registry. Holds no global state: two managers know nothing of each other."""

    def __init__(self) -> None:
        self._pm = pluggy.PluginManager(PROJECT)
        self._pm.add_hookspecs(hookspecs)
        self.registry = Registry()
        self.loaded: list[Loaded] = []

    @classmethod
    def from_entry_points(cls, wanted: Sequence[str] = ()) -> PluginManager:
        """Load the built-ins and the installed plugins that are wanted by name.

        Raises:
            ConfigError: a wanted plugin is not installed.
            PluginError: one cannot be imported, or has a hook that is mistyped.
        """
        manager = cls()
        found = list(entry_points(group=GROUP))
        builtin = [point for point in found if _distribution(point)[0] == PROJECT]
        others = {point.name: point for point in found if point not in builtin}
        for point in sorted(builtin, key=lambda point: point.name):
            manager._load(point)
        for name in wanted:
            if name not in others:
                raise ConfigError(
                    f"no installed distribution offers a plugin named {name!r} in the entry-point group "
                    f"{GROUP!r}.{did_you_mean(name, others) if others else ' None is installed.'}",
                    path="plugins",
                )
            manager._load(others[name])
        return manager

    def register(self, plugin: object, name: str, *, distribution: str = "", version: str = "") -> None:
        """Add one plugin object or module.

        Raises:
            PluginError: a hook's name or argument is mistyped, a hook is a wrapper or wants another order, the
                plugin or its name is taken, or registering failed.
        """
        try:
            self._pm.register(plugin, name)
        except pluggy.PluginValidationError as error:
            raise PluginError(name, _explain(str(error))) from None
        except ValueError:
            raise PluginError(name, "is registered already, or another plugin has this name") from None
        try:
            self._check(plugin, name)
            self._call_register(plugin, name)
        except PluginError:
            self._pm.unregister(plugin)
            raise
        except Exception as error:
            self._pm.unregister(plugin)
            raise PluginError(name, f"raised {type(error).__name__}: {error}", hook=REGISTRATION) from error
        self.loaded.append(Loaded(name, distribution, version))

    def observers(self) -> Mapping[str, Iterable[tuple[str, Callable[..., Any]]]]:
        """Return the observer implementations, first registered first; shutdown last first."""
        found: dict[str, list[tuple[str, Callable[..., Any]]]] = {}
        for hook in OBSERVERS:
            impls = getattr(self._pm.hook, hook).get_hookimpls()  # pluggy: the last one in this list runs first
            ordered = [(impl.plugin_name, _adapt(impl)) for impl in impls]
            found[hook] = ordered[::-1] if hook == "shutdown" else ordered
        return found

    def _load(self, point: EntryPoint) -> None:
        distribution, version = _distribution(point)
        try:
            plugin = point.load()
        except ImportError as error:
            raise PluginError(
                point.name, f"cannot be imported ({error}); is the distribution {distribution!r} installed whole?"
            ) from error
        except Exception as error:
            raise PluginError(point.name, f"raised {type(error).__name__} while importing: {error}") from error
        self.register(plugin, point.name, distribution=distribution, version=version)

    def _check(self, plugin: object, name: str) -> None:
        known = (REGISTRATION, *OBSERVERS)
        for attribute in dir(plugin):
            value = getattr(plugin, attribute, None)
            options = getattr(value, f"{PROJECT}_impl", None)
            if not is_object(options):
                continue
            hook = str(options.get("specname") or attribute)
            if hook not in known:
                raise PluginError(name, f"there is no such hook.{did_you_mean(hook, known)}", hook=hook)
            if options.get("wrapper") or options.get("hookwrapper"):
                raise PluginError(
                    name, "is a wrapper; hooks here only register and observe, use a plain one", hook=hook
                )
            if options.get("tryfirst") or options.get("trylast"):
                raise PluginError(name, "asks for another order; hooks run in the order of loading", hook=hook)
            if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
                raise PluginError(name, "yields; it must return", hook=hook)
            if hook == REGISTRATION and inspect.iscoroutinefunction(value):
                raise PluginError(name, "must be a plain function, not 'async def'", hook=hook)

    def _call_register(self, plugin: object, name: str) -> None:
        for impl in getattr(self._pm.hook, REGISTRATION).get_hookimpls():
            if impl.plugin is plugin:
                _adapt(impl)(self.registry.registrar(name))


def _adapt(impl: Any) -> Callable[..., Any]:
    """Let an implementation leave out the record it does not need, as pluggy does."""
    function: Callable[..., Any] = impl.function
    if impl.argnames:
        return function
    return lambda *_record: function()


def _distribution(point: EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return ("", "") if dist is None else (dist.name, dist.version)


def _explain(message: str) -> str:
    return " ".join(message.split()) + ". Each hook takes the one argument that docs/hooks.md shows."
