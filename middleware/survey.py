"""Looks at a batch before it is run: what the stream's analyzers would be told of its members, had they come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .analysis.facts import Subject
from .analysis.watch import arrival_of
from .keys import UncacheableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .analysis.facts import RequestFacts
    from .analysis.protocols import Predictor
    from .analysis.stream import Arrival, Savings
    from .protocols import Analyzer, Embedder
    from .records import Key, Request, Vector

EMBEDDED_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Survey:
    """Says what a batch will save; give it to `handle_many` as `expect`.

    Attributes:
        analyzer, key_of, embedder: those of the pipeline. Vectors are made as the lookup would; it finds them remembered.
        savings: reckons what the arrivals save.
        predictors: in their order; the length of the answers is what tokens are reckoned with.
        prompt_scale: prompt tokens as the engine counts them over those that were estimated, of late.
    """

    analyzer: Analyzer
    key_of: Callable[[Request], Key]
    savings: Callable[[Sequence[Arrival]], Savings]
    embedder: Embedder | None = None
    predictors: Sequence[Predictor] = ()
    prompt_scale: float = 1.0

    async def __call__(self, requests: Sequence[Request]) -> Savings:
        """Return the savings.

        Raises:
            EmbedderError: no vectors could be made.
        """
        return self.savings(await self.arrivals(requests))

    async def arrivals(self, requests: Sequence[Request], *, now_s: float = 0.0) -> list[Arrival]:
        """Return the members as arrivals, in order; those that cannot be kept have no key.

        Raises:
            EmbedderError: no vectors could be made.
        """
        facts = [self.analyzer.analyze(request) for request in requests]
        keys = [self._key(request, found) for request, found in zip(requests, facts, strict=True)]
        compared = {key.text for key, found in zip(keys, facts, strict=True) if key is not None and found.semantic}
        vectors = await self._vectors(list(compared))
        return [
            self._arrival(
                request, found, key, vectors.get(key.text) if key is not None and found.semantic else None, now_s
            )
            for request, found, key in zip(requests, facts, keys, strict=True)
        ]

    def _key(self, request: Request, facts: RequestFacts) -> Key | None:
        controls = request.controls
        if not facts.cacheable or controls.bypass or controls.no_cache or controls.no_store:
            return None
        try:
            return self.key_of(request)
        except UncacheableError:
            return None

    async def _vectors(self, texts: list[str]) -> dict[str, Vector]:
        made: dict[str, Vector] = {}
        if self.embedder is not None:
            for start in range(0, len(texts), EMBEDDED_AT_ONCE):
                some = texts[start : start + EMBEDDED_AT_ONCE]
                made.update(zip(some, await self.embedder.embed(some), strict=True))
        return made

    def _arrival(
        self, request: Request, facts: RequestFacts, key: Key | None, vector: Vector | None, now_s: float
    ) -> Arrival:
        subject = Subject(request, facts, key, vector, now_s)
        for predictor in self.predictors:
            subject = replace(subject, facts=predictor.predict(subject))
        return arrival_of(request, key, subject.facts, vector, now_s, prompt_scale=self.prompt_scale)
