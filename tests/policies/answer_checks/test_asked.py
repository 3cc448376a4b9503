"""Whether an answer is what the request asked for: its format, its language, an answer at all."""

from __future__ import annotations

from typing import Any

import pytest

from forebay.middleware.keys import Keyring
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.protocols import AnswerCheck
from forebay.middleware.records import Answer, Request
from forebay.middleware.registry import ANSWER_CHECK, Build
from forebay.middleware.telemetry import Telemetry
from forebay.policies.answer_checks.asked_format import AskedFormat
from forebay.policies.answer_checks.asked_language import AskedLanguage
from forebay.policies.answer_checks.declined import Declined
from tests.contract.answer_check import AnswerCheckContract, body, request

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


def asks(schema: Any) -> Request:
    return request(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})


def said(text: Any, **fields: Any) -> Answer:
    return Answer(body(content=text, **fields))


@pytest.fixture
def build(tmp_path: Any) -> Build:
    return Build(tmp_path, Keyring.from_state_dir(tmp_path), Telemetry(enabled=False))


@pytest.fixture
def schemas(build: Build) -> AnswerCheck:
    return PluginManager.from_entry_points().registry.build(ANSWER_CHECK, "asked_format", {}, build)


class TestAskedFormat(AnswerCheckContract):
    @pytest.fixture
    def check(self, schemas: AnswerCheck) -> AnswerCheck:
        return schemas


class TestAskedLanguage(AnswerCheckContract):
    @pytest.fixture
    def check(self) -> AskedLanguage:
        return AskedLanguage()


class TestDeclined(AnswerCheckContract):
    @pytest.fixture
    def check(self) -> Declined:
        return Declined()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"age": 3}', None),
        ('{"age": "3"}', "schema_mismatch"),
        ("{}", "schema_mismatch"),
        ('{"age": 3', "not_json"),
        ('Here you are: {"age": 3}', "not_json"),
        ("[" * 100_000, "not_json"),
    ],
)
def test_an_answer_is_held_against_its_schema(schemas: AnswerCheck, text: str, label: str | None) -> None:
    assert schemas.refuse(asks(SCHEMA), said(text)) == label


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "#/nowhere"},
        {"$schema": "http://127.0.0.1:9/draft", "type": "object"},
        None,
    ],
)
def test_a_schema_that_cannot_be_checked_refuses_nothing(schemas: AnswerCheck, schema: Any) -> None:
    assert schemas.refuse(asks(schema), said("{}")) is None


def test_json_is_asked_for_as_an_object() -> None:
    asked = request(response_format={"type": "json_object"})
    assert AskedFormat().refuse(asked, said("{}")) is None
    assert AskedFormat().refuse(asked, said("[]")) == "not_json"
    assert AskedFormat().refuse(asked, said("no")) == "not_json"


def test_calls_of_tools_and_plain_requests_have_no_format(schemas: AnswerCheck) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert schemas.refuse(asks(SCHEMA), said(None, tool_calls=[call], finish_reason="tool_calls")) is None
    assert schemas.refuse(request(), said("no JSON")) is None
    assert schemas.refuse(request(response_format={"type": "text"}), said("no JSON")) is None


ENGLISH = (
    "The water is held, calmed and let into the turbine at the rate that the machine can use, and no faster than that."
)
GERMAN = "Das Wasser wird gehalten, beruhigt und in die Turbine gelassen, und zwar so schnell, wie die Maschine es nutzen kann."


@pytest.mark.parametrize(
    ("asked", "text", "label"),
    [
        ("What is a forebay? Answer in German.", GERMAN, None),
        ("What is a forebay? Answer in German.", ENGLISH, "other_language"),
        ("Please reply only in English: was ist das?", GERMAN, "other_language"),
        ("What is a forebay?", GERMAN, None),
        ("Do not answer in German.", ENGLISH, None),
        ("Answer in German or French.", ENGLISH, None),
        ("Answer in German. Then write in English.", ENGLISH, None),
        ("Answer in German.", "Turbine", None),
        ("Answer in German.", f"```\n{ENGLISH}\n```", None),
        ("He could answer in three words.", ENGLISH, None),
    ],
)
def test_a_language_that_is_named_is_expected(asked: str, text: str, label: str | None) -> None:
    messages = ({"role": "user", "content": asked},)
    assert AskedLanguage().refuse(Request("r", "m", messages), said(text)) == label


def test_the_system_may_name_it_too() -> None:
    messages = ({"role": "system", "content": "Always answer in German."}, {"role": "user", "content": "Why?"})
    assert AskedLanguage().refuse(Request("r", "m", messages), said(ENGLISH)) == "other_language"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I'm sorry, but I can't assist with that request.", "refusal"),
        ("I\u2019m sorry, but I cannot help with that.", "refusal"),
        ("I am unable to provide that information.", "refusal"),
        ("Sorry, I won't create that.", "refusal"),
        ("Unfortunately, I'm not able to help with this.", "refusal"),
        ("I can't help but admire how quiet the water is.", None),
        ("The pump cannot help here.", None),
        ("I'm sorry to hear that. Have you tried turning it off?", None),
        ("I cannot provide an exact figure. " + ENGLISH * 5, None),
    ],
)
def test_declining_is_noticed_where_little_else_is_said(text: str, label: str | None) -> None:
    assert Declined().refuse(request(), said(text)) == label
