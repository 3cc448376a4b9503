"""Make the shipped acceptance model: policies/acceptance/minilm.json and english.bin.

Fitted on BANKING77 (CC BY 4.0), CLINC150 (CC BY 3.0), fow-cache's development pairs (CC BY 4.0), the questions in
benchmarks/data (written for forebay) and rewrites of them; vectors of words are MiniLM's own (Apache-2.0), their relations
WordNet's. Needs FOREBAY_DATA and the folder of WordNet 3.1's database files.

    FOREBAY_DATA=… python benchmarks/acceptance_model.py --wordnet dict [--vectors FILE.npz] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _rewrites import Neighbours, reframe, rewrites
from _wordnet import senses_of

from forebay.adapters.embedders.minilm import MODEL_ID, MiniLMEmbedder
from forebay.adapters.lab.fit import KNOTS, Sample, fit, odds
from forebay.adapters.lab.fitting import cut_of
from forebay.adapters.lab.judging import embed_all
from forebay.adapters.lab.metrics import auc, tpr_at
from forebay.policies.acceptance.features import NAMES, SIGNS, compare
from forebay.policies.acceptance.lexis import SAME, Lexis, to_bytes
from forebay.policies.acceptance.model import AcceptanceModel, dump_model, parse_model
from forebay.policies.acceptance.words import Word, read, stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE = Path(__file__).parent
POLICIES = HERE.parent / "policies" / "acceptance"
TOKENIZER = HERE.parent / "adapters" / "embedders" / "minilm_tokenizer.json"
DIMENSION = 32
DAMPING = -0.25  # principal components are divided by this power of their spread: the first say too little of meaning
VETOED = 0.1
FOLDS = 5
SEED = 20261123
RIDGE = 1.0
"""Of .03 to 20 the one with the least log loss out of fold."""

WORDNET = "WordNet 3.1, Copyright 2011 by Princeton University, WordNet Release 3.1 licence (https://wordnet.princeton.edu/license-and-commercial-use)"

Row = tuple[str, str, bool]


@dataclass(frozen=True, slots=True)
class Source:
    """Labelled pairs and how much they weigh together."""

    name: str
    licence: str
    rows: Sequence[Row]
    weight: float


class Vectors:
    """Unit vectors by text, of MiniLM, perhaps kept between runs."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, Any] = {}
        if file is not None and file.exists():
            with np.load(file, allow_pickle=False) as kept:
                self._known = dict(zip(kept["texts"].tolist(), kept["vectors"], strict=True))

    def learn(self, texts: Iterable[str]) -> None:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not missing:
            return
        found = asyncio.run(embed_all(MiniLMEmbedder(threads=1, memo=0), missing))
        self._known.update((text, np.asarray(vector, dtype=np.float32)) for text, vector in found.items())
        if self._file is not None:
            np.savez(self._file, texts=np.array(list(self._known)), vectors=np.array(list(self._known.values())))

    def matrix(self, texts: Sequence[str]) -> Any:
        return np.array([self._known[text] for text in texts])

    def cosine(self, left: str, right: str) -> float:
        return float(self._known[left] @ self._known[right])


def vocabulary() -> list[str]:
    """Return the whole words of MiniLM's vocabulary, the commonest first as they stand in it."""
    known = json.loads(TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"]
    return [word for word in sorted(known, key=known.get) if word.isalpha() and word.isascii() and len(word) > 1]


def make_lexis(vectors: Vectors, wordnet: Path) -> bytes:
    """Return the file of words: MiniLM's vectors of single words, compressed, and WordNet's relations."""
    words = vocabulary()
    vectors.learn(words)
    table = vectors.matrix(words).astype(np.float64)
    table -= table.mean(axis=0)
    _, spread, axes = np.linalg.svd(table, full_matrices=False)
    small = table @ axes[:DIMENSION].T * spread[:DIMENSION] ** DAMPING
    scaled = np.round(small / np.abs(small).max(axis=1, keepdims=True) * 127).astype(np.int8)
    senses = senses_of(wordnet, {stem(word) for word in words})
    about = {
        "vectors": f"{MODEL_ID} of single words, {DIMENSION} damped principal components, 8 bits; Apache-2.0",
        "relations": WORDNET,
    }
    return to_bytes(words, scaled.tobytes(), DIMENSION, senses, about)


def neighbours_of(words: Sequence[str], vectors: Vectors, lexis: Lexis) -> Neighbours:
    """Return for common words what may stand for them, and what is like them but something else."""
    matrix = vectors.matrix(words)
    matrix = matrix - matrix.mean(axis=0)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    same: dict[str, list[str]] = {}
    other: dict[str, list[str]] = {}
    for at in range(0, len(words), 1000):
        near = matrix[at : at + 1000] @ matrix.T
        for row, word in zip(near, words[at : at + 1000], strict=True):
            nearest = np.argsort(-row, kind="stable")[1:60].tolist()
            one = Word(word, stem(word))
            for index in nearest:
                two = Word(words[index], stem(words[index]))
                if two.stem == one.stem or two.text[:4] == word[:4]:
                    continue
                likeness, kind = lexis.relation(one, two)
                if likeness >= SAME and row[index] > 0.5:
                    same.setdefault(word, []).append(two.text)
                elif kind == "sibling" or (kind == "" and 0.35 < row[index] < 0.6):
                    other.setdefault(word, []).append(two.text)
    return Neighbours(same, {word: options[:15] for word, options in other.items()})


def nearest_pairs(
    labelled: Sequence[tuple[str, str]], vectors: Vectors, *, most: int, least: float, count: int, rng: random.Random
) -> list[Row]:
    """Return for each text its nearest ones with the same label and with another, so many of each, and so many in all."""
    label = dict(labelled)
    texts = list(label)
    matrix = vectors.matrix(texts)
    found: dict[frozenset[int], Row] = {}
    for at in range(0, len(texts), 1000):
        near = matrix[at : at + 1000] @ matrix.T
        for offset, row in enumerate(near):
            here, taken = at + offset, {True: 0, False: 0}
            for index in np.argsort(-row, kind="stable")[:31].tolist():
                same = label[texts[here]] == label[texts[index]]
                pair = frozenset((here, index))
                if index != here and row[index] >= least and taken[same] < most and pair not in found:
                    taken[same] += 1
                    found[pair] = (texts[here], texts[index], same)
    rows = list(found.values())
    rng.shuffle(rows)
    return [row for kind in (True, False) for row in [each for each in rows if each[2] == kind][:count]]


def sources(data: Path, vectors: Vectors, lexis: Lexis) -> list[Source]:
    """Return all that is fitted on."""
    rng = random.Random(SEED)
    semcache = data / "semcache"
    fow = [json.loads(line) for line in (semcache / "fow-cache/pairs_dev.jsonl").open(encoding="utf-8")]
    with (semcache / "banking77/train.csv").open(encoding="utf-8", newline="") as file:
        banking = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    splits = json.loads((semcache / "clinc150/data_full.json").read_text(encoding="utf-8"))
    clinc = [(text, intent) for name in ("train", "val", "test") for text, intent in splits[name]]
    alone = [text for name in ("oos_train", "oos_val", "oos_test") for text, _ in splits[name]]
    with (HERE / "data/questions.tsv").open(encoding="utf-8", newline="") as file:
        own = list(csv.DictReader(file, delimiter="\t"))
    vectors.learn(text for text, _ in [*banking, *clinc])
    vectors.learn(alone)
    vectors.learn(text for row in own for text in row.values())
    vectors.learn(text for row in fow for text in (row["a"], row["b"]))

    triples: list[Row] = []
    for row in own:
        triples += [
            (row["question"], row["same"], True),
            (row["question"], row["other"], False),
            (row["same"], row["other"], False),
        ]
    themes = [(text, f"{number}{text == row['other']}") for number, row in enumerate(own) for text in row.values()]
    apart = nearest_pairs(themes, vectors, most=3, least=0.35, count=3000, rng=rng)
    known = {frozenset(row[:2]) for row in triples}
    strangers = nearest_pairs([(text, text) for text in alone], vectors, most=3, least=0.4, count=3000, rng=rng)
    plain = [text for text, _ in clinc if 4 <= len(text.split()) <= 20]
    plain += [text for text in alone if 4 <= len(text.split()) <= 20]
    framed = [text for text in [*plain, *(text for text, _ in banking)] if reframe(text, random.Random(0)) is not None]
    rng.shuffle(framed)
    rng.shuffle(plain)
    made = rewrites([*framed[:2500], *plain[:1500]], neighbours_of(vocabulary(), vectors, lexis), rng, 5000)
    vectors.learn(text for row in made for text in row[:2])
    banking_rows = nearest_pairs(banking, vectors, most=1, least=0.7, count=4000, rng=rng)
    return [
        Source(
            "fow-cache pairs_dev", "CC BY 4.0", [(row["a"], row["b"], bool(row["same_answer"])) for row in fow], 0.5
        ),
        Source("questions written for forebay", "Apache-2.0", triples, 2.0),
        Source(
            "the same, nearest others",
            "Apache-2.0",
            [row for row in apart if not row[2] and frozenset(row[:2]) not in known],
            1.0,
        ),
        Source("BANKING77, nearest neighbours by intent", "CC BY 4.0, PolyAI", banking_rows, 1.5),
        Source("CLINC150 out of scope, nearest others", "CC BY 3.0, Larson et al. 2019", strangers, 0.5),
        Source("rewrites of CLINC150 and BANKING77 questions", "CC BY 3.0 and 4.0", made, 0.05),
    ]


def sample_of(found: Sequence[Source], vectors: Vectors, lexis: Lexis) -> tuple[Sample, list[bool]]:
    """Return what is fitted on, and for each pair whether it is vetoed."""
    cosines: list[float] = []
    features: list[Sequence[float]] = []
    same: list[bool] = []
    weights: list[float] = []
    vetoed: list[bool] = []
    for source in found:
        for left, right, label in source.rows:
            values, veto = compare(read(left), read(right), lexis)
            cosines.append(vectors.cosine(left, right))
            features.append(values)
            same.append(label)
            weights.append(source.weight / len(source.rows))
            vetoed.append(veto is not None)
    return Sample(cosines, features, same, weights), vetoed


def out_of_fold(found: Sequence[Source], sample: Sample, vetoed: Sequence[bool]) -> list[float]:
    """Return the confidence of each pair by a model that was fitted without its fifth."""
    rng = random.Random(SEED)
    folds: list[int] = []
    for source in found:
        group: dict[str, int] = {}
        for left, right, _ in source.rows:
            fold = group.get(left, group.get(right, rng.randrange(FOLDS)))
            group[left] = group[right] = fold
            folds.append(fold)
    sure = [0.0] * len(folds)
    for fold in range(FOLDS):
        fitted = fit(sample.without([one == fold for one in folds]), SIGNS, ridge=RIDGE)
        for at, one in enumerate(folds):
            if one == fold:
                likely = 1 / (1 + np.exp(-odds(fitted, sample.cosines[at], sample.features[at])))
                sure[at] = float(likely) * (VETOED if vetoed[at] else 1.0)
    return sure


def cut_for(sure: Sequence[float], same: Sequence[bool], hard: int) -> float:
    """Return the lowest cut that lets at most 1% of the hardest false pairs pass, and at most 3% of all."""
    return max(cut_of(sure[:hard], same[:hard], 0.01), cut_of(sure, same, 0.03))


def figures(found: Sequence[Source], sure: Sequence[float], same: Sequence[bool], cut: float) -> list[dict[str, Any]]:
    """Return what pairs out of the fold came to, source by source."""
    rows: list[dict[str, Any]] = []
    at = 0
    for source in found:
        here = slice(at, at + len(source.rows))
        at = here.stop
        scores, labels = sure[here], same[here]
        positives = sum(labels)
        served = [score >= cut for score in scores]
        right = sum(hit and label for hit, label in zip(served, labels, strict=True))
        area, at_2, at_5 = auc(scores, labels), tpr_at(scores, labels, 0.02), tpr_at(scores, labels, 0.05)
        rows.append(
            {
                "source": source.name,
                "licence": source.licence,
                "pairs": len(labels),
                "positives": positives,
                "weight": source.weight,
                "auc": None if area is None else round(area, 3),
                "tpr_at_fpr_02": None if at_2 is None else round(at_2, 3),
                "tpr_at_fpr_05": None if at_5 is None else round(at_5, 3),
                "served_tpr": round(right / positives, 3) if positives else None,
                "served_fpr": round((sum(served) - right) / max(1, len(labels) - positives), 4),
            }
        )
    return rows


def main() -> None:
    """Make both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--vectors", type=Path, metavar="FILE", help="keep all vectors here between runs")
    parser.add_argument("--out", type=Path, default=POLICIES, metavar="FOLDER")
    parser.add_argument("--date", default="", help="written into the model")
    args = parser.parse_args()
    data = os.environ.get("FOREBAY_DATA")
    if not data:
        parser.error("set FOREBAY_DATA to the folder of the data sets")
    vectors = Vectors(args.vectors)
    content = make_lexis(vectors, args.wordnet)
    lexis = Lexis.from_bytes(content)
    found = sources(Path(data), vectors, lexis)
    sample, vetoed = sample_of(found, vectors, lexis)
    fitted = fit(sample, SIGNS, ridge=RIDGE)
    sure = out_of_fold(found, sample, vetoed)
    hard = len(found[0].rows) + len(found[1].rows)
    cut = cut_for(sure, sample.same, hard)
    rows = figures(found, sure, sample.same, cut)
    model = AcceptanceModel(MODEL_ID, fitted.bias, KNOTS, fitted.slopes, fitted.weights, cut, VETOED)
    about = {"made": args.date, "by": "benchmarks/acceptance_model.py", "words": WORDNET, "out_of_fold": rows}
    written = json.dumps(dump_model(model, about), indent=1) + "\n"
    parse_model(json.loads(written))
    (args.out / "minilm.json").write_text(written, encoding="utf-8")
    (args.out / "english.bin").write_bytes(content)
    print(json.dumps(rows, indent=1))
    print(f"cut {cut}; {len(content)} bytes of words; {len(NAMES)} features")


if __name__ == "__main__":
    main()
