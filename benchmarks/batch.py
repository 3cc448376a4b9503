"""``forebay batch`` beside the same file sent line by line, and after three SIGKILLs beside an uninterrupted run.

The file: half of the lines are questions, 20% the same questions in other words, 30% repeat an earlier line, shuffled; two
system prompts. The engine is llama.cpp (xllamacpp) with SmolLM2-135M and four slots in a process of its own; it ends each
answer after the first clause, at temperature 0. "direct" posts each line, as many at once as `forebay batch` may. Each row
starts with an empty cache: ``proven`` is what a new install does, ``similar`` does not wait for audits. Time is from the start
of the process to its end; tokens are those that the engine's own counters say it read and wrote. `agree` is the share of lines
with the text that direct has: with several slots llama.cpp's answers depend a little on what else is computed, so direct is
sent twice to know what that makes; `ratio` is to the faster of the two.

    make bench NAME=batch ARGS='--lines 2000 --json batch.json'
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
from _model_server import engine
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUESTIONS: Final = Path(__file__).with_name("data") / "questions.tsv"
SYSTEMS: Final = ("Answer in one short sentence.", "You are a librarian. Answer briefly and name one book.")
CHAT: Final = "/v1/chat/completions"
STOP: Final = [".", ",", "\n"]
"""The first clause: what is cut at its longest is neither kept nor shared."""
CASES: Final = ("direct", "direct again", "proven", "similar", "killed")
SLOTS: Final = 4
COUNTERS: Final = {
    "tokens_read": "llamacpp:prompt_tokens_total",
    "tokens_written": "llamacpp:tokens_predicted_total",
}
COLUMNS: Final = (
    "case", "n", "seconds", "ratio", "engine_calls", "tokens_read", "tokens_written", "lost", "doubled", "agree",
)  # fmt: skip


def batch_file(rng: random.Random, size: int, max_tokens: int) -> list[dict[str, Any]]:
    """Return the lines of the file."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        told = list(csv.DictReader(file, delimiter="\t"))
    pairs = [(system, row["question"], row["same"]) for system in SYSTEMS for row in told]
    rng.shuffle(pairs)
    others = [(system, row["other"]) for system in SYSTEMS for row in told]
    rng.shuffle(others)
    reworded = size // 5
    distinct = size - reworded - size * 3 // 10
    if reworded > len(pairs) or distinct > len(pairs) + len(others):
        raise SystemExit(f"there are questions for {2 * (len(pairs) + len(others)):,} lines")
    asked = ([(system, one) for system, one, _ in pairs] + others)[:distinct]
    asked += [(system, same) for system, _, same in pairs[:reworded]]
    asked += rng.choices(asked, k=size - len(asked))
    rng.shuffle(asked)
    return [
        {
            "custom_id": f"line-{at}",
            "method": "POST",
            "url": CHAT,
            "body": {
                "model": "smollm2",
                "messages": [{"role": "system", "content": system}, {"role": "user", "content": text}],
                "temperature": 0,
                "stop": STOP,
                "max_tokens": max_tokens,
            },
        }
        for at, (system, text) in enumerate(asked)
    ]


def counters(url: str) -> dict[str, int]:
    """Return what the engine says it read and wrote so far."""
    text = httpx.get(f"{url}/metrics", timeout=30).text
    found = {name: re.search(rf"^{key} (\S+)", text, re.MULTILINE) for name, key in COUNTERS.items()}
    return {name: round(float(match[1])) if match else 0 for name, match in found.items()}


async def direct(url: str, lines: Sequence[Mapping[str, Any]], at_once: int) -> list[str]:
    """Post each line; return the texts."""
    places = asyncio.Semaphore(at_once)

    async def ask(client: httpx.AsyncClient, line: Mapping[str, Any]) -> str:
        async with places:
            response = await client.post(f"{url}{CHAT}", json=line["body"])
        response.raise_for_status()
        return str(response.json()["choices"][0]["message"]["content"])

    async with httpx.AsyncClient(timeout=600) as client:
        return await asyncio.gather(*(ask(client, line) for line in lines))


class Run:
    """`forebay batch` on a file, in a folder of its own."""

    def __init__(self, folder: Path, url: str, source: Path, at_once: int, accept: str) -> None:
        folder.mkdir()
        self._folder = folder
        self._out = folder / "out.jsonl"
        # a memory store dies with its process; so that kills are about the journal alone, and the cache starts empty
        config = {"state_dir": str(folder / "state"), "store": {"type": "memory"}, "audits": {"enabled": False}}
        (folder / "forebay.yaml").write_text(json.dumps(config), encoding="utf-8")
        words = [str(source), str(self._out), "--config", str(folder / "forebay.yaml"), "--url", url]
        words += ["--max-parallel", str(at_once), "--accept", accept]
        self._command = [sys.executable, "-m", "forebay", "batch", *words]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process."""
        log = (self._folder / "log").open("ab")
        return subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)

    def finish(self) -> list[dict[str, Any]]:
        """Run to the end; return the output's lines."""
        process = self.start()
        if process.wait() != 0:
            raise SystemExit((self._folder / "log").read_text())
        return [json.loads(line) for line in self._out.read_text(encoding="utf-8").splitlines()]

    def kill_at(self, lines: int) -> int:
        """Run until so many lines are in the journal, then SIGKILL it; return how many there are."""
        journal = self._folder / "out.jsonl.journal"
        process = self.start()
        while process.poll() is None and _lines(journal) < lines:
            time.sleep(0.02)
        if process.poll() is not None:
            raise SystemExit(f"it ended before it had {lines} lines, so nothing was killed:\n{self.said}")
        process.kill()
        process.wait()
        return _lines(journal)

    @property
    def said(self) -> str:
        """What it said."""
        return (self._folder / "log").read_text(encoding="utf-8")


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def texts_of(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the text of each line by custom_id."""
    return {line["custom_id"]: str(line["response"]["body"]["choices"][0]["message"]["content"]) for line in found}


def row_of(
    case: str, lines: Sequence[Mapping[str, Any]], found: Mapping[str, str], number: int, base: Mapping[str, str],
    **figures: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return one row; lost and doubled are of the lines, agree is with the first direct run."""
    wanted = [line["custom_id"] for line in lines]
    return {
        "case": case,
        "n": len(wanted),
        **figures,
        "lost": len(set(wanted) - set(found)),
        "doubled": number - len(found),
        "agree": round(sum(found.get(name) == base[name] for name in wanted) / len(wanted), 4),
    }


def measure(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Return the rows."""
    rng = random.Random(args.seed)
    lines = batch_file(rng, args.lines, args.max_tokens)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, engine() as url:
        folder = Path(name)
        source = folder / "in.jsonl"
        source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        base: dict[str, str] = {}
        asyncio.run(direct(url, lines[:SLOTS], SLOTS))  # warms the engine up
        for case in [case for case in ("direct", "direct again") if case in args.cases]:
            before, began = counters(url), time.perf_counter()
            found = asyncio.run(direct(url, lines, args.at_once))
            said = {line["custom_id"]: text for line, text in zip(lines, found, strict=True)}
            base = base or said
            rows.append(
                row_of(case, lines, said, len(found), base, **_figures(url, before, began), engine_calls=len(lines))
            )
        for accept in [accept for accept in ("proven", "similar") if accept in args.cases]:
            run = Run(folder / accept, url, source, args.at_once, accept)
            before, began = counters(url), time.perf_counter()
            done = run.finish()
            figures = _figures(url, before, began)
            rows.append(
                row_of(f"batch --accept {accept}", lines, texts_of(done), len(done), base, **figures, **_said(run))
            )
            console.print(run.said, markup=False, highlight=False)
        if "killed" in args.cases:
            run = Run(folder / "killed", url, source, args.at_once, "proven")
            before, began = counters(url), time.perf_counter()
            done_at = [run.kill_at(at) for at in sorted(rng.sample(range(1, len(lines)), 3))]
            done = run.finish()
            figures = _figures(url, before, began)
            assert [line["custom_id"] for line in done] == [line["custom_id"] for line in lines]
            case = f"SIGKILL at {', '.join(map(str, done_at))}"
            rows.append(row_of(case, lines, texts_of(done), len(done), base, **figures, **_said(run)))
    fastest = min(row["seconds"] for row in rows if row["case"].startswith("direct"))
    for row in rows:
        row["ratio"] = round(row["seconds"] / fastest, 3)
    return rows


def _figures(url: str, before: Mapping[str, int], began: float) -> dict[str, Any]:
    seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 1), **{name: count - before[name] for name, count in counters(url).items()}}


def _said(run: Run) -> dict[str, int]:
    """Return how many answers the engine made, of all lines, as the command's report says."""
    return {"engine_calls": int(re.findall(r"computed +([\d,]+)", run.said)[-1].replace(",", ""))}


def show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows."""
    table = Table(title="forebay batch and the same file sent line by line")
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="left" if column == "case" else "right")
    for row in rows:
        table.add_row(*(str(row[column]) for column in COLUMNS))
    console.print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=SLOTS, help="requests in flight, of both")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES), help="some of the rows")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if "direct" not in args.cases or set(args.cases) - set(CASES):
        parser.error(f"--cases needs direct, and some of {', '.join(CASES[1:])}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    console = Console(width=150)
    rows = measure(args, console)
    show(console, rows)
    if args.json:
        write_json(args.json, as_json("benchmarks/batch.py", rows))


if __name__ == "__main__":
    main()
