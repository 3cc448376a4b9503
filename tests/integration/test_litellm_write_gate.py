"""Sixty ways in which an engine may answer: only whole answers that ended as they should are kept.

What the client sees is what LiteLLM alone would show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.integration import chat_scripts
from tests.integration.asking import CHAT
from tests.integration.chat_scripts import SCRIPTS
from tests.integration.gate import cases_of, run_all

if TYPE_CHECKING:
    from tests.integration.gate import Run

pytestmark = pytest.mark.slow

CASES: Final = cases_of(CHAT, SCRIPTS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_all(lambda: tmp_path_factory.mktemp("gate"), CASES, CHAT.prompt)


def test_there_are_sixty_scripts() -> None:
    names = [script.name for script in SCRIPTS]
    assert len(set(names)) == len(names) == 60
    assert len(CASES) == 81
    assert sum(case.script.kept for case in CASES.values()) == 16


@pytest.mark.parametrize("name", CASES)
def test_only_complete_answers_are_kept(run: Run, name: str) -> None:
    case, outcome = CASES[name], run.outcomes[name]
    assert outcome.asked_again != case.script.kept
    assert (outcome.first.cache, outcome.second.cache) == ("miss", "exact" if case.script.kept else "miss") or (
        case.leaves and (outcome.first.cache, outcome.second.cache) == (None, "miss")
    )


def test_the_store_holds_the_complete_answers(run: Run) -> None:
    kept = sum(case.script.kept for case in CASES.values())
    left = sum(case.leaves for case in CASES.values())
    assert (run.kept, run.kept_after_all) == (kept, kept + left)  # those who left asked again and got all


@pytest.mark.parametrize("name", CASES)
def test_the_client_sees_what_litellm_alone_shows(run: Run, name: str) -> None:
    case, outcome = CASES[name], run.outcomes[name]
    if case.leaves:
        assert outcome.first.outcome == outcome.alone.outcome
        assert outcome.second.outcome == (200, chat_scripts.TEXT, False)
    else:
        assert outcome.first == outcome.alone
        assert outcome.second.outcome == outcome.alone.outcome
