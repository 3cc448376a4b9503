from __future__ import annotations

import pytest

from forebay.middleware.records import Reading
from forebay.policies.context.turns import EveryTurn
from tests.contract.context import ContextReaderContract, chat


class TestEveryTurn(ContextReaderContract):
    @pytest.fixture
    def reader(self) -> EveryTurn:
        return EveryTurn()


def test_any_earlier_turn_is_context() -> None:
    assert EveryTurn().read(chat("hi", "Hello!", "Who wrote Faust?")) == Reading(resolved=False, reason="every_turn")


def test_a_conversation_without_a_question_has_context_too() -> None:
    assert not EveryTurn().read(chat("hi", "Hello!")).resolved
