"""``forebay lab acceptance``: measure acceptance policies on labelled pairs, and fit one."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from ...middleware.errors import ConfigError
from .fitting import fit_model
from .judging import cases_of
from .pairs import read_pairs
from .plot import draw
from .report import Measured, as_json, measure, rows_of, show, show_mistakes, write_json
from .streams import show_streams, stream_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .judging import Case
    from .pairs import LabelledPair
    from .tools import Tools

COMMAND: Final = "lab acceptance"
FITTED: Final = "fitted (out of fold)"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay lab acceptance``."""
    made = argparse.ArgumentParser(
        prog="forebay lab acceptance",
        description="Measure which of labelled pairs would share an answer, and which of those must not.",
        epilog="A file is JSON lines with a, b, same_answer (a and b a question or a list of messages; perhaps category), or "
        "tab-separated text_a, text_b, label (*.tsv); either may be gzipped.",
    )
    made.add_argument("files", nargs="*", type=Path, metavar="FILE")
    made.add_argument(
        "--stream",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="replay a labelled stream in order: CSV with text and category",
    )
    made.add_argument("--delta", type=float, default=0.02, metavar="D", help="for streams: wrong hits over hits (0.02)")
    made.add_argument("--json", type=Path, metavar="FILE", dest="json_file", help="write the report as JSON")
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw true against false hits and reliability (PNG)")
    made.add_argument(
        "--mistakes", type=int, default=0, metavar="N", help="print the N worst mistakes of each kind, with texts"
    )
    made.add_argument("--fit", type=Path, metavar="OUT", help="fit a model to these pairs and write it")
    return made


def run(tools: Tools, args: Sequence[str], console: Console | None = None) -> int:
    """Run the command and return its exit status.

    Raises:
        ForebayError: a file cannot be read, the model is not installed, or there is too little to fit on.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    out = console or Console()
    if not 0 < options.delta < 1:
        raise ConfigError("--delta must lie between 0 and 1")
    if not options.files and not options.stream:
        raise ConfigError("name a file of labelled pairs, or a labelled stream with --stream")
    streams = stream_rows(tools, options.stream, options.delta) if options.stream else []
    if streams:
        show_streams(out, streams)
    rows = [*streams, *(_pairs(tools, options, out) if options.files else [])]
    if options.json_file is not None:
        write_json(options.json_file, as_json(COMMAND, rows))
    return 0


def _pairs(tools: Tools, options: argparse.Namespace, out: Console) -> list[dict[str, Any]]:
    """Measure on labelled pairs; fit, show and draw as asked."""
    files = [(path.name, read_pairs(path)) for path in options.files]
    rows, cases, measured = measure_files(tools, files, {})
    if options.fit is not None:
        one = _fit(tools, cases, options.fit, out)
        rows += rows_of("+".join(name for name, _ in files), [case for case in cases if case.comparable], [one])
    show(out, rows, "labelled pairs")
    if options.mistakes:
        compare = tools.evidence.compare
        evidence = [compare(case.asked.key.text, case.candidate.entry.question)[0] for case in cases]
        show_mistakes(out, cases, measured[0], names=tools.evidence.names, evidence=evidence, most=options.mistakes)
    if options.plot is not None:
        title = f"{', '.join(name for name, _ in files)}: {len(cases)} pairs"
        draw(options.plot, title, [case.pair.same for case in cases], measured)
        out.print(f"drawn: {options.plot}", soft_wrap=True)
    return rows


def measure_files(
    tools: Tools, files: Sequence[tuple[str, Sequence[LabelledPair]]], rules: Mapping[str, float]
) -> tuple[list[dict[str, Any]], list[Case], list[Measured]]:
    """Return the rows of each file, and the cases of all files together with what each policy does with them.

    Args:
        rules: further cuts on the plain cosine, by name.
    """
    pairs = [pair for _, part in files for pair in part]
    cases = asyncio.run(cases_of(pairs, tools.embedder(), tools.reader))
    measured = measure(cases, tools.contenders, rules)
    rows: list[dict[str, Any]] = []
    at = 0
    for name, part in files:
        here = cases[at : at + len(part)]
        at += len(part)
        # the best cut on the cosine is another one for each file
        rows += rows_of(name, here, measured if len(files) == 1 else measure(here, tools.contenders, rules))
    return rows, cases, measured


def _fit(tools: Tools, cases: Sequence[Case], path: Path, out: Console) -> Measured:
    made = datetime.now(UTC).date().isoformat()
    content, _, sure = fit_model(cases, tools.evidence, tools.embedder().model_id, made=made)
    write_json(path, content)
    out.print(
        f"fitted: {path}; use it with acceptance: {{ type: calibrated, model: {path} }}", markup=False, soft_wrap=True
    )
    return Measured(FITTED, sure, [one >= content["cut"] for one in sure])
