"""Builds request analysis as the configuration names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from .. import registry as kinds
from ..admission.tickets import Objective
from .facts import Priority
from .goodput import Goodput
from .learning import Memory
from .stop import Analysis, Parts
from .watch import StreamWatch

if TYPE_CHECKING:
    from ..admission.lanes import Lanes
    from ..config import Config, Spec
    from ..state import StateStore
    from ..telemetry import Telemetry
    from .protocols import Learned

T = TypeVar("T")


class Make(Protocol):
    """Makes one configured component; `path` is its place in the configuration."""

    def __call__(self, kind: kinds.Kind[T], spec: Spec, path: str) -> T:
        """Return it.

        Raises:
            ConfigError, PluginError: it cannot be made.
        """
        ...


def build_analysis(config: Config, make: Make, lanes: Lanes, state: StateStore, telemetry: Telemetry) -> Analysis:
    """Return the analysis of one process, with what an earlier one has learned.

    Raises:
        ConfigError, PluginError: a part cannot be made.
    """
    budget_s = config.analysis.budget_ms / 1000
    classifiers = {spec.type: make(kinds.CLASSIFIER, spec, f"classifiers.{spec.type}") for spec in config.classifiers}
    predictors = {spec.type: make(kinds.PREDICTOR, spec, f"predictors.{spec.type}") for spec in config.predictors}
    stream = {spec.type: make(kinds.STREAM, spec, f"stream.{spec.type}") for spec in config.stream}
    learned: dict[str, Learned] = {
        **{f"predictors.{name}": part for name, part in predictors.items()},
        **{f"stream.{name}": part for name, part in stream.items()},
    }
    objectives = {
        Priority(name): Objective(one.ttft_s, one.tpot_s, one.total_s)
        for name, one in (
            ("interactive", config.objectives.interactive),
            ("standard", config.objectives.standard),
            ("batch", config.objectives.batch),
            ("background", config.objectives.background),
        )
    }
    parts = Parts(
        classifiers=classifiers,
        predictors=predictors,
        strategist=make(kinds.STRATEGY, config.strategy, "strategy"),
        watch=StreamWatch(stream, telemetry, budget_s),
        goodput=Goodput(objectives),
        memory=Memory(learned, state),
    )
    return Analysis(parts, lanes, telemetry, budget_s=budget_s)
