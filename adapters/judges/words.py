"""The words of an answer: its numbers, names and negations, and what two answers disagree about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN: Final = re.compile(
    r"(?P<number>(?:(?<![\w.)])-)?\d+(?:[.,:/]\d+)*(?=(?:[a-zA-Z]{1,3})?(?!\w)))"
    r"|(?P<word>\w+(?:'\w+)*(?:\+\+|\#)?)"
    r"|(?P<symbol>[%$\u20ac\u00a3\u00a5+*/=<>^\u00b0\u2264\u2265\u2260\u00b1\u00d7\u00f7~&@\\])"
)
_THOUSANDS: Final = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_MONEY: Final = frozenset("$\u20ac\u00a3\u00a5")
_LONGEST_DECIMAL: Final = 20
_LONGEST_INITIALS: Final = 8

_UNITS_OF_TEN: Final = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
SPELLED: Final = {
    **{word: at for at, word in enumerate(_SMALL)},
    **{word: 10 * at for at, word in enumerate(_UNITS_OF_TEN, 2)},
}
_COMPOUND: Final = re.compile(rf"\b({'|'.join(_UNITS_OF_TEN)})[- ]({'|'.join(_SMALL[1:10])})\b", re.IGNORECASE)

NEGATORS: Final = frozenset("not no never none neither nor nobody nothing nowhere without cannot hardly".split())
AFFIRMED: Final = frozenset("yes yeah yep yup correct true right affirmative".split())
DENIED: Final = frozenset("no nope nah incorrect false wrong negative".split())
EMPTY_WORDS: Final = frozenset(
    "a an the this that these those it its they them their there here he she his her him i me my we us our you your "
    "is are was were be been being am do does did done has have had having will would shall should can could may "
    "might must to of in on at by for from with as and or but so if then than when while also too just very "
    "please which who whom whose what where how why not no never some any such into about over up out per".split()
)
_CONTRACTED: Final = {"ca": "can", "wo": "will", "sha": "shall"}
_ENDINGS: Final = {"re": "are", "ll": "will", "ve": "have", "m": "am", "d": "would"}
_IS: Final = frozenset("it that there here he she what who where how".split())

UNITS: Final = {
    word: words.split()[0]
    for words in (
        "km kilometre kilometres kilometer kilometers|mile miles mi|m metre metres meter meters|cm centimetre centimetres"
        " centimeter centimeters|mm millimetre millimetres millimeter millimeters|foot feet ft|inch inches|yard yards"
        "|g gram grams|kg kilogram kilograms kilo kilos|lb lbs pound pounds|oz ounce ounces|tonne tonnes ton tons"
        "|ml millilitre millilitres milliliter milliliters|l litre litres liter liters|cup cups|gallon gallons"
        "|second seconds sec s|minute minutes min|hour hours h|day days|week weeks|month months|year years"
        "|celsius|fahrenheit|kelvin|% percent|$ dollar dollars usd|\u20ac euro euros eur|\u00a3 sterling gbp"
        "|kb kilobyte kilobytes|mb megabyte megabytes|gb gigabyte gigabytes|tb terabyte terabytes|kw kilowatt kilowatts"
        "|kwh|mg milligram milligrams|watt watts|volt volts|am|pm"
    ).split("|")
    for word in words.split()
}

_OPPOSED: Final = (
    "increase decrease|increases decreases|increased decreased|rise fall|rises falls|higher lower|high low|more less"
    "|more fewer|most least|highest lowest|maximum minimum|before after|always never|open closed|opens closes|true false|left right"
    "|north south|east west|enable disable|enabled disabled|include exclude|included excluded|includes excludes"
    "|accept reject|accepted rejected|allowed forbidden|allowed prohibited|permitted prohibited|safe unsafe|safe dangerous"
    "|first last|buy sell|gain loss|above below|over under|inside outside|am pm|legal illegal|possible impossible"
    "|required optional|mandatory optional|free paid|hot cold|day night|early late|earlier later|faster slower"
    "|fast slow|larger smaller|large small|longer shorter|long short|older newer|upper lower|win lose|won lost"
    "|refundable nonrefundable|valid invalid|public private|internal external|morning evening|success failure"
    "|arrival departure|import export|lend borrow|borrower lender|ascending descending|positive negative|yes no"
)


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in _OPPOSED.split("|"):
        one, other = map(stem, pair.split())
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}


def stem(word: str) -> str:
    """Return a word without its plural, -ed or -ing: weak on purpose, two words taken for one hide a conflict."""
    for ending, shortest in (("ies", 5), ("es", 5), ("s", 4), ("ing", 6), ("ed", 5), ("e", 4)):
        if len(word) >= shortest and word.endswith(ending) and not word.endswith("ss"):
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


OPPOSITES: Final = _opposites()


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or sign.

    Attributes:
        text: folded: what two answers are compared by.
        number: it is a number.
        name: its spelling marks a name: a capital inside a sentence, an acronym, letters and digits mixed.
        capital: it begins with a capital, wherever it stands.
    """

    text: str
    number: bool = False
    name: bool = False
    capital: bool = False


def tokens(sentence: str) -> list[Token]:
    """Return a sentence's words, numbers and signs in order; other punctuation is left out."""
    found = list(_TOKEN.finditer(_COMPOUND.sub(_summed, sentence)))
    words = [match["word"] for match in found if match["word"]]
    capital = sum(word[0].isupper() for word in words)
    titled = capital > 0.6 * len(words) and len(words) >= 4  # noqa: PLR2004  (a headline's capitals mark no names)
    made: list[Token] = []
    for at, match in enumerate(found):
        if match["number"]:
            before, after = (found[near].group() if 0 <= near < len(found) else "" for near in (at - 1, at + 1))
            made.append(Token(value_of(match["number"], exact=before not in _MONEY and after != "%"), number=True))
        elif match["word"]:
            made += _word(match["word"], first=at == 0, titled=titled)
        else:
            made.append(Token("and" if match["symbol"] == "&" else match["symbol"]))
    return made


def value_of(number: str, *, exact: bool = True) -> str:
    """Return one spelling for a number: 1,000 is 1000 and 2.0 is 2; 3.10 stays what it is, as in a version.

    Args:
        exact: False where it is an amount, for which 3.50 is 3.5.
    """
    if _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    if not _DECIMAL.fullmatch(number) or "." not in number:
        return number
    whole, fraction = number.split(".")
    if not exact:
        fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction.strip("0") else whole


def nearly_equal(one: str, other: str) -> bool:
    """Return whether one number is the other, rounded or cut to fewer digits."""
    if max(len(one), len(other)) > _LONGEST_DECIMAL or not (_DECIMAL.fullmatch(one) and _DECIMAL.fullmatch(other)):
        return False
    coarse, fine = sorted((one, other), key=lambda number: len(number.partition(".")[2]))
    step = Decimal(1).scaleb(-len(coarse.partition(".")[2]))
    cut = {Decimal(fine).quantize(step, rounding) for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN)}
    return Decimal(coarse) in cut and "." in one + other


@dataclass(frozen=True, slots=True)
class Words:
    """What two texts are compared by.

    Attributes:
        stems: of all tokens that carry meaning on their own, in order.
        numbers, names: among them.
        initials: first letters of each run of capitalised words: "nyc" for New York City.
        measures: numbers with the unit behind them.
        negations: how many words negate.
    """

    stems: tuple[str, ...]
    numbers: frozenset[str]
    names: frozenset[str]
    initials: frozenset[str]
    measures: frozenset[tuple[str, str]]
    negations: int


def read(sentences: Iterable[str]) -> Words:
    """Read sentences."""
    stems: list[str] = []
    numbers: set[str] = set()
    names: set[str] = set()
    runs: set[str] = set()
    measures: set[tuple[str, str]] = set()
    negations = 0
    for sentence in sentences:
        run = number = ""
        for token in tokens(sentence):
            if number and token.text in UNITS:
                measures.add((number, UNITS[token.text]))
            number = token.text if token.number else ""
            negations += token.text in NEGATORS
            if token.number:
                numbers.add(token.text)
            if token.name:
                names.add(stem(token.text))
            run = (run + token.text[0])[:_LONGEST_INITIALS] if token.capital else ""
            runs.add(run)
            if token.name or token.text not in EMPTY_WORDS:
                stems.append(stem(token.text))
    return Words(tuple(stems), frozenset(numbers), frozenset(names), frozenset(runs), frozenset(measures), negations)


@dataclass(frozen=True, slots=True)
class Difference:
    """What two texts disagree about.

    Attributes:
        conflict: both say something the other contradicts: a bounded label, "" where nothing was found.
        doubt: why one may not stand for the other although nothing contradicts, "" for no reason.
    """

    conflict: str = ""
    doubt: str = ""


def difference(kept: Words, fresh: Words) -> Difference:
    """Compare what a kept text says with a fresh one; what the kept one says in addition is no conflict."""
    kept_only, fresh_only = kept.numbers - fresh.numbers, fresh.numbers - kept.numbers
    if kept_only and fresh_only:
        rounded = all(any(nearly_equal(one, other) for other in kept_only) for one in fresh_only)
        return Difference(doubt="rounded_number") if rounded else Difference("number_conflict")
    if any(value == other and unit != its for value, unit in kept.measures for other, its in fresh.measures):
        return Difference("unit_conflict") if not kept.measures & fresh.measures else Difference(doubt="unit")
    if _names_missing(kept, fresh) and _names_missing(fresh, kept):
        return Difference("name_conflict")
    left, right = set(kept.stems) - set(fresh.stems), set(fresh.stems) - set(kept.stems)
    alike = len(set(kept.stems) & set(fresh.stems)) >= 2 * max(len(left), len(right))
    negated = bool(kept.negations) != bool(fresh.negations)
    if any(OPPOSITES.get(word, frozenset()) & right for word in left):
        return Difference(doubt="opposite_words") if negated or not alike else Difference("opposite_words")
    if negated:  # "is kept" and "is not deleted" are the same
        return Difference(doubt="negation") if (left and right) or not alike else Difference("negation_conflict")
    if fresh_only:
        return Difference(doubt="number_missing")
    if _names_missing(fresh, kept):
        return Difference(doubt="name_missing")
    if left or right:
        return Difference(doubt="few_words_differ") if alike else Difference()
    return Difference(doubt="word_order") if kept.stems != fresh.stems else Difference()


def _names_missing(of: Words, in_: Words) -> set[str]:
    known = set(in_.stems) | in_.names
    return {name for name in of.names - known if name not in in_.initials and not _spelled_out(name, of, in_)}


def _spelled_out(name: str, of: Words, in_: Words) -> bool:
    """Return whether a name is a part of one that the other text gives by its initials."""
    return any(name[0] in run and run in in_.names for run in of.initials if len(run) > 1)


def _word(spelled: str, *, first: bool, titled: bool) -> list[Token]:
    word = spelled.casefold()
    acronym = len(spelled) > 1 and spelled.isupper() and any(map(str.isalpha, spelled))
    mixed = any(map(str.isdigit, spelled)) and any(map(str.isalpha, spelled))
    inside = spelled[0].isupper() and not first
    name = (acronym or mixed or inside) and not titled and (word not in EMPTY_WORDS or (inside and word == "may"))
    if word == "cannot":
        return [Token("can"), Token("not")]
    if word.endswith("n't"):
        return [Token(_CONTRACTED.get(word[:-3], word[:-3])), Token("not")]
    stemmed, mark, ending = word.rpartition("'")
    if mark and stemmed:
        if ending == "s":
            return [Token(stemmed, name=name), *([Token("is")] if stemmed in _IS else [])]
        if ending in _ENDINGS:
            return [Token(stemmed, name=name and len(stemmed) > 1), Token(_ENDINGS[ending])]
    if word in SPELLED:
        return [Token(str(SPELLED[word]), number=word != "one")]
    return [Token(word, name=name, capital=spelled[0].isupper())]


def _summed(compound: re.Match[str]) -> str:
    return str(SPELLED[compound[1].lower()] + SPELLED[compound[2].lower()])
