"""Batches of requests for pattern.py, and an engine that answers them at length. Seeded."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tokenizers import Tokenizer

from forebay.adapters import embedders
from forebay.testing import ScriptedEngine, chat, completion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from forebay.middleware.records import Request

QUESTIONS: Final = Path(__file__).with_name("data") / "questions.tsv"
SYSTEM: Final = (
    "You are the assistant of a large public library and its help desk. Answer in plain, friendly words that a visitor without "
    "special knowledge understands. Say what you are sure of, and say so where you are not. Use short paragraphs and, for steps, "
    "a numbered list. Do not mention these instructions. If a question touches health, law or money, advise to ask a professional."
)
TEMPLATES: Final = (
    "Summarise this message of a visitor in one sentence for the help desk, and name the team that should answer it.\n\nMessage: {}",
    "Write a short and polite reply to this message of a visitor; ask for what is missing.\n\nMessage: {}",
    "Say how urgent this message is (low, normal, high) and why, in two sentences at most.\n\nMessage: {}",
)
TYPICAL: Final = {"summarise": 45, "write": 140, "say": 60, "how": 210, "what": 130, "why": 190, "is": 110, "can": 100}
"""Median tokens of an answer by the first word of the question."""
OTHERWISE: Final = 120
SPREAD: Final = 0.35
SECONDS_A_TOKEN: Final = 0.0001


def questions() -> list[tuple[str, str, str]]:
    """Return questions, each with a paraphrase and with one like it that has another answer."""
    with QUESTIONS.open(encoding="utf-8", newline="") as file:
        return [(row["question"], row["same"], row["other"]) for row in csv.DictReader(file, delimiter="\t")]


def repeats(rng: random.Random, size: int) -> list[Request]:
    """Few questions, asked again and again: popularity by Zipf's law with exponent 0.9."""
    asked = [text for row in rng.sample(questions(), 80) for text in (row[0], row[2])]
    weights = [(rank + 1) ** -0.9 for rank in range(len(asked))]
    return _asked(rng.choices(asked, cum_weights=list(accumulate(weights)), k=size))


def paraphrases(rng: random.Random, size: int) -> list[Request]:
    """Questions in two wordings, and among them such as are only like them."""
    return _reworded(rng, size, questions())


def templates(rng: random.Random, size: int) -> list[Request]:
    """Three templates, each with a message of its own; one in twelve is sent twice."""
    told = questions()
    once = size - size // 12
    bodies = [
        f"{first} {second}" for first, second in zip(_texts(rng, told, once), _texts(rng, told, once), strict=True)
    ]
    asked = [rng.choice(TEMPLATES).format(body) for body in bodies]
    asked += rng.sample(asked, size - once)
    rng.shuffle(asked)
    return _asked(asked)


def intents(rng: random.Random, size: int, path: Path) -> list[Request]:
    """Customers' questions of 15 intents as they were asked (BANKING77); some sent twice."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"].strip(), row["category"]) for row in csv.DictReader(file)]
    chosen = set(rng.sample(sorted({category for _, category in rows}), 15))
    asked = rng.sample([text for text, category in rows if category in chosen], size - size // 10)
    asked += rng.sample(asked, size // 10)
    rng.shuffle(asked)
    return _asked(asked)


def labelled(rng: random.Random, size: int, path: Path) -> list[Request]:
    """Pairs that were written as paraphrases, and as traps (fow-cache)."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    same = [(row["a"], row["b"]) for row in rows if row["same_answer"]]
    traps = [row["b"] for row in rows if not row["same_answer"]]
    return _reworded(rng, size, [(one, other, trap) for (one, other), trap in zip(same, traps, strict=False)])


def mixes(data: Path | None) -> dict[str, Callable[[random.Random, int], list[Request]]]:
    """Return the mixes by name; some need the data folder."""
    found: dict[str, Callable[[random.Random, int], list[Request]]] = {
        "repeats": repeats,
        "paraphrases": paraphrases,
        "templates": templates,
    }
    if data is not None:
        found["banking77"] = lambda rng, size: intents(rng, size, data / "semcache/banking77/train.csv")
        found["fow-cache"] = lambda rng, size: labelled(rng, size, data / "semcache/fow-cache/pairs_dev.jsonl")
    return found


class Speaking(ScriptedEngine):
    """An engine whose answers are as long as such answers are, and the same each time.

    Lengths are log-normal around a median by the first word of the question.
    """

    def __init__(self) -> None:
        super().__init__()
        tokenizer = files(embedders).joinpath("minilm_tokenizer.json").read_text(encoding="utf-8")
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def lengths(self, request: Request) -> tuple[int, int]:
        """Return the tokens of the prompt and of the answer."""
        texts = [str(message["content"]) for message in request.messages]
        prompt = sum(len(self._tokenizer.encode(text, add_special_tokens=False).ids) + 4 for text in texts)
        words = texts[-1].lower().split()
        typical = TYPICAL.get(words[0], OTHERWISE) if words else OTHERWISE
        return prompt, max(1, round(typical * random.Random(texts[-1]).lognormvariate(0.0, SPREAD)))

    async def _next(self, request: Request, headers: Mapping[str, str]) -> dict[str, Any]:
        await super()._next(request, headers)
        prompt, length = self.lengths(request)
        await asyncio.sleep(length * SECONDS_A_TOKEN)
        usage = {"prompt_tokens": prompt, "completion_tokens": length, "total_tokens": prompt + length}
        return {**completion(f"an answer of {length} tokens"), "usage": usage}


def _asked(texts: Sequence[str]) -> list[Request]:
    return [chat(text, system=SYSTEM) for text in texts]


def _texts(rng: random.Random, rows: Sequence[tuple[str, str, str]], size: int) -> list[str]:
    return [rng.choice(rng.choice(rows)) for _ in range(size)]


def _reworded(rng: random.Random, size: int, rows: Sequence[tuple[str, str, str]]) -> list[Request]:
    pairs = min(len(rows), size * 2 // 5)
    asked = [text for row in rng.sample(rows, pairs) for text in row[:2]]
    asked += [row[2] for row in rng.sample(rows, size - len(asked))]
    rng.shuffle(asked)
    return _asked(asked)
