"""What is said before a batch is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.adapters.batch import reading as module
from forebay.adapters.batch.expected import expect
from forebay.adapters.batch.reading import Checked, Reading, check
from forebay.policies.pattern.savings import expected_savings, judged
from forebay.testing import ScriptedEngine, chat, started
from tests.adapters.batch.rig import line, write
from tests.middleware.parts import settled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from forebay.middleware.analysis.stream import Arrival, Savings
    from forebay.middleware.protocols import Acceptance


def reckon(acceptance: Acceptance, arrivals: Sequence[Arrival]) -> Savings:
    return expected_savings(arrivals, judged(acceptance.judge))


def checked(folder: Path, *asked: str) -> Checked:
    path = write(folder / "in", [line(f"id{at}", text) for at, text in enumerate(asked)])
    return check(Reading(path, None, "tests", frozenset({"chat"})), lambda _: None)


async def test_equal_lines_and_kept_answers_are_told_apart(tmp_path: Path) -> None:
    async with started() as runtime:
        await runtime.pipeline.handle(chat("known", model="small"), ScriptedEngine())
        await settled(runtime)
        found = await expect(runtime, checked(tmp_path, "known", "known", "new", "new", "new", "other"), reckon)
    assert (found.sampled, found.kept, found.same, found.similar) == (6, 2, 2, 0)
    assert found.saved == 4
    assert found.tokens > found.computed_tokens > 0


async def test_the_rest_of_a_long_file_is_reckoned_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLED", 4)
    async with started() as runtime:
        found = await expect(runtime, checked(tmp_path, *"aabbaabbab"), reckon)
    assert (found.sampled, found.same) == (4, 8)
    assert found.tokens / (found.tokens + found.computed_tokens) == pytest.approx(0.8)
