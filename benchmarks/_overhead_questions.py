"""Questions of a wanted length in tokens, for litellm_overhead.py: ever new ones, known ones, and known ones reworded."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KNOWN: Final = 20
"""Questions of each length that have an answer already."""

# short, common words: each is one token, and no two questions made of them mean the same
WORDS: Final = (
    "river stone garden window market winter bridge candle forest engine letter mirror school island doctor farmer "
    "silver copper cotton orange butter coffee basket bottle carpet castle circle corner dinner finger flower ground "
    "hammer harbor kitchen ladder leather lemon library machine meadow metal money morning mountain needle ocean office "
    "painter palace paper pencil pepper planet pocket potato prison rabbit railway saddle season shadow shoulder spider "
    "spring station summer supper temple theater thunder ticket tiger tower travel tunnel valley village violin wagon "
    "wheel whistle wood wool yard"
).split()
JOINTS: Final = ("of the", "near the", "and the", "with the", "under the", "behind the")


def questions(seed: int) -> Iterator[Callable[[int], str]]:
    """Yield question after question; each is given its length in tokens."""
    for number in count():
        rng = random.Random(f"{seed}/{number}")

        def made(tokens: int, rng: random.Random = rng) -> str:
            about = rng.sample(WORDS, 12)  # few: long questions about everything would all be alike
            words = about[:2]
            while len(words) < tokens - 11:
                words += [*rng.choice(JOINTS).split(), rng.choice(about)]
            return f"explain in plain words the {' '.join(words[: tokens - 11])}"

        yield made


class Prompts:
    """What the cases ask at one prompt length."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        known = questions(1)
        self.known = [f"Please {next(known)(tokens)}" for _ in range(KNOWN)]
        self._new = questions(2)
        self._numbers = count()

    def of(self, kind: str, number: int) -> list[str]:
        """Return so many prompts of a kind."""
        if kind == "miss":
            return [f"Please {next(self._new)(self._tokens)}" for _ in range(number)]
        at = [next(self._numbers) for _ in range(number)]
        if kind == "exact":
            return [self.known[n % KNOWN] for n in at]
        return [reworded(self.known[n % KNOWN], n // KNOWN) for n in at]


def reworded(known: str, number: int) -> str:
    """Return a question that means the same, another text for each number: the embedder remembers texts."""
    words = known.replace("Please", "Can you", 1).split(" ")
    gaps = ["  " if number >> at & 1 else " " for at in range(len(words) - 1)]
    return "".join(word + gap for word, gap in zip(words, [*gaps, "?"], strict=True))
