"""Generated conversations whose last message is the same: traps that must not share an answer, and pairs that may.

Own templates over many fields of life, filled by a seeded generator; with CLINC150 and BANKING77 at hand their questions
(CC BY 3.0 and 4.0) open further conversations. A trap differs in one detail of the earlier turns (worded alike or
otherwise), in what they are about, or in what the assistant offered last; its last message is equal. A positive has equal
facts, in other words, with chatter, or with a history that doesn't matter.
"""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from _scenarios import (
    CHATTER,
    CHOOSING,
    CHOSEN,
    CLOSINGS,
    DECOYS,
    GENERIC_LAST,
    REPLIES,
    SCENARIOS,
    SIDE,
    STANDING,
    Scenario,
    Turns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

Messages: TypeAlias = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Two conversations and whether the last message of both has one answer."""

    id: str
    subtype: str
    same_answer: bool
    a: Messages
    b: Messages


class Generator:
    """Makes dialogues; the same seed makes the same ones."""

    def __init__(self, seed: int = 4) -> None:
        self._random = random.Random(seed)

    def traps(self, each: int, corpus: Sequence[tuple[str, str]] = ()) -> Iterator[Dialogue]:
        """Yield so many different traps of each kind.

        Args:
            corpus: (question, intent) pairs for ``corpus_swap``, which is left out without them.
        """
        makers: dict[str, Callable[[], tuple[Turns, Turns]]] = {
            "context_swap": self._context_swap,
            "detail_swap": self._detail_swap,
            "detail_swap_reworded": lambda: self._detail_swap(reworded=True),
            "detail_swap_decoy": lambda: self._detail_swap(reworded=True, decoy=True),
            "answer_swap": self._answer_swap,
            "intent_flip": self._intent_flip,
        }
        if corpus:
            makers["corpus_swap"] = lambda: self._corpus_swap(corpus)
        yield from self._dialogues(makers, each, same=False)

    def positives(self, each: int) -> Iterator[Dialogue]:
        """Yield so many different positives of each kind."""
        makers = {
            "same_context_reworded": self._reworded,
            "irrelevant_history": self._irrelevant,
            "same_context_extra_chatter": self._chatter,
        }
        yield from self._dialogues(makers, each, same=True)

    def _dialogues(
        self, makers: Mapping[str, Callable[[], tuple[Turns, Turns]]], each: int, *, same: bool
    ) -> Iterator[Dialogue]:
        for subtype, make in makers.items():
            seen: set[tuple[Turns, Turns]] = set()
            while len(seen) < each:
                pair = make()
                if pair in seen:
                    continue
                seen.add(pair)
                yield Dialogue(f"{subtype}-{len(seen)}", subtype, same, *map(_messages, pair))

    def _context_swap(self) -> tuple[Turns, Turns]:
        one, other = self._random.sample(SCENARIOS, 2)
        last = self._random.choice(GENERIC_LAST)
        return (
            (*_history(one, self._values(one), 0), last),
            (*_history(other, self._values(other), 0), last),
        )

    def _detail_swap(self, *, reworded: bool = False, decoy: bool = False) -> tuple[Turns, Turns]:
        scenario = self._random.choice(SCENARIOS)
        values = self._values(scenario)
        slot = self._random.choice(sorted(scenario.slots))
        others = {**values, slot: self._random.choice([v for v in scenario.slots[slot] if v != values[slot]])}
        last = self._random.choice(scenario.last)
        way = self._random.randrange(2)
        side = self._side()
        sides = [side, side]
        if decoy:  # each side mentions the other's value, of somebody else
            told = self._random.sample(DECOYS, 2)
            sides = [(text.format(x[slot]), "Good to know.") for text, x in zip(told, (others, values), strict=True)]
        return (
            (*_history(scenario, values, way), *sides[0], last),
            (*_history(scenario, others, 1 - way if reworded else way), *sides[1], last),
        )

    def _answer_swap(self) -> tuple[Turns, Turns]:
        scenario = self._random.choice([one for one in SCENARIOS if len(one.told) > 1])
        values = self._values(scenario)
        told, other = self._random.sample(scenario.told, 2)
        last = self._random.choice(scenario.last)
        way = self._random.randrange(2)
        return (
            (*_history(scenario, {**values, "told": told}, way), last),
            (*_history(scenario, {**values, "told": other}, way), last),
        )

    def _intent_flip(self) -> tuple[Turns, Turns]:
        scenario = self._random.choice([one for one in SCENARIOS if one.offers])
        history = _history(scenario, self._values(scenario), self._random.randrange(2))
        first, second = self._random.sample(scenario.offers, 2)
        if self._random.random() < CHOOSING:
            last = self._random.choice(CHOSEN)
            one, other = (offer.split(" ", 2)[2].rstrip("?") for offer in (first, second))
            first, second = (f"I can {x}, or {y}. Which one?" for x, y in ((one, other), (other, one)))
        else:
            last = self._random.choice(REPLIES)
        return (
            (*history[:-1], f"{history[-1]} {first}", last),
            (*history[:-1], f"{history[-1]} {second}", last),
        )

    def _corpus_swap(self, corpus: Sequence[tuple[str, str]]) -> tuple[Turns, Turns]:
        (one, intent), (other, another) = self._random.sample(corpus, 2)
        while intent == another:
            other, another = self._random.choice(corpus)
        reply = self._random.choice(
            ("Sure, I can help you with that.", "Of course. I have looked it up for you.", "Yes.")
        )
        last = self._random.choice(GENERIC_LAST)
        return (one, reply, last), (other, reply, last)

    def _reworded(self) -> tuple[Turns, Turns]:
        scenario = self._random.choice(SCENARIOS)
        values = self._values(scenario)
        last = self._random.choice(scenario.last)
        return (*_history(scenario, values, 0), last), (*_history(scenario, values, 1), last)

    def _irrelevant(self) -> tuple[Turns, Turns]:
        last = self._random.choice(STANDING)
        one, other = self._random.sample(SCENARIOS, 2)
        return self._talked_about(one, last), self._talked_about(other, last)

    def _talked_about(self, scenario: Scenario, last: str) -> Turns:
        history = _history(scenario, self._values(scenario), 0)
        return (*history, self._random.choice(scenario.last), "It depends.", *self._random.choice(CLOSINGS), last)

    def _chatter(self) -> tuple[Turns, Turns]:
        scenario = self._random.choice(SCENARIOS)
        history = _history(scenario, self._values(scenario), self._random.randrange(2))
        last = self._random.choice(scenario.last)
        chatty = (f"{self._random.choice(CHATTER)} {history[0]}", f"Hello! {history[1]}", *history[2:])
        return (*history, last), (*chatty, *self._side(), last)

    def _values(self, scenario: Scenario) -> dict[str, str]:
        values = {slot: self._random.choice(choices) for slot, choices in scenario.slots.items()}
        return {**values, "told": self._random.choice(scenario.told)}

    def _side(self) -> Turns:
        return self._random.choice(((), (), *SIDE))


def corpus_of(data: Path) -> list[tuple[str, str]]:
    """Return questions and intents of CLINC150 and BANKING77 under the folder of the data sets."""
    clinc = json.loads((data / "semcache/clinc150/data_full.json").read_text(encoding="utf-8"))
    rows = [(text, f"clinc/{intent}") for text, intent in clinc["test"]]
    with (data / "semcache/banking77/train.csv").open(encoding="utf-8", newline="") as file:
        rows += [(row["text"], f"banking/{row['category']}") for row in csv.DictReader(file)]
    return rows


def _history(scenario: Scenario, values: Mapping[str, str], way: int) -> Turns:
    """Return the turns before the last message; the assistant has the last word."""
    turns = tuple(turn.format(**values) for turn in scenario.ways[way])
    return turns if len(turns) % 2 == 0 else (*turns, "Thank you.")


def _messages(turns: Turns) -> Messages:
    return [{"role": ("user", "assistant")[at % 2], "content": turn} for at, turn in enumerate(turns)]
