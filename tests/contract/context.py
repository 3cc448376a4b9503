"""What every context reader must do: subclass `ContextReaderContract` and give it a fixture `reader`."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.protocols import ContextReader
from forebay.middleware.records import Reading

WORDS = st.sampled_from(
    "it that the second one yes no go ahead please how much is Spain 30 euros Monday cancel book cheaper ? ! . , \n".split(
        " "
    )
)
TEXTS = st.text(st.characters(), max_size=60) | st.lists(WORDS, max_size=14).map(" ".join)
ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
TURNS = st.lists(st.fixed_dictionaries({"role": ROLES, "content": TEXTS}), max_size=7)
_quick = settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.function_scoped_fixture])


def chat(*contents: Any) -> list[dict[str, Any]]:
    """Return a conversation of a user and an assistant taking turns, the user first."""
    return [{"role": ("user", "assistant")[turn % 2], "content": content} for turn, content in enumerate(contents)]


class ContextReaderContract:
    def test_it_is_a_context_reader(self, reader: ContextReader) -> None:
        assert isinstance(reader, ContextReader)

    def test_a_first_question_has_no_context(self, reader: ContextReader) -> None:
        assert reader.read(chat("and for two people?")) == Reading()
        assert reader.read([{"role": "system", "content": "Be brief."}, *chat("cancel it")]) == Reading()

    @_quick
    @given(messages=TURNS)
    def test_no_conversation_makes_it_raise(self, reader: ContextReader, messages: list[dict[str, Any]]) -> None:
        reading = reader.read(messages)
        assert reading.reason
        assert reading.resolved or not reading.text

    @_quick
    @given(messages=TURNS)
    def test_equal_conversations_have_equal_readings(
        self, reader: ContextReader, messages: list[dict[str, Any]]
    ) -> None:
        assert reader.read([dict(turn) for turn in messages]) == reader.read(messages)

    @_quick
    @given(messages=TURNS, system=TEXTS)
    def test_system_messages_are_no_context(
        self, reader: ContextReader, messages: list[dict[str, Any]], system: str
    ) -> None:
        assert reader.read([{"role": "system", "content": system}, *messages]) == reader.read(messages)

    def test_the_same_words_after_something_else_lean_on_something_else(self, reader: ContextReader) -> None:
        plan = reader.read(chat("What does the Basic plan cost?", "It costs 5 euros a month.", "cancel it"))
        flight = reader.read(chat("Which flight am I on?", "You are on flight 212 to Oslo.", "cancel it"))
        assert (plan.resolved, flight.resolved) == (False, False) or plan.text != flight.text
        assert not plan.resolved or plan.text
