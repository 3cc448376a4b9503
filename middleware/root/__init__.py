"""forebay: middleware in front of the LLM serving stacks people already run.

This is the public face: what a plugin author imports. Everything else is reached through the configuration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forebay.middleware.config import Config, load_config
    from forebay.middleware.errors import ForebayError
    from forebay.middleware.events import Check, Decision, Evicted, Finished, Health, Started, Stored
    from forebay.middleware.hookspecs import hookimpl
    from forebay.middleware.records import (
        Answer,
        AnswerPair,
        Asked,
        Audit,
        Candidate,
        Entry,
        Judgement,
        Key,
        Load,
        Query,
        Reading,
        Request,
        RequestFacts,
        Ticket,
        Verdict,
    )
    from forebay.middleware.registry import (
        ACCEPTANCE,
        ANALYZER,
        ANSWER_CHECK,
        COMMAND,
        CONTEXT,
        EMBEDDER,
        ENGINE,
        EVICTION,
        EXPIRY,
        EXPORTER,
        JUDGE,
        LIMIT,
        ORDERING,
        STORE,
        Build,
        NoSettings,
        Registrar,
        Settings,
    )
    from forebay.middleware.runtime import Runtime
    from forebay.middleware.version import __version__

_NAMES = {
    "config": ("Config", "load_config"),
    "errors": ("ForebayError",),
    "hookspecs": ("hookimpl",),
    "events": ("Check", "Decision", "Evicted", "Finished", "Health", "Started", "Stored"),
    "records": (
        "Answer",
        "AnswerPair",
        "Asked",
        "Audit",
        "Candidate",
        "Entry",
        "Judgement",
        "Key",
        "Load",
        "Query",
        "Reading",
        "Request",
        "RequestFacts",
        "Ticket",
        "Verdict",
    ),
    "registry": (
        "ACCEPTANCE",
        "ANALYZER",
        "ANSWER_CHECK",
        "COMMAND",
        "CONTEXT",
        "EMBEDDER",
        "ENGINE",
        "EVICTION",
        "EXPIRY",
        "EXPORTER",
        "JUDGE",
        "LIMIT",
        "ORDERING",
        "STORE",
        "Build",
        "NoSettings",
        "Registrar",
        "Settings",
    ),
    "runtime": ("Runtime",),
    "version": ("__version__",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "ACCEPTANCE",
    "ANALYZER",
    "ANSWER_CHECK",
    "COMMAND",
    "CONTEXT",
    "EMBEDDER",
    "ENGINE",
    "EVICTION",
    "EXPIRY",
    "EXPORTER",
    "JUDGE",
    "LIMIT",
    "ORDERING",
    "STORE",
    "Answer",
    "AnswerPair",
    "Asked",
    "Audit",
    "Build",
    "Candidate",
    "Check",
    "Config",
    "Decision",
    "Entry",
    "Evicted",
    "Finished",
    "ForebayError",
    "Health",
    "Judgement",
    "Key",
    "Load",
    "NoSettings",
    "Query",
    "Reading",
    "Registrar",
    "Request",
    "RequestFacts",
    "Runtime",
    "Settings",
    "Started",
    "Stored",
    "Ticket",
    "Verdict",
    "__version__",
    "hookimpl",
    "load_config",
]


def __getattr__(name: str) -> Any:
    # loaded when first used: `import forebay` stays cheap for hosts that only look for it
    if name not in _HOME:
        raise AttributeError(f"module 'forebay' has no attribute {name!r}")
    return getattr(import_module(f"forebay.middleware.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
