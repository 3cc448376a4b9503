"""forebay: middleware in front of the LLM serving stacks people already run.

This is the public face: what a plugin author imports. Everything else is reached through the configuration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forebay.middleware.admission.tickets import Formed, Load, Objective, Refusal, Served, Ticket, Waiting
    from forebay.middleware.analysis.facts import (
        Difficulty,
        Fingerprint,
        Length,
        Neighbours,
        Outcome,
        Priority,
        Profile,
        RequestFacts,
        Staleness,
        Subject,
        Urgency,
        Volatility,
        Work,
    )
    from forebay.middleware.analysis.strategies import (
        Choice,
        Situation,
        Strategy,
    )
    from forebay.middleware.analysis.stream import (
        Arrival,
        Forecast,
        Pattern,
        Savings,
        StreamFacts,
    )
    from forebay.middleware.batch import handle_many
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
        Query,
        Reading,
        Request,
        Verdict,
    )
    from forebay.middleware.registry import (
        ACCEPTANCE,
        ANALYZER,
        ANSWER_CHECK,
        BATCH_FORMER,
        CLASSIFIER,
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
        PREDICTOR,
        SHEDDING,
        STORE,
        STRATEGY,
        STREAM,
        Build,
        NoSettings,
        Registrar,
        Settings,
    )
    from forebay.middleware.runtime import Runtime
    from forebay.middleware.version import __version__

_NAMES = {
    "admission.tickets": ("Formed", "Load", "Objective", "Refusal", "Served", "Ticket", "Waiting"),
    "analysis.facts": (
        "Difficulty",
        "Fingerprint",
        "Length",
        "Neighbours",
        "Outcome",
        "Priority",
        "Profile",
        "RequestFacts",
        "Staleness",
        "Subject",
        "Urgency",
        "Volatility",
        "Work",
    ),
    "analysis.strategies": (
        "Choice",
        "Situation",
        "Strategy",
    ),
    "analysis.stream": (
        "Arrival",
        "Forecast",
        "Pattern",
        "Savings",
        "StreamFacts",
    ),
    "batch": ("handle_many",),
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
        "Query",
        "Reading",
        "Request",
        "Verdict",
    ),
    "registry": (
        "ACCEPTANCE",
        "ANALYZER",
        "ANSWER_CHECK",
        "CLASSIFIER",
        "COMMAND",
        "CONTEXT",
        "EMBEDDER",
        "ENGINE",
        "EVICTION",
        "EXPIRY",
        "EXPORTER",
        "JUDGE",
        "BATCH_FORMER",
        "LIMIT",
        "ORDERING",
        "SHEDDING",
        "PREDICTOR",
        "STORE",
        "STRATEGY",
        "STREAM",
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
    "BATCH_FORMER",
    "CLASSIFIER",
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
    "PREDICTOR",
    "SHEDDING",
    "STORE",
    "STRATEGY",
    "STREAM",
    "Answer",
    "AnswerPair",
    "Arrival",
    "Asked",
    "Audit",
    "Build",
    "Candidate",
    "Check",
    "Choice",
    "Config",
    "Decision",
    "Difficulty",
    "Entry",
    "Evicted",
    "Fingerprint",
    "Finished",
    "ForebayError",
    "Forecast",
    "Formed",
    "Health",
    "Judgement",
    "Key",
    "Length",
    "Load",
    "Neighbours",
    "NoSettings",
    "Objective",
    "Outcome",
    "Pattern",
    "Priority",
    "Profile",
    "Query",
    "Reading",
    "Refusal",
    "Registrar",
    "Request",
    "RequestFacts",
    "Runtime",
    "Savings",
    "Served",
    "Settings",
    "Situation",
    "Staleness",
    "Started",
    "Stored",
    "Strategy",
    "StreamFacts",
    "Subject",
    "Ticket",
    "Urgency",
    "Verdict",
    "Volatility",
    "Waiting",
    "Work",
    "__version__",
    "handle_many",
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
