"""The built-in classifiers: how urgent a request is, and how soon its answer goes stale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from ..middleware.analysis.facts import Priority  # noqa: TC001  (pydantic reads it)
from ..middleware.background import TENANT
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import CLASSIFIER, Build, NoSettings, Registrar, Settings
from ..policies.priority.classes import PriorityClassifier
from ..policies.priority.rules import MAX_VALUE, Rule, conditions
from ..policies.volatility.classes import VolatilityClassifier

if TYPE_CHECKING:
    from ..middleware.analysis.protocols import Classifier


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_one_or_many)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{0,40}$")]


class RuleSettings(Settings):
    """Requests of which all that is given here holds belong to a class; see `Rule`.

    Attributes:
        priority: interactive, standard, batch or background.
        name: shown in reasons; small letters, digits, ``-`` and ``_``.
        model, tenant, endpoint, key, team, user: a shell's pattern or a list of them.
        header, metadata, label: the same by name.
        stream, batch: whether it streams, whether it is a list of inputs.
        deadline_below_s: the caller waits for less.
        min_input_tokens, max_input_tokens: size of the prompt.
    """

    priority: Priority
    name: Name = ""
    model: Patterns = ()
    tenant: Patterns = ()
    endpoint: Patterns = ()
    key: Patterns = ()
    team: Patterns = ()
    user: Patterns = ()
    header: dict[str, Patterns] = Field(default_factory=dict)
    metadata: dict[str, Patterns] = Field(default_factory=dict)
    label: dict[str, Patterns] = Field(default_factory=dict)
    stream: bool | None = None
    batch: bool | None = None
    deadline_below_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    min_input_tokens: Annotated[int, Field(ge=0)] | None = None
    max_input_tokens: Annotated[int, Field(ge=0)] | None = None

    @field_validator("header", "metadata", "label")
    @classmethod
    def _has_patterns(cls, value: dict[str, Patterns]) -> dict[str, Patterns]:
        for name, patterns in value.items():
            if not name or not patterns:
                raise ValueError('give a name and a pattern, for example "x-app: report-*"; "*" is any value')
        return value

    @model_validator(mode="after")
    def _can_match(self) -> RuleSettings:
        least, most = self.min_input_tokens, self.max_input_tokens
        if least is not None and most is not None and least > most:
            raise ValueError("no prompt has at least min_input_tokens and at most max_input_tokens: swap them")
        return self

    def rule(self) -> Rule:
        """Return it as the policy takes it."""
        return Rule(**{name: getattr(self, name) for name in type(self).model_fields})


class PrioritySettings(Settings):
    """How a request's priority class is found.

    Attributes:
        rules: the first that matches decides.
        trust_client: the callers' own wishes raise the class, too, not only lower it.
    """

    rules: tuple[RuleSettings, ...] = ()
    trust_client: bool = False

    @field_validator("rules")
    @classmethod
    def _each_can_be_reached(cls, value: tuple[RuleSettings, ...]) -> tuple[RuleSettings, ...]:
        for number, rule in enumerate(value[:-1], start=1):
            if not conditions(rule.rule()):
                raise ValueError(f"rule {number} matches every request: put it last, or say which it is about")
        return value


def _make_priority(settings: PrioritySettings, build: Build) -> Classifier:  # noqa: ARG001
    rules = [rule.rule() for rule in settings.rules]
    return PriorityClassifier(rules, trust_client=settings.trust_client, background=TENANT)


def _make_volatility(settings: NoSettings, build: Build) -> Classifier:  # noqa: ARG001
    return VolatilityClassifier()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register the classifiers "priority" and "volatility"."""
    registry.add(CLASSIFIER, "priority", _make_priority, settings=PrioritySettings)
    registry.add(CLASSIFIER, "volatility", _make_volatility, settings=NoSettings)
