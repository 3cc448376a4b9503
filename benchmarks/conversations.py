"""Pairs of conversations: which share a kept answer, and which must not have.

Reads the conversations under FOREBAY_DATA (semcache/fow-cache/conv-parts and conv-long), or the files named on the
command line (JSONL with a, b, same_answer, subtype; a and b lists of messages), and makes others (_dialogues.py). Beside
forebay's exact and semantic tier: all turns as the key, and the last message as the key, as most caches have it, by equality
or by the cosine of its vector.

    make bench NAME=conversations ARGS='--json conversations.json'
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _dialogues import Dialogue, Generator, corpus_of
from rich.console import Console
from rich.table import Table

from forebay import __version__
from forebay.adapters.embedders.minilm import MiniLMEmbedder
from forebay.middleware.keys import Keyring, canonical_json, make_key
from forebay.middleware.records import Answer, Asked, Candidate, Entry, Request
from forebay.middleware.registry import ACCEPTANCE, Build, Registry
from forebay.middleware.telemetry import Telemetry
from forebay.plugins import acceptance as acceptance_plugin
from forebay.policies.context.reading import ContextualReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from forebay.middleware.protocols import Acceptance
    from forebay.middleware.records import Key

SAMPLE = Path(__file__).parents[1] / "tests/policies/context/dialogues.jsonl"
GPTCACHE_COSINE = 0.6
KEYRING = Keyring.from_secret("of a benchmark")


@dataclass(frozen=True, slots=True)
class Pair:
    """A dialogue with the keys of both sides, and the cosines of their questions and readings."""

    dialogue: Dialogue
    a: Key
    b: Key
    cosine: float
    context_cosine: float


def read_dialogues(path: Path, half: str) -> list[Dialogue]:
    """Read the pairs of a file whose id's number is even or odd, or all."""
    dialogues: list[Dialogue] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        odd = int(row["id"].rpartition("-")[2]) % 2 == 1
        if half == "all" or odd == (half == "odd"):
            dialogues.append(Dialogue(row["id"], row["subtype"], bool(row["same_answer"]), row["a"], row["b"]))
    return dialogues


async def with_keys(dialogues: Sequence[Dialogue]) -> list[Pair]:
    """Make the keys of both sides and embed their questions and readings."""
    reader = ContextualReading()
    keys = [
        [make_key(Request("r", "m", messages), KEYRING, reader.read(messages)) for messages in (one.a, one.b)]
        for one in dialogues
    ]
    texts = list(dict.fromkeys(text for pair in keys for key in pair for text in (key.text, key.reading) if text))
    vectors: dict[str, Sequence[float]] = {"": ()}
    embedder = MiniLMEmbedder()
    await embedder.start()
    try:
        for at in range(0, len(texts), 64):
            part = texts[at : at + 64]
            vectors.update(zip(part, await embedder.embed(part), strict=True))
    finally:
        await embedder.stop()

    def cosine(left: str, right: str) -> float:
        return sum(x * y for x, y in zip(vectors[left], vectors[right], strict=False)) if left != right else 1.0

    return [
        Pair(dialogue, a, b, cosine(a.text, b.text), cosine(a.reading, b.reading))
        for dialogue, (a, b) in zip(dialogues, keys, strict=True)
    ]


def semantic(policy: Acceptance) -> Callable[[Pair], bool]:
    """Return the whole decision: equal keys, or comparable ones that the policy accepts."""

    def serve(pair: Pair) -> bool:
        if pair.a.exact == pair.b.exact:
            return True
        if (pair.a.scope, pair.a.comparable) != (pair.b.scope, pair.b.comparable):
            return False
        kept = Entry(
            id=pair.b.exact,
            scope=pair.b.scope,
            context=pair.b.context,
            question=pair.b.text,
            answer=Answer({}),
            model="m",
            tenant="t",
            created_s=0.0,
            expires_s=1.0,
            reading=pair.b.reading,
        )
        return policy.judge(Asked(pair.a), Candidate(kept, pair.cosine, pair.context_cosine)).accepted

    return serve


def whole_history(pair: Pair) -> bool:
    """Serve where all turns are equal."""
    return canonical_json(pair.dialogue.a) == canonical_json(pair.dialogue.b)


def make_acceptance(name: str) -> Acceptance:
    """Build a registered acceptance policy with its default settings."""
    registry = Registry()
    acceptance_plugin.register_components(registry.registrar("acceptance"))
    with tempfile.TemporaryDirectory() as state_dir:
        return registry.build(ACCEPTANCE, name, {}, Build(Path(state_dir), KEYRING, Telemetry()))


def row(file: str, subtype: str, policy: str, pairs: Sequence[Pair], serve: Callable[[Pair], bool]) -> dict[str, Any]:
    """Return one line of the report."""
    served = [serve(pair) for pair in pairs]
    positives = sum(pair.dialogue.same_answer for pair in pairs)
    right = sum(hit and pair.dialogue.same_answer for hit, pair in zip(served, pairs, strict=True))
    wrong = sum(served) - right
    negatives = len(pairs) - positives
    return {
        "file": file,
        "category": subtype,
        "policy": policy,
        "n": len(pairs),
        "positives": positives,
        "served": right + wrong,
        "served_tpr": round(right / positives, 4) if positives else None,
        "served_fpr": round(wrong / negatives, 4) if negatives else None,
        "wrong_hit_rate": round(wrong / (right + wrong), 4) if right + wrong else None,
    }


def rows_of(file: str, pairs: Sequence[Pair], policies: dict[str, Callable[[Pair], bool]]) -> Iterable[dict[str, Any]]:
    """Yield the rows of a file: each subtype, all traps, all positives."""
    groups = {
        subtype: [p for p in pairs if p.dialogue.subtype == subtype]
        for subtype in sorted({p.dialogue.subtype for p in pairs})
    }
    groups["all traps"] = [pair for pair in pairs if not pair.dialogue.same_answer]
    groups["all positives"] = [pair for pair in pairs if pair.dialogue.same_answer]
    for subtype, chosen in groups.items():
        for name, serve in policies.items():
            yield row(file, subtype, name, chosen, serve)


def show(rows: Sequence[dict[str, Any]], policies: Iterable[str]) -> None:
    """Print how many of each kind were served."""
    table = Table(title="served / pairs")
    names = list(policies)
    for name in ("file", "kind"):
        table.add_column(name, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    cells = {(line["file"], line["category"], line["policy"]): f"{line['served']}/{line['n']}" for line in rows}
    for file, kind in dict.fromkeys((line["file"], line["category"]) for line in rows):
        table.add_row(file, kind, *(cells[file, kind, name] for name in names))
    Console(width=150).print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--half", choices=("all", "even", "odd"), default="all", help="of the files' pairs, by id")
    parser.add_argument("--acceptance", default="threshold", help="policy that judges what is alike, with its defaults")
    parser.add_argument("--generate", type=int, default=120, help="pairs of each generated kind, 0 for none")
    parser.add_argument("--seed", type=int, default=4)
    args = parser.parse_args()
    data = Path(os.environ["FOREBAY_DATA"]) if os.environ.get("FOREBAY_DATA") else None
    conversations = sorted((data / "semcache/fow-cache").glob("conv-*/*.jsonl")) if data else []
    policies: dict[str, Callable[[Pair], bool]] = {
        "whole history": whole_history,
        "last message": lambda pair: pair.a.text.lower() == pair.b.text.lower(),
        f"last message, cosine {GPTCACHE_COSINE:g}": lambda pair: pair.cosine >= GPTCACHE_COSINE,
        "forebay exact": lambda pair: pair.a.exact == pair.b.exact,
        "forebay semantic": semantic(make_acceptance(args.acceptance)),
    }
    sets = {
        f"{path.parent.name}/{path.name}": read_dialogues(path, args.half)
        for path in args.files or [*conversations, SAMPLE]
    }
    if args.generate and not args.files:
        generator = Generator(args.seed)
        corpus = corpus_of(data) if data else ()
        sets["generated"] = [*generator.traps(args.generate, corpus), *generator.positives(args.generate)]
    rows: list[dict[str, Any]] = []
    for name, dialogues in sets.items():
        rows += rows_of(name, asyncio.run(with_keys(dialogues)), policies)
    show(rows, policies)
    if args.json:
        report = {
            "command": "benchmarks/conversations.py",
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": rows,
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
