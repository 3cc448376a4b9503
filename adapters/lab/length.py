"""``forebay lab length``: measure how well the length of answers is predicted, on one's own prompts."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from ...middleware.analysis.facts import Subject
from ...middleware.errors import ConfigError
from ...middleware.keys import Keyring, canonical_text, make_key, text_of
from ...middleware.records import Request
from .judging import embed_all
from .length_measure import ByInput, Exchange, Running, folded, prequential, rows_of
from .length_report import draw, show
from .length_rows import read_lengths
from .report import as_json, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...middleware.analysis.protocols import Classifier, Predictor
    from ...middleware.protocols import Analyzer, Embedder
    from ...middleware.records import Vector
    from .length_measure import Measured
    from .length_rows import Asked

COMMAND: Final = "lab length"
SHIPPED: Final = "length"
NO_VECTOR: Final = "length, no vector"

_KEYRING: Final = Keyring.from_secret("prompts of the lab are no secret")
_SEED: Final = 5
_LEAST_FOLDS: Final = 2


@dataclass(frozen=True, slots=True)
class LengthTools:
    """What the lab of length prediction works with.

    Attributes:
        predictor: makes the shipped predictor anew.
        embedder: makes the embedder; it is started and stopped by the lab. None where there is none.
        analyzer: makes the analyzer.
        classifiers: make the classifiers that run before the predictor.
        fingerprint: makes the predictor that finds templates, None where there is none.
    """

    predictor: Callable[[], Predictor]
    embedder: Callable[[], Embedder] | None
    analyzer: Callable[[], Analyzer]
    classifiers: Callable[[], Sequence[Classifier]] = tuple
    fingerprint: Callable[[], Predictor] | None = None


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay lab length``."""
    made = argparse.ArgumentParser(
        prog="forebay lab length",
        description="Measure how well the length of answers is predicted: prequential (predict, then learn, in the order of the "
        "file) and in folds by prompt.",
        epilog="A file is JSON lines (or .gz) with prompt or messages, and output_tokens (perhaps model and tenant) or "
        "out_tokens_est (a number for each model).",
    )
    made.add_argument("files", nargs="*", type=Path, metavar="FILE")
    made.add_argument("--folds", type=int, default=5, metavar="N", help="number of folds, 0 for none (5)")
    made.add_argument("--skip", type=int, default=300, metavar="N", help="prompts before prequential counts (300)")
    made.add_argument("--no-vectors", action="store_true", help="do not embed the prompts")
    made.add_argument("--json", type=Path, metavar="FILE", dest="json_file", help="write the report as JSON")
    made.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw predicted against true, and tau as it learns (PNG)"
    )
    return made


def run(tools: LengthTools, args: Sequence[str], console: Console | None = None) -> int:
    """Run the command and return its exit status.

    Raises:
        ForebayError: a file cannot be read or is too short, or the model is not installed.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    out = console or Console()
    if not options.files:
        raise ConfigError("name a file of prompts with the lengths of their answers")
    if options.skip < 0 or options.folds < 0 or options.folds == 1:
        raise ConfigError(f"--skip must be at least 0, and --folds 0 or at least {_LEAST_FOLDS}")
    rows: list[dict[str, Any]] = []
    for path in options.files:
        measured = measure(
            tools, read_lengths(path), vectors=not options.no_vectors, folds=options.folds, skip=options.skip
        )
        if not measured:
            raise ConfigError(f"{path.name} has too few prompts; give more, or a smaller --skip and --folds")
        here = [row for one in measured for row in rows_of(path.name, one)]
        show(out, here)
        rows += here
        if options.plot is not None:
            target = (
                options.plot if path is options.files[0] else options.plot.with_stem(f"{options.plot.stem}-{path.stem}")
            )
            draw(target, path.name, measured)
            out.print(f"drawn: {target}", soft_wrap=True)
    if options.json_file is not None:
        write_json(options.json_file, as_json(COMMAND, rows))
    return 0


def measure(tools: LengthTools, asked: Sequence[Asked], *, vectors: bool, folds: int, skip: int) -> list[Measured]:
    """Return what each contender says in each mode that the number of prompts allows."""
    embedder = tools.embedder() if vectors and tools.embedder is not None else None
    exchanges = exchanges_of(tools, asked, embedder)
    contenders: dict[str, tuple[Callable[[], Predictor], Sequence[Exchange]]] = {}
    blind = [_blind(each) for each in exchanges]
    if embedder is not None:
        contenders[SHIPPED] = tools.predictor, exchanges
    contenders[NO_VECTOR if embedder is not None else SHIPPED] = tools.predictor, blind
    contenders["prompt length"] = ByInput, blind
    contenders["running quantiles"] = Running, blind
    measured: list[Measured] = []
    if len(exchanges) > skip:
        measured += [prequential(name, make, given, skip) for name, (make, given) in contenders.items()]
    if _LEAST_FOLDS <= folds <= len(exchanges):
        measured += [folded(name, make, given, folds, _SEED) for name, (make, given) in contenders.items()]
    return measured


def exchanges_of(tools: LengthTools, asked: Sequence[Asked], embedder: Embedder | None) -> list[Exchange]:
    """Return the prompts as the predictor meets them: with key, facts and vector."""
    texts = [_question(each) for each in asked]
    vectors: Mapping[str, Vector] = {}
    if embedder is not None:
        vectors = asyncio.run(embed_all(embedder, list(dict.fromkeys(filter(None, texts)))))
    facts = _Facts(tools)
    return [
        Exchange({model: facts.subject(f"{at}", model, each, vectors.get(text)) for model in each.tokens}, each.tokens)
        for at, (each, text) in enumerate(zip(asked, texts, strict=True))
    ]


class _Facts:
    """Finds the facts of the lab's prompts, as the pipeline does."""

    def __init__(self, tools: LengthTools) -> None:
        self._analyzer = tools.analyzer()
        self._classifiers = list(tools.classifiers())
        self._fingerprint = tools.fingerprint() if tools.fingerprint is not None else None

    def subject(self, name: str, model: str, asked: Asked, vector: Vector | None) -> Subject:
        """Return what the predictor is told."""
        request = Request(f"{name}/{model}", model, asked.messages, tenant=asked.tenant)
        facts = self._analyzer.analyze(request)
        for classifier in self._classifiers:
            facts = classifier.classify(request, facts)
        subject = Subject(request, facts, make_key(request, _KEYRING), vector)
        if self._fingerprint is not None:
            subject = replace(subject, facts=self._fingerprint.predict(subject))
        return subject


def _question(asked: Asked) -> str:
    last = asked.messages[-1]
    return canonical_text(text_of(last.get("content"))[0]) if last.get("role") == "user" else ""


def _blind(exchange: Exchange) -> Exchange:
    subjects = {model: replace(subject, vector=None) for model, subject in exchange.subjects.items()}
    return Exchange(subjects, exchange.tokens)
