from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.judges.plain import plain
from forebay.adapters.judges.words import difference, nearly_equal, read, tokens, value_of


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("**Lisbon**.", ("Lisbon.",)),
        ("# Opening\n\n- at *ten*\n- till __six__", ("Opening", "at ten", "till six")),
        ("1. one\n2) two\n(3) three", ("one", "two", "three")),
        ("See [the page](http://x.y/z).", ("See the page.",)),
        ("Sure! It is 5.\nI hope this helps!", ("It is 5.",)),
        ("The answer is: 42", ("42",)),
        ("One. Two? Three", ("One.", "Two?", "Three")),
        ("version 3.10 is out. it works", ("version 3.10 is out. it works",)),
        ("| a | b |\n|---|---|\n| 1 | 2 |", ("a | b", "1 | 2")),
        ("> quoted\r\nplain", ("quoted", "plain")),
        ("2 * 3 * 4", ("2 * 3 * 4",)),
        ("2019. A good year.", ("2019.", "A good year.")),
    ],
)
def test_decoration_comes_off(text: str, sentences: tuple[str, ...]) -> None:
    assert plain(text).sentences == sentences


@pytest.mark.parametrize(
    "text", ["Certainly not.", "Sure.", "Thanks for asking.", "Let me know if you need more.", "Yes!"]
)
def test_what_is_all_there_is_stays(text: str) -> None:
    assert plain(text).sentences == (text,)


def test_code_stands_apart_letter_by_letter() -> None:
    found = plain("Use `ls`:\n```sh\nls -la   \n\n```\nThat is all.")
    assert found.code == ("ls -la",)
    assert found.sentences == ("Use ls:", "That is all.")
    assert found.spans == {"ls"}
    assert plain("~~~\na\n~~~\n```\nb").code == ("a", "b")  # an answer may have been cut


@pytest.mark.parametrize(
    ("number", "exact", "value"),
    [
        ("1,000", True, "1000"),
        ("1,234,567.5", True, "1234567.5"),
        ("2.0", True, "2"),
        ("3.10", True, "3.10"),
        ("3.10", False, "3.1"),
        ("1,5", True, "1,5"),
        ("10:30", True, "10:30"),
        ("007", True, "007"),
        ("-0.50", False, "-0.5"),
    ],
)
def test_numbers_have_one_spelling(number: str, exact: bool, value: str) -> None:
    assert value_of(number, exact=exact) == value


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("3.14159", "3.1416", True),
        ("3.14", "3.2", False),
        ("2", "2.4", True),
        ("2", "3.1", False),
        ("30", "31", False),
        ("10:30", "10:31", False),
        ("9" * 100 + ".5", "9" * 100, False),
    ],
)
def test_rounded_numbers(one: str, other: str, near: bool) -> None:
    assert nearly_equal(one, other) is nearly_equal(other, one) is near


def texts(sentence: str) -> list[str]:
    return [token.text for token in tokens(sentence)]


def test_words_and_signs() -> None:
    assert texts("You can't pay -5, nor $3.50 (5km & more)!") == "you can not pay -5 nor $ 3.5 5 km and more".split()
    assert texts("twenty-five of Seven, 100%") == ["25", "of", "7", "100", "%"]
    assert texts("It's Ann's C++") == ["it", "is", "ann", "c++"]
    assert texts("5-7 and x -5 and - 5") == ["5", "7", "and", "x", "-5", "and", "5"]


def test_names_are_told_by_their_spelling() -> None:
    found = read(["In Porto the NASA team met Dr. Silva on route B2.", "Porto Is A Big Old Town"])
    assert found.names == {"porto", "nasa", "dr", "silva", "b2"}


@pytest.mark.parametrize(
    ("kept", "fresh", "conflict", "doubt"),
    [
        ("It takes 3 days.", "It takes 5 days.", "number_conflict", ""),
        ("It takes 3 days.", "It takes 3 weeks.", "unit_conflict", ""),
        ("It takes 3 days.", "It takes three days.", "", ""),
        ("Pi is about 3.14.", "Pi is about 3.1416.", "", "rounded_number"),
        ("Ships sail from Toulon.", "Ships sail from Nice.", "name_conflict", ""),
        ("We fly to NYC.", "We fly to New York City.", "", ""),
        ("It is safe to eat.", "It is not safe to eat.", "negation_conflict", ""),
        ("Your data is kept.", "Your data is not deleted.", "", "negation"),
        ("Prices rise in May.", "Prices fall in May.", "opposite_words", ""),
        ("The wire is made of copper.", "The wire is made of brass.", "", "few_words_differ"),
        ("Ajax beat Sparta.", "Sparta beat Ajax.", "", "word_order"),
        ("It is open.", "It is open at 9.", "", "number_missing"),
        ("It is open at 9.", "It is open at 9.", "", ""),
    ],
)
def test_what_two_texts_disagree_about(kept: str, fresh: str, conflict: str, doubt: str) -> None:
    found = difference(read([kept]), read([fresh]))
    assert (found.conflict, found.doubt) == (conflict, doubt)


@given(st.text(max_size=200))
def test_no_text_disagrees_with_itself(text: str) -> None:
    found = plain(text)
    words = read(found.sentences)
    assert difference(words, words) == difference(read([]), read([]))


@pytest.mark.parametrize(
    "unit", ["*a", "[x", "```\n", "`a", "- ", "I hope ", "__", "1.", "9,", "Sure! ", "a\n> ", "if you need ", "Ab "]
)
def test_reading_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        begun = time.process_time()
        read(plain(text).sentences)
        return time.process_time() - begun

    seconds(1_000)
    assert seconds(200_000) < 5.0
