"""Writes docs/conformance.md."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.conformance.cells import Cell
    from tests.conformance.checker import Check, Verdict
    from tests.conformance.clients import Row

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "conformance.md"
LOCK: Final = Path(__file__).with_name("package-lock.json")
COMMAND: Final = "pytest tests/conformance --write-tables"
HEAD: Final = f"""# What a client gets: conformance on a real LiteLLM proxy

Written by `{COMMAND}`; a test compares this file with what its run found. Each request is
sent to LiteLLM {{litellm}} alone and to the same LiteLLM with forebay, in front of one scripted engine that gives every
answer an id of its own.

- **same**: what LiteLLM alone answers, event by event; ids and times aside, which no two computations share.
- **as miss**: a hit that equals the first answer with its id, without a request to the engine. Whole answers are equal in
  every byte of their JSON; streams in what their events add up to, and in the order of the kinds of events. They
  may be cut at other places, and the time in a stream's chunks is LiteLLM's own, with and without forebay. The id of a
  response is compared decrypted: LiteLLM encrypts it anew each time it hands it out.
- **passed through**: computed anew, with the reason.
- **-**: there is no such thing.
"""
NOTES: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


REASONS: Final = {
    "not handled": "forebay takes no part in this call",
    "edited": "LiteLLM decrypts the id of the previous response after forebay's lookup, which makes it another request",
    "empty": "a refusal has no text, and an answer without text is not kept",
    "refusal": "a refusal is not kept",
    "no_answer_seen": "LiteLLM offers no answer for keeping",
    "finish_reason_null": "LiteLLM makes one choice of a stream's choices, and that is not kept",
    "wrong_choice_count": "LiteLLM makes one choice of a stream's choices, and that is not kept",
    "logprobs_missing": "LiteLLM leaves the log probabilities out of the stream, and an answer without them is not kept",
}
"""What forebay's labels mean here; others are shown as they are."""


class Notes:
    """Long cells become letters, explained below their table."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def short(self, text: str) -> str:
        head, _, reason = text.partition(": ")
        if head == "not applicable":
            return "-"
        if not reason:
            return head
        reason = REASONS.get(reason, reason)
        letter = self._letters.setdefault(reason, NOTES[len(self._letters)])
        return f"{head} ({letter})"

    def lines(self) -> list[str]:
        return [f"- ({letter}) {reason}" for reason, letter in self._letters.items()]


def render(cells: Sequence[Cell], rows: Sequence[Row], checks: Sequence[Check]) -> str:
    """Return the whole document."""
    parts = [HEAD.format(litellm=version("litellm"))]
    titles = dict.fromkeys(cell.endpoint for cell in cells)
    parts += [_endpoint(title, [cell for cell in cells if cell.endpoint == title]) for title in titles]
    parts += [_clients(rows), _checks(checks)]
    return "\n".join(parts)


def _endpoint(title: str, cells: Sequence[Cell]) -> str:
    notes = Notes()
    lines = [f"## {title}", ""]
    head = ["", "whole, miss", "hit", "hit, streamed", "stream, miss", "hit", "hit, whole"]
    by = {(cell.feature, cell.stream): cell for cell in cells}
    table: list[list[str]] = []
    absent: list[str] = []
    for feature in dict.fromkeys(cell.feature for cell in cells):
        one = by[feature, False]
        if one.miss.startswith("not applicable"):
            absent.append(f"{feature} ({one.miss.partition(': ')[2]})")
            continue
        row = [feature]
        for stream in (False, True):
            cell = by.get((feature, stream))
            columns = (cell.miss, cell.hit, cell.other) if cell else ("not applicable",) * 3
            row += [notes.short(text) for text in columns]
        table.append(row)
    lines += [*grid(head, table), ""]
    if absent:
        lines += [f"Not applicable: {', '.join(absent)}.", ""]
    if notes.lines():
        lines += [*notes.lines(), ""]
    return "\n".join(lines)


def _clients(rows: Sequence[Row]) -> str:
    notes = Notes()
    packages = {row.job.client for row in rows} - {"openai (npm)"}
    versions = {name: version(name.partition(" ")[0]) for name in packages}
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    versions["openai (npm)"] = lock["packages"]["node_modules/openai"]["version"]
    table: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        client = row.job.client
        columns = table.setdefault((f"{client} {versions[client]}", row.job.path, row.job.feature), [])
        columns += [notes.short(row.miss), notes.short(row.hit)]
    head = ["client", "endpoint", "", "whole, miss", "hit", "stream, miss", "hit"]
    lines = [list(key) + columns + ["-"] * (4 - len(columns)) for key, columns in table.items()]
    return "\n".join(
        ["## Clients", "", "What each client made of the answers.", "", *grid(head, lines), "", *notes.lines()]
    )


def _checks(checks: Sequence[Check]) -> str:
    lines = [
        "",
        f"## llm-comply {version('llm-comply')}",
        "",
        "A public checker of formats, run on the engine itself, on LiteLLM alone, and twice on LiteLLM with forebay. In",
        "parentheses: how many errors and warnings; with forebay none that LiteLLM alone does not have.",
    ]
    for check in checks:
        alone, cold, warm = check.calls
        head = ["test", "engine", "LiteLLM alone", "forebay, cold", "forebay, warm"]
        table = [
            [name, *(_said(run, name) for run in (check.engine, check.alone, check.cold, check.warm))]
            for name in check.alone
        ]
        lines += ["", f"### {check.format}", "", *grid(head, table), ""]
        lines.append(f"Requests that reached the engine: {alone} from LiteLLM alone, {cold} cold, {warm} warm.")
    return "\n".join([*lines, ""])


def _said(run: Mapping[str, Verdict], name: str) -> str:
    return run[name].text if name in run else "missing"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    table = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(row) + " |" for row in table]
