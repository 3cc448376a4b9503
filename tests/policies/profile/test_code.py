from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.policies.profile.code import split_code

FUNCTION = "def area(width, height):\n    result = width * height\n    return result"
SHELL = "$ pip install forebay\n$ git clone https://example.org/a.git"
SQL = "SELECT name, total\nFROM orders\nWHERE total > 100\nORDER BY total;"
C = '#include <stdio.h>\nint main(void) {\n    printf("hello");\n    return 0;\n}'


@pytest.mark.parametrize("code", [FUNCTION, SHELL, SQL, C])
def test_code_is_code_with_and_without_a_fence(code: str) -> None:
    for text in (code, f"```\n{code}\n```"):
        chars, prose = split_code(text)
        assert chars >= 0.9 * len(text)
        assert not prose.strip()


@pytest.mark.parametrize(
    "text",
    [
        "For example: the ladder is in the garden.",
        "If it rains, what shall we do with the washing?",
        "Dear all,\n    I am writing to you about the roof (see the letter of May).\n    Kind regards",
        "- bread\n- milk (two bottles)\n    - oat milk\n1. first\n2) second",
        "Show that $\\frac{a}{b} + \\frac{c}{d} = \\frac{ad + bc}{bd}$ holds for all $b, d$.",
        "from a friend",
        "It was late; he left.",
        "import duties were raised; export duties were not, and the harbour was closed for the whole of the winter.",
    ],
)
def test_prose_is_none(text: str) -> None:
    assert split_code(text)[0] == 0


def test_the_prose_around_code_is_kept() -> None:
    chars, prose = split_code(f"Why is this slow?\n\n{FUNCTION}\n\nThank you for looking.")
    assert prose == "Why is this slow?\nThank you for looking."
    assert chars == pytest.approx(len(FUNCTION), abs=4)


@given(st.text())
def test_the_parts_are_no_longer_than_the_text(text: str) -> None:
    chars, prose = split_code(text)
    assert 0 <= chars <= len(text) + 1
    assert len(prose) <= len(text)
