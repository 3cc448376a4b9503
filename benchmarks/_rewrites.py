"""Labelled rewrites of questions: harmless ones that keep the answer, and small changes that make it another.

Seeded; of the templates here and of the words that a `Neighbours` table offers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forebay.policies.acceptance.lexicon import FILLERS, FUNCTION_WORDS
from forebay.policies.acceptance.relations import ANTONYMS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

FRAMES = tuple(
    (re.compile(pattern, re.IGNORECASE), tuple(frames.split(" / ")))
    for pattern, frames in (
        (
            r"^(?:how (?:do|can|should|could|would) i|how to|what(?: is|'s) the (?:best )?way to) (.+)$",
            (
                "how do i {} / how can i {} / how do you {} / what is the best way to {} / what's the best way to {} / "
                "how should i {} / how could i {} / how does one {} / what are some ways to {} / what do i need to do to {} / "
                "how to {} / what should i do to {} / i want to {}, how do i do that / what is the easiest way to {} / "
                "can you tell me how to {} / what are the best ways to {} / tell me how to {} / what steps do i take to {}"
            ),
        ),
        (
            r"^(?:what is|what's|whats) (?!the best|the way)(.+)$",
            (
                "what is {} / what's {} / can you tell me what {} is / tell me what {} is / do you know what {} is / "
                "i would like to know what {} is / what exactly is {} / could you say what {} is"
            ),
        ),
        (
            r"^(?:what is|what's|what are|which is) the best (.+)$",
            (
                "what is the best {} / which is the best {} / what are the best {} / what are some good {} / which {} is best / "
                "what {} do you recommend / what is a good {} / what are some of the best {} / which {} should i choose"
            ),
        ),
        (r"^what are (.+)$", "what are {} / which are {} / what are some of {} / can you list {} / could you name {}"),
        (
            r"^(?:can i|is it possible to|could i) (.+)$",
            (
                "can i {} / is it possible to {} / am i able to {} / is there a way to {} / could i {} / may i {} / "
                "is it possible for me to {}"
            ),
        ),
        (
            r"^(?:i want to|i need to|please|could you|can you|i would like to|i'd like to) (.+)$",
            (
                "i want to {} / please {} / can you {} / i need to {} / could you {} / {} / i would like to {} / "
                "i need you to {} / would you {} / help me {}"
            ),
        ),
    )
)
BEFORE = "hi, / hello, / please tell me, / so / hey / quick question: / um / sorry, / ok, / excuse me,".split(" / ")
AFTER = " please/ thanks/, do you know?/ exactly/, thank you/?/??/ please help/ right now/!".split("/")
ADDITIONS = (
    "in canada / in india / in london / for beginners / for kids / for students / without a car / on weekends / at night / "
    "online / for free / on an iphone / on android / for my mother / in winter / after surgery / in 2015 / before an exam / "
    "with a credit card / for a small business / as a foreigner / in python / during pregnancy / in high school / "
    "for my dog / under 500 dollars / without an account / from another country / for two people / by phone"
).split(" / ")
ADJECTIVES = (
    "free old small indian second electric digital american new foreign young cheap medical joint temporary female local "
    "military"
).split()
NEGATIONS = (
    (r"\b(can|could|should|would|do|does|did|is|are|was|were) (i|you|we|it|they|my|the|this)\b", r"\1 \2 not"),
    (r"\b(is|are|can|will|should|do|does) ", r"\1 not "),
    (r"\bwith\b", "without"),
    (r"^(\w)", r"do not \1"),
)
ASKING = ("how", "why", "when", "where", "who")
AMBIGUOUS = frozenset("in to out on no like i over or right last".split())
_OPPOSITES: dict[str, list[str]] = {}
for _left, _right in ANTONYMS:
    _OPPOSITES.setdefault(_left, []).append(_right)
    _OPPOSITES.setdefault(_right, []).append(_left)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each word those that may stand for it, and those that are like it but something else."""

    same: Mapping[str, Sequence[str]]
    other: Mapping[str, Sequence[str]]


def rewrites(
    texts: Sequence[str], neighbours: Neighbours, rng: random.Random, count: int
) -> list[tuple[str, str, bool]]:
    """Return so many (question, rewrite, whether the answer stays)."""

    def swap(text: str, rng: random.Random) -> str | None:
        return _replace(text, rng, neighbours.other)

    def reword(text: str, rng: random.Random) -> str | None:
        return _replace(text, rng, neighbours.same)

    changes = [
        *[swap] * 5,
        *[_opposite] * 2,
        _negate,
        *[_number] * 2,
        _ask_other,
        *[_add] * 2,
        *[_qualify] * 2,
        *[_turn] * 2,
    ]
    harmless = [*[reframe] * 5, _polite, misspell, _case, *[reword] * 3]
    made: list[tuple[str, str, bool]] = []
    while len(made) < count:
        text = rng.choice(texts)
        same = rng.random() < 0.5
        other = _harmless(text, rng, harmless) if same else _changed(text, rng, changes, reword)
        if other is not None and other.lower() != text.lower():
            made.append((text, other, same))
    return made


def reframe(text: str, rng: random.Random) -> str | None:
    """Return the question in another frame, None where none fits."""
    plain = text.strip().rstrip("?.! ")
    plain = plain[:1].lower() + plain[1:]
    for pattern, frames in FRAMES:
        match = pattern.match(plain)
        if match:
            made = rng.choice(frames).format(match.group(1))
            return made if made != plain else None
    return None


def misspell(text: str, rng: random.Random) -> str | None:
    """Return the text with one longer word misspelt, None where it has none."""
    words = text.split()
    places = [at for at, word in enumerate(words) if word.isalpha() and len(word) >= 5]
    if not places:
        return None
    at = rng.choice(places)
    word = words[at]
    cut = rng.randrange(1, len(word) - 2)
    start, here, after, rest = word[:cut], word[cut], word[cut + 1], word[cut + 2 :]
    words[at] = rng.choice((start + after + here + rest, start + after + rest, start + here + here + after + rest))
    return " ".join(words)


def _harmless(text: str, rng: random.Random, ways: Sequence[Callable[[str, random.Random], str | None]]) -> str:
    for _ in range(rng.choice((1, 2, 2, 3))):
        text = rng.choice(ways)(text, rng) or text
    return text


def _changed(
    text: str,
    rng: random.Random,
    ways: Sequence[Callable[[str, random.Random], str | None]],
    reword: Callable[[str, random.Random], str | None],
) -> str | None:
    made = rng.choice(ways)(text, rng)
    if made is None:
        return None
    if rng.random() < 0.5:
        made = reframe(made, rng) or made
    if rng.random() < 0.25:
        made = reword(made, rng) or made
    if rng.random() < 0.2:
        made = misspell(made, rng) or made
    return made


def _polite(text: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"{rng.choice(BEFORE)} {text}"
    return text.rstrip("?.! ") + rng.choice(AFTER)


def _case(text: str, rng: random.Random) -> str:
    return rng.choice((text.lower(), text[:1].upper() + text[1:] + "?", text.rstrip("?.!"), text.upper()))


def _telling(words: Sequence[str]) -> list[int]:
    """Return the places of words that say what it is about."""

    def tells(word: str) -> bool:
        core = word.strip("?,.!").lower()
        return core.isalpha() and len(core) > 2 and core not in FUNCTION_WORDS and core not in FILLERS

    return [at for at, word in enumerate(words) if tells(word)]


def _replace(text: str, rng: random.Random, by: Mapping[str, Sequence[str]]) -> str | None:
    words = text.split()
    places = _telling(words)
    rng.shuffle(places)
    for at in places:
        core = words[at].strip("?,.!")
        options = by.get(core.lower())
        if options:
            other = rng.choice(options)
            words[at] = words[at].replace(core, other.capitalize() if at and core[0].isupper() else other)
            return " ".join(words)
    return None


def _opposite(text: str, rng: random.Random) -> str | None:
    words = text.split()
    for at, word in enumerate(words):
        options = _OPPOSITES.get(word.lower().strip("?.,"))
        if options and word.lower() not in AMBIGUOUS:
            words[at] = rng.choice(options)
            return " ".join(words)
    return None


def _negate(text: str, _rng: random.Random) -> str | None:
    for pattern, negated in NEGATIONS:
        made = re.sub(pattern, negated, text, count=1, flags=re.IGNORECASE)
        if made != text:
            return made
    return None


def _number(text: str, rng: random.Random) -> str | None:
    found = list(re.finditer(r"[0-9]{1,9}", text))
    if not found:
        return None
    match = rng.choice(found)
    value = int(match.group())
    other = value + rng.choice((1, 2, 3, 5, 10, 100, value + 1))
    return f"{text[: match.start()]}{other}{text[match.end() :]}"


def _ask_other(text: str, rng: random.Random) -> str | None:
    match = re.match(r"(how|why|when|where|who)\b(?! (many|much|long|old|far|tall|often))", text, flags=re.IGNORECASE)
    if not match:
        return None
    return rng.choice([word for word in ASKING if word != match.group(1).lower()]) + text[match.end() :]


def _add(text: str, rng: random.Random) -> str:
    return f"{text.rstrip('?.! ')} {rng.choice(ADDITIONS)}"


def _qualify(text: str, rng: random.Random) -> str | None:
    words = text.split()
    places = _telling(words)
    if not places:
        return None
    words.insert(rng.choice(places[-2:]), rng.choice(ADJECTIVES))
    return " ".join(words)


def _turn(text: str, _rng: random.Random) -> str | None:
    """Return the text with what stands around "from … to" or a comparison changed over."""
    thing = r"((?:my |the )?\w+(?: \w+)?)"
    match = re.search(rf"\bfrom {thing} (to|into) {thing}", text)
    if match:
        turned = f"from {match.group(3)} {match.group(2)} {match.group(1)}"
    else:
        match = re.search(r"\b(\w{4,}) (than|to|over|before|after|beats) (\w{4,})\b", text)
        if not match:
            return None
        turned = f"{match.group(3)} {match.group(2)} {match.group(1)}"
    return text[: match.start()] + turned + text[match.end() :]
