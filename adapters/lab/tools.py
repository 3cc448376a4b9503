"""What the lab is given to work with: it measures policies without knowing any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...middleware.protocols import Acceptance, ContextReader, Embedder
    from ...middleware.records import JsonObject


class Model(Protocol):
    """What a fit makes: coefficients, as `policies.acceptance.model` reads them."""

    def __call__(
        self,
        *,
        embedder: str,
        bias: float,
        knots: Sequence[float],
        slopes: Sequence[float],
        weights: Sequence[float],
        cut: float,
        vetoed: float,
    ) -> tuple[JsonObject, Acceptance]:
        """Return the file's content and the policy it makes.

        Raises:
            ValueError: the coefficients don't hold together.
        """
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a policy sees the words of two questions.

    Attributes:
        names: of the features, in order.
        signs: for each 1 where it may only speak for a pair, -1 where only against it, 0 where it may do either.
        compare: features of two questions, and the label of what rules the pair out or None.
        model: makes a policy of coefficients.
    """

    names: Sequence[str]
    signs: Sequence[int]
    compare: Callable[[str, str], tuple[Sequence[float], str | None]]
    model: Model


@dataclass(frozen=True, slots=True)
class Contender:
    """An acceptance policy to measure.

    Attributes:
        policy: decides.
        ranks: the same with its cut as low as can be: its confidence is the score that curves are drawn of.
    """

    policy: Acceptance
    ranks: Acceptance


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything the lab of acceptance uses.

    Attributes:
        embedder: makes the embedder; it is started and stopped by the lab.
        reader: reads conversations.
        contenders: policies by name, the one that matters first.
        evidence: for fitting.
        streamed: policies for streams, for an allowed share of wrong hits: by name, what each promises, and what makes it anew.
    """

    embedder: Callable[[], Embedder]
    reader: ContextReader
    contenders: Mapping[str, Contender]
    evidence: Evidence
    streamed: Callable[[float], Mapping[str, tuple[float | None, Callable[[], Acceptance]]]]
