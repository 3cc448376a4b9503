"""The built-in judges of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from ..middleware.errors import ConfigError
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import JUDGE, Build, NoSettings, Registrar, Settings

if TYPE_CHECKING:
    from ..middleware.protocols import Judge

Cosine = Annotated[float, Field(ge=-1, le=1)]


class AgreementSettings(Settings):
    """How near the answers' meanings are; the defaults are for the embedder ``minilm``.

    Attributes:
        same_at: cosine from which answers without a sign of a difference are the same.
        different_at: cosine up to which answers are different.
    """

    same_at: Cosine = 0.90
    different_at: Cosine = 0.25

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.different_at < self.same_at:
            msg = "different_at must be below same_at"
            raise ValueError(msg)
        return self


class LLMSettings(Settings):
    """A language model says whether two answers say the same, through the configured engine.

    Attributes:
        model: what the engine is asked for; "" where the engine's own setting says which. In a LiteLLM proxy it is needed.
        timeout_s: for one call.
        most_chars: longer answers are not judged.
        twice: ask whether they say the same and whether they differ, and decide only where both replies fit together.
    """

    model: str = ""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 25.0
    most_chars: Annotated[int, Field(ge=1)] = 12_000
    twice: bool = True


class CascadeSettings(Settings):
    """Equality, then agreement where there is an embedder, then a model where ``llm`` says which.

    Attributes:
        agreement: settings of that judge.
        llm: settings of that judge; without them no model is asked: it costs tokens for every audit that comes so far.
    """

    agreement: AgreementSettings = AgreementSettings()
    llm: LLMSettings | None = None


def _make_equality(settings: NoSettings, build: Build) -> Judge:  # noqa: ARG001
    from ..adapters.judges.equality import EqualityJudge

    return EqualityJudge()


def _make_agreement(settings: AgreementSettings, build: Build) -> Judge:
    from ..adapters.judges.agreement import AgreementJudge

    if build.embedder is None:
        raise ConfigError("the judge 'agreement' needs an embedder; 'equality' works without one")
    return AgreementJudge(build.embedder, same_at=settings.same_at, different_at=settings.different_at)


def _make_llm(settings: LLMSettings, build: Build) -> Judge:
    from ..adapters.judges.llm import LLMJudge

    if build.engine is None:
        raise ConfigError("the judge 'llm' needs an engine to ask; configure 'engine', or litellm.billed_to in a proxy")
    return LLMJudge(
        build.engine,
        model=settings.model,
        timeout_s=settings.timeout_s,
        most_chars=settings.most_chars,
        twice=settings.twice,
    )


def _make_cascade(settings: CascadeSettings, build: Build) -> Judge:
    from ..adapters.judges.cascade import CascadeJudge

    judges = [("equality", _make_equality(NoSettings(), build))]
    if build.embedder is not None:
        judges.append(("agreement", _make_agreement(settings.agreement, build)))
    if settings.llm is not None:
        judges.append(("llm", _make_llm(settings.llm, build)))
    return CascadeJudge(judges)


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "equality", "agreement", "llm" and "cascade"."""
    registry.add(JUDGE, "equality", _make_equality, settings=NoSettings)
    registry.add(JUDGE, "agreement", _make_agreement, settings=AgreementSettings)
    registry.add(JUDGE, "llm", _make_llm, settings=LLMSettings)
    registry.add(JUDGE, "cascade", _make_cascade, settings=CascadeSettings)
