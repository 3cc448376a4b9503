"""What `vllm_front` asks: bursts that were made up, and the lengths and arrivals of a real trace."""

from __future__ import annotations

import csv
import random
from datetime import datetime
from typing import TYPE_CHECKING, Final

from _vllm_engine import Ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST: Final = 384
CROWD_TOKENS: Final = (8, 16, 16, 24, 32, 32, 48, 96)
COUNTRIES: Final = (
    "France Spain Italy Greece Egypt Japan China India Peru Chile Brazil Canada Mexico Cuba Kenya Ghana Nigeria Morocco Turkey "
    "Poland Norway Sweden Finland Denmark Austria Hungary Portugal Ireland Iceland Russia Ukraine Thailand Vietnam Nepal Iran "
    "Iraq Jordan Syria Bolivia Argentina"
).split()
QUESTIONS: Final = (
    "Answer with one word: what is the capital of {}?",
    "Answer with one word: on which continent is {}?",
    "Answer with one word: which language do most people in {} speak?",
    "Answer with one word: what is the currency of {}?",
)
THINGS: Final = (
    "fox lamp river king baker ship violin mountain letter clock garden train wolf mirror lighthouse painter bridge dragon "
    "gardener storm"
).split()
WORDS: Final = (
    "time year people way day man thing woman life child world school state family student group country problem hand part "
    "place case week company system program question work government number night point home water room mother area money"
).split()


def short(count: int, seed: int) -> list[Ask]:
    """Return questions that are answered with a few tokens."""
    every = [question.format(country) for question in QUESTIONS for country in COUNTRIES]
    return [Ask("short", text, LONGEST) for text in random.Random(seed).sample(every, count)]


def long(count: int, seed: int) -> list[Ask]:
    """Return prompts that a story answers."""
    every = [
        f"Write a story of three sentences about a {one} and a {other}."
        for one in THINGS
        for other in THINGS
        if one != other
    ]
    return [Ask("long", text, LONGEST) for text in random.Random(seed).sample(every, count)]


def mixed(rep: int) -> tuple[list[Ask], list[Ask]]:
    """Return 200 earlier requests, and a burst of 12 short and 6 long ones that are not among them."""
    questions, stories = short(160, 1), long(220, 1)  # all in one order: what is asked later is not among the earlier
    earlier = questions[:100] + stories[:100]
    at = rep % 5
    burst = questions[100 + 12 * at : 112 + 12 * at] + stories[100 + 6 * rep : 106 + 6 * rep]
    random.Random(2).shuffle(earlier)
    random.Random(rep).shuffle(burst)
    return earlier, burst


def twins(rep: int) -> list[Ask]:
    """Return twelve equal requests."""
    return [Ask("twin", f"Tell me about the number {rep + 17}.", 48, exactly=True)] * 12


def groups(rep: int) -> list[Ask]:
    """Return six groups of four that share a prompt of some 550 tokens but for its end, one of each group in turn."""
    draw = random.Random(100 + rep)
    prefixes = [" ".join(draw.choices(WORDS, k=520)) for _ in range(6)]
    return [Ask("prefix", f"{prefix} And now number {at}?", 4, exactly=True) for at in range(4) for prefix in prefixes]


def uniform(rep: int, count: int) -> list[Ask]:
    """Return requests of one size, all different."""
    draw = random.Random(200 + rep)
    return [
        Ask("uniform", f"{rep} {at} " + " ".join(draw.choices(WORDS, k=40)), 32, exactly=True) for at in range(count)
    ]


def crowd(rate: float, seconds: float, seed: int) -> list[Ask]:
    """Return distinct requests of 8 to 96 tokens that come at random at a rate; a ``max_tokens`` says how long each will be."""
    draw = random.Random(seed)
    found, at_s = list[Ask](), 0.0
    while (at_s := at_s + draw.expovariate(rate)) < seconds:
        text = f"{seed} {len(found)} " + " ".join(draw.choices(WORDS, k=40))
        found.append(Ask("crowd", text, draw.choice(CROWD_TOKENS), exactly=True, at_s=at_s))
    return found


def azure(path: Path, prompt_part: float, output_part: float) -> Iterator[Ask]:
    """Yield the conversation trace with a part of its tokens: its order, its arrivals, made-up words.

    How long an answer will be cannot be told from words like these, and is not told in another way, either.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    zero = datetime.fromisoformat(rows[0]["TIMESTAMP"][:26])
    draw = random.Random(300)
    for number, row in enumerate(rows):
        words = max(4, min(1_400, round(int(row["ContextTokens"]) * prompt_part) - 40))
        most = max(2, min(256, round(int(row["GeneratedTokens"]) * output_part)))
        at_s = (datetime.fromisoformat(row["TIMESTAMP"][:26]) - zero).total_seconds()
        yield Ask("trace", f"{number} " + " ".join(draw.choices(WORDS, k=words)), most, exactly=True, at_s=at_s)
