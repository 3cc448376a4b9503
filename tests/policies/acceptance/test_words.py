from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.acceptance.words import Number, read, stem, value_of


@pytest.mark.parametrize(
    "forms",
    [
        ("refund", "refunds", "refunded", "refunding"),
        ("city", "cities"),
        ("cancel", "cancelled", "canceling", "cancelling"),
        ("stop", "stopped", "stopping"),
        ("box", "boxes"),
        ("class", "classes"),
        ("movie", "movies"),
        ("summarise", "summarize", "summarised", "summarizing"),
        ("colour", "color", "colours"),
        ("automatic", "automatically"),
        ("wireless", "wirelessly"),
    ],
)
def test_forms_of_one_word_share_a_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("employer", "employee"),
        ("care", "careless"),
        ("use", "useless"),
        ("new", "news"),
        ("rat", "rating"),
        ("bus", "bu"),
        ("univers", "university"),
        ("sing", "s"),
        ("feed", "fe"),
    ],
)
def test_other_words_have_other_stems(one: str, other: str) -> None:
    assert stem(one) != stem(other)


@pytest.mark.parametrize(
    ("number", "value"),
    [("1,000", "1000"), ("1,234,567.5", "1234567.5"), ("2,5", "2.5"), ("05", "5"), ("0", "0"), ("0.5", "0.5")]
    + [(kept, kept) for kept in ("3.10.2", "7:30", "1/2", "1000")],
)
def test_value_of(number: str, value: str) -> None:
    assert value_of(number) == value


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("12% of 250", [("12", "%"), ("250", "")]),
        ("twelve percent of 250", [("12", "%"), ("250", "")]),
        ("a 3kg parcel", [("3", "kg")]),
        ("a 3 kilo parcel", [("3", "kg")]),
        ("a two-year lease", [("2", "year")]),
        ("£50 and 50 pounds", [("50", "pound"), ("50", "pound")]),
        ("at 7am or 7 p.m.", [("7", "am"), ("7", "pm")]),
        ("a 30 second video", [("30", "")]),
        ("the second world war", [("2", "")]),
        ("World War II", [("2", "")]),
        ("python3 and h2o", [("3", ""), ("2", "")]),
        ("on 2024-01-05", [("2024", ""), ("1", ""), ("5", "")]),
    ],
)
def test_numbers(text: str, numbers: list[tuple[str, str]]) -> None:
    assert [(number.value, number.unit) for number in read(text).numbers] == numbers


def test_spelled_numbers_are_marked() -> None:
    assert read("one or 1").numbers == (Number("1", "", True), Number("1", "", False))


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("What's on in March and on Mondays?", ("march", "monday")),
        ("May I march?", ()),
        ("on 5 may", ("may",)),
        ("Jan. or january", ("january", "january")),
    ],
)
def test_dates(text: str, dates: tuple[str, ...]) -> None:
    assert read(text).dates == dates


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Does the CLI of GitHub run on Linux?", {"cli", "github", "linux"}),
        ("Where is Paris? Rome is where?", {"paris"}),
        ("HOW DO I RESET MY PASSWORD", set[str]()),
        ("How To Reset Your Gmail Password Quickly", set[str]()),
        ("What does `os.path.join` do?", {"os.path.join"}),
        ('Who said "Veni, vidi"?', {"veni, vidi", "veni"}),
        ("what is foo_bar", {"foo_bar"}),
        ("where do i live", set[str]()),
        ("Which states of the US are large?", {"us"}),
    ],
)
def test_names(text: str, names: set[str]) -> None:
    assert read(text).names == names


@pytest.mark.parametrize(
    "text",
    ["can't go", "cannot go", "cant go", "can not go", "never go", "go without it", "don\u2019t go", "non-refundable"],
)
def test_one_negation(text: str) -> None:
    assert [word.text for word in read(text).words].count("not") == 1


@pytest.mark.parametrize("text", ["notable", "know", "another", "I can go", "nothingness"])
def test_no_negation(text: str) -> None:
    assert "not" not in [word.text for word in read(text).words]


def content(text: str) -> list[str]:
    return [word.text for word in read(text).words if word.content]


def test_content_leaves_fillers_out() -> None:
    assert content("Hi, what is the best way to convert a file, please?") == ["convert", "file"]
    assert content("How can I turn on dark mode?") == ["enable", "dark", "mode"]
    assert content("Which city is the capital of Spain?") == ["capital", "spain"]


@given(st.text(st.characters(), max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    assert read(text) == read(text)
