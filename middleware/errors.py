"""Every error forebay raises on purpose.

::

    ForebayError
    ├── ConfigError            a setting is wrong; names the file, the path in it and the fix
    ├── PluginError            a plugin or component cannot be loaded or built
    │   └── MissingExtraError  an optional dependency is not installed
    ├── AdapterError           something forebay talks to did not do its part
    │   ├── StoreError         the answer store
    │   │   ├── StoreBusyError          another process holds it
    │   │   └── StoreMismatchError      it holds vectors or a schema of another shape
    │   ├── EmbedderError      the embedder
    │   ├── EngineError        the engine; carries its HTTP status
    │   └── CoordinationError  what the workers agree through
    ├── PayloadError           a kept answer is corrupted, unsigned or of a schema we do not read
    └── ShedError              work was refused on purpose (429 or 503 with Retry-After)

The text of each is shown to an operator: it says what is wrong and what to change, and never holds
prompt or answer text. At run time only `ShedError` may end a request; the rest are counted, traced and
turned into a cache miss.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ForebayError(Exception):
    """Base of every error here; its text is meant for an operator."""


class ConfigError(ForebayError):
    """A setting is wrong.

    Args:
        problem: what is wrong and what to change.
        path: dotted path of the setting, "" for the whole file.
        source: file name or environment variable it came from.
    """

    def __init__(self, problem: str, *, path: str = "", source: str = "") -> None:
        self.problem = problem
        self.path = path
        self.source = source
        where = ": ".join(part for part in (source, path) if part)
        super().__init__(f"{where}: {problem}" if where else problem)


class PluginError(ForebayError):
    """A plugin, or a component a plugin registered, cannot be used."""

    def __init__(self, plugin: str, problem: str, *, hook: str = "") -> None:
        self.plugin = plugin
        self.hook = hook
        at = f" (hook {hook})" if hook else ""
        super().__init__(f"plugin {plugin!r}{at}: {problem}")


class MissingExtraError(PluginError):
    """A component needs a package that is not installed."""

    def __init__(self, plugin: str, *, module: str, extra: str) -> None:
        self.module = module
        self.extra = extra
        super().__init__(plugin, f"needs the package {module!r}; install it with: pip install 'forebay[{extra}]'")


class AdapterError(ForebayError):
    """Something forebay talks to did not do its part."""


class StoreError(AdapterError):
    """The answer store failed or cannot be reached."""


class StoreBusyError(StoreError):
    """The store is held by another process."""


class StoreMismatchError(StoreError):
    """The store holds vectors or a schema of another shape than this configuration makes."""


class EmbedderError(AdapterError):
    """The embedder failed, or its model files are not the expected ones."""


class EngineError(AdapterError):
    """The engine answered with an error, or not at all.

    Args:
        problem: what happened.
        status: HTTP status of the engine's answer, None where there was none.
    """

    def __init__(self, problem: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(problem)


class CoordinationError(AdapterError):
    """The workers cannot agree now: what they agree through is down or slow, or this process is not one of them."""


class PayloadError(ForebayError):
    """A kept answer is corrupted, carries a wrong signature, or has a schema this version does not read."""


class ShedError(ForebayError):
    """Work was refused on purpose.

    Args:
        reason: bounded label, for example ``queue_full``.
        status: HTTP status, 429 or 503.
        retry_after_s: whole seconds for the Retry-After header, at least 1.
    """

    def __init__(self, reason: str, *, status: int = 429, retry_after_s: int = 1) -> None:
        self.reason = reason
        self.status = status
        self.retry_after_s = max(1, retry_after_s)
        super().__init__(f"refused by forebay ({reason}); try again in {self.retry_after_s} s")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known word, else a list of the known ones."""
    options = sorted(known)
    close = get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f" Known: {', '.join(options)}." if options else ""
