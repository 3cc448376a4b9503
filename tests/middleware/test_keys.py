"""Keys of answers, and the secrets they are made with."""

from __future__ import annotations

import json
import stat
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forebay.middleware.errors import ConfigError
from forebay.middleware.keys import (
    Keyring,
    UncacheableError,
    canonical_json,
    canonical_text,
    make_key,
    split_messages,
    text_of,
)
from forebay.middleware.narrow import is_array, is_object
from forebay.middleware.records import Reading, Request
from tests.middleware.processes import together

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = Keyring({"k1": b"secret"}, "k1")
ANY_TEXT = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


def reversed_keys(value: Any) -> Any:
    """The same value with all objects' keys the other way round, and whole numbers as floats where that is exact."""
    if is_object(value):
        return {key: reversed_keys(item) for key, item in reversed(value.items())}
    if is_array(value):
        return [reversed_keys(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values mean the same."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if is_object(one) and is_object(other):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if is_array(one) and is_array(other):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def request(*messages: dict[str, Any], **overrides: Any) -> Request:
    turns = messages or ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"})
    return replace(Request(id="r", model="m", messages=turns), **overrides)


def user(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


@given(JSON)
def test_canonical_json_does_not_see_the_order_of_keys_nor_how_a_number_is_written(value: Any) -> None:
    assert canonical_json(value) == canonical_json(reversed_keys(value))


@given(JSON, JSON)
def test_canonical_json_is_equal_exactly_for_values_that_mean_the_same(one: Any, other: Any) -> None:
    assert (canonical_json(one) == canonical_json(other)) is same(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), (False, 0), (None, False), ("1", 1), ([], {}), ([1, 2], [2, 1]), ("", None)]
)
def test_values_that_python_or_javascript_would_mix_up_stay_apart(one: Any, other: Any) -> None:
    assert canonical_json(one) != canonical_json(other)


def test_one_and_one_point_zero_are_the_same_and_so_are_the_zeros() -> None:
    assert canonical_json({"a": 1.0}) == canonical_json({"a": 1}) == '{"a":1}'
    assert canonical_json(-0.0) == canonical_json(0) == "0"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [-float("inf")],
        {"a": {1: 2}},
        {("a",): 2},
        b"bytes",
        {"a": {1, 2}},
        object(),
        pytest.param(10**5000, id="too many digits"),
    ],
)
def test_what_is_not_json_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(UncacheableError):
        canonical_json(value)


def test_what_holds_itself_has_no_canonical_form() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(UncacheableError):
        canonical_json(value)


@given(st.lists(ANY_TEXT, max_size=4), st.lists(ANY_TEXT, max_size=4))
def test_no_two_field_lists_have_the_same_digest(one: list[str], other: list[str]) -> None:
    assert (KEYRING.digest(*one) == KEYRING.digest(*other)) is (one == other)


def test_fields_cannot_borrow_from_each_other() -> None:
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c")]
    assert len({KEYRING.digest(*fields) for fields in lists}) == len(lists)


def test_another_secret_makes_other_digests() -> None:
    assert KEYRING.digest("a") != Keyring({"k1": b"other"}, "k1").digest("a")


TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
BASE = request()
VARIANTS: dict[str, Request] = {
    "tenant": replace(BASE, tenant="other"),
    "model": replace(BASE, model="other"),
    "endpoint": replace(BASE, endpoint="responses"),
    "system prompt": request({"role": "system", "content": "Be long."}, user("Why?")),
    "no system prompt": request(user("Why?")),
    "developer prompt": request({"role": "developer", "content": "Be brief."}, user("Why?")),
    "two system prompts": request(*[{"role": "system", "content": text} for text in ("Be ", "brief.")], user("Why?")),
    "tools": replace(BASE, params={"tools": [TOOL]}),
    "tool choice": replace(BASE, params={"tool_choice": "none"}),
    "temperature": replace(BASE, params={"temperature": 0.5}),
    "another temperature": replace(BASE, params={"temperature": 0.7}),
    "seed": replace(BASE, params={"seed": 1}),
    "response format": replace(BASE, params={"response_format": {"type": "json_object"}}),
    "n": replace(BASE, params={"n": 2}),
    "an image": request(BASE.messages[0], user([{"type": "text", "text": "Why?"}, IMAGE])),  # type: ignore[arg-type]
    "a name": request(BASE.messages[0], user("Why?", name="ada")),  # type: ignore[arg-type]
}


def test_each_part_of_a_request_that_must_be_equal_makes_a_scope_of_its_own() -> None:
    scopes = {name: make_key(variant, KEYRING).scope for name, variant in VARIANTS.items()}
    scopes["base"] = make_key(BASE, KEYRING).scope
    scopes["epoch"] = make_key(BASE, KEYRING, epoch=1).scope
    assert len(set(scopes.values())) == len(VARIANTS) + 2


def test_another_image_makes_another_scope() -> None:
    other = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAB"}}
    keys = [make_key(request(user([{"type": "text", "text": "Why?"}, image])), KEYRING) for image in (IMAGE, other)]
    assert keys[0].scope != keys[1].scope
    assert keys[0].text == keys[1].text == "Why?"


def test_images_in_another_order_or_another_place_make_another_scope() -> None:
    text = [{"type": "text", "text": "left"}, {"type": "text", "text": "right"}]
    orders = [[text[0], IMAGE, text[1]], [*text, IMAGE], [IMAGE, *text]]
    assert len({make_key(request(user(parts)), KEYRING).scope for parts in orders}) == 3


def test_how_the_answer_is_sent_does_not_matter() -> None:
    streamed = replace(BASE, stream=True, params={"stream": True, "stream_options": {"include_usage": True}})
    assert make_key(streamed, KEYRING) == make_key(BASE, KEYRING)


def test_the_question_and_the_id_are_not_in_the_scope() -> None:
    asked = make_key(request(BASE.messages[0], user("Where?"), id="other"), KEYRING)  # type: ignore[arg-type]
    base = make_key(BASE, KEYRING)
    assert asked.scope == base.scope
    assert asked.exact != base.exact


def test_earlier_turns_change_the_context_and_not_the_scope() -> None:
    first = [user("Who was Ada?"), {"role": "assistant", "content": "A mathematician."}]
    second = [user("Who was Grace?"), {"role": "assistant", "content": "An admiral."}]
    alone, one, two = (make_key(request(*turns, user("When?")), KEYRING) for turns in ([], first, second))
    assert alone.scope == one.scope == two.scope
    assert alone.context == ""
    assert len({alone.context, one.context, two.context}) == 3
    assert len({alone.exact, one.exact, two.exact}) == 3


def conversation(*turns: str) -> Request:
    roles = ("user", "assistant")
    return request(*({"role": roles[at % 2], "content": text} for at, text in enumerate(turns)))


ABOUT_ADA = conversation("Who was Ada?", "A mathematician.", "When was she born?")
ABOUT_GRACE = conversation("Who was Grace?", "An admiral.", "When was she born?")


def test_a_question_that_was_read_to_stand_alone_has_the_same_key_in_every_conversation() -> None:
    keys = {make_key(asked, KEYRING, Reading()) for asked in (ABOUT_ADA, ABOUT_GRACE)}
    assert keys == {make_key(request(user("When was she born?")), KEYRING)}


@given(ANY_TEXT, ANY_TEXT)
def test_a_reading_is_the_context(one: str, other: str) -> None:
    first, second = (make_key(ABOUT_ADA, KEYRING, Reading(text)) for text in (one, other))
    assert (first.exact == second.exact) is (one == other)
    assert first.scope == second.scope
    assert make_key(ABOUT_GRACE, KEYRING, Reading(one)) == first


def test_only_what_was_read_may_be_compared_with_other_contexts() -> None:
    alone, read_, whole = (
        make_key(ABOUT_ADA, KEYRING, reading) for reading in (Reading(), Reading("ada"), Reading("ada", resolved=False))
    )
    assert (alone.comparable, read_.comparable) == ("", make_key(ABOUT_GRACE, KEYRING, Reading("grace")).comparable)
    assert whole.reading == ""
    assert whole.comparable == whole.context != read_.context
    assert whole.context != make_key(ABOUT_GRACE, KEYRING, Reading("ada", resolved=False)).context


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": [TOOL]},
        {"role": "assistant", "content": "A", "tool_calls": [TOOL]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
        user([{"type": "text", "text": "look"}, IMAGE]),
        user("I am Ada.", name="ada"),
        user(""),
    ],
)
def test_a_reading_of_more_than_text_is_not_believed(turn: dict[str, Any]) -> None:
    asked = request(turn, user("When?"))
    assert make_key(asked, KEYRING, Reading()) == make_key(asked, KEYRING)
    assert make_key(asked, KEYRING).context != ""


def test_a_turn_of_text_parts_is_text() -> None:
    asked = request(user([{"type": "text", "text": "Who was Ada?"}]), user("When?"))
    assert make_key(asked, KEYRING, Reading()).context == ""


def test_a_conversation_that_ends_with_the_assistant_has_no_question_and_a_scope_of_its_own() -> None:
    turns = [user("Count: one,"), {"role": "assistant", "content": "two,"}]
    key = make_key(request(*turns), KEYRING)
    assert key.text == ""
    assert key.context != ""
    assert key.scope != make_key(request(user("")), KEYRING).scope
    assert key.exact != make_key(request(turns[0], {"role": "assistant", "content": "two"}), KEYRING).exact


def test_no_messages_at_all_have_a_key() -> None:
    assert make_key(replace(BASE, messages=()), KEYRING).text == ""


@given(ANY_TEXT, st.text(" \t\n\r\u00a0\u2003"), st.text(" \t\n\r\u00a0\u2003"))
def test_blanks_around_a_question_and_unicode_forms_do_not_change_the_key(text: str, left: str, right: str) -> None:
    assert make_key(request(user(left + text + right)), KEYRING) == make_key(request(user(text)), KEYRING)
    assume("\r" not in text)
    decomposed = unicodedata.normalize("NFD", text)
    assert canonical_text(decomposed) == canonical_text(unicodedata.normalize("NFC", text))


@given(ANY_TEXT, ANY_TEXT)
def test_questions_that_differ_in_more_than_that_have_different_keys(one: str, other: str) -> None:
    assume(canonical_text(one) != canonical_text(other))
    assert make_key(request(user(one)), KEYRING).exact != make_key(request(user(other)), KEYRING).exact


def test_blanks_inside_a_question_count() -> None:
    assert make_key(request(user("a b")), KEYRING).exact != make_key(request(user("a  b")), KEYRING).exact


def test_lone_surrogates_have_keys_of_their_own() -> None:
    keys = {make_key(request(user(text)), KEYRING).exact for text in ("\ud800", "\udc00", "\ud83d\ude00", "😀", "?")}
    assert len(keys) == 5


def test_a_nan_among_the_parameters_cannot_be_cached() -> None:
    with pytest.raises(UncacheableError):
        make_key(replace(BASE, params={"temperature": float("nan")}), KEYRING)


def test_the_text_of_content_parts_is_joined_and_the_rest_returned() -> None:
    assert text_of(None) == ("", [])
    assert text_of("a") == ("a", [])
    assert text_of([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]) == ("a\nb", [])
    assert text_of({"odd": 1}) == ("", [{"odd": 1}])
    assert text_of([{"type": "text", "text": 1}, "loose"]) == ("", [{"type": "text", "text": 1}, "loose"])


def test_system_messages_are_taken_out_wherever_they_stand() -> None:
    system = {"role": "system", "content": "s"}
    turns = [user("a"), {"role": "assistant", "content": "b"}, user("c")]
    assert split_messages([turns[0], system, turns[1], turns[2]]) == ([system], turns[:2], turns[2])


def test_a_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    made = Keyring.from_state_dir(tmp_path / "state")
    file = tmp_path / "state" / "secret.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["secret.json"]
    assert Keyring.from_state_dir(tmp_path / "state").digest("a") == made.digest("a")
    assert Keyring.from_state_dir(tmp_path / "other").digest("a") != made.digest("a")


def test_eight_processes_that_start_at_once_have_one_secret(tmp_path: Path) -> None:
    ended = together(
        "from pathlib import Path\nfrom forebay.middleware.keys import Keyring",
        "print(Keyring.from_state_dir(Path(sys.argv[1]) / 'state').digest('a'))",
        [[str(tmp_path)]] * 8,
    )
    assert [status for status, _, _ in ended] == [0] * 8
    assert len({out.strip() for _, out, _ in ended}) == 1
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["secret.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"current": "k1"}',
        '{"current": "k1", "keys": []}',
        '{"current": "k1", "keys": {"k1": "no hex"}}',
        '{"current": "k1", "keys": {"k1": 12}}',
        '{"current": "k1", "keys": {"k1": ""}}',
        '{"current": "k2", "keys": {"k1": "00ff"}}',
        "\udcff",
    ],
)
def test_a_damaged_secret_file_is_named_and_not_replaced(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"secret\.json: is damaged; restore it, or delete it"):
        Keyring.from_state_dir(tmp_path)
    assert file.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret.json").mkdir()
    with pytest.raises(ConfigError, match=r"secret\.json: cannot be made or read \(Is a directory\)"):
        Keyring.from_state_dir(tmp_path)


def test_after_a_rotation_old_signatures_still_hold_and_new_ones_use_the_new_key(tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    old = Keyring.from_state_dir(tmp_path)
    signature = old.sign("k1", "text")
    data = json.loads(file.read_text())
    file.write_text(json.dumps({"current": "k2", "keys": {**data["keys"], "k2": "ab" * 32}}))
    new = Keyring.from_state_dir(tmp_path)
    assert new.current == "k2"
    assert new.verify("k1", signature, "text")
    assert not new.verify("k2", signature, "text")
    assert not old.verify("k2", new.sign("k2", "text"), "text")


def test_a_configured_secret_names_its_key() -> None:
    one, again, other = (Keyring.from_secret(text) for text in ("a" * 16, "a" * 16, "b" * 16))
    assert one.current == again.current != other.current
    assert one.digest("x") == again.digest("x") != other.digest("x")


def test_verify_takes_whatever_text_it_is_given() -> None:
    signature = KEYRING.sign("k1", "text")
    assert KEYRING.verify("k1", signature, "text")
    for wrong in ("", signature[:-1], signature + "0", "é" * 64, "\ud800" * 64):
        assert not KEYRING.verify("k1", wrong, "text")
    assert not KEYRING.verify("k9", signature, "text")


@given(ANY_TEXT | st.text(st.sampled_from("aB \r\n\t\x0b\x1c\x1f\x85\xa0e\u0301\u2028"), max_size=12))
def test_canonical_text_is_what_it_plainly_says(text: str) -> None:
    plain = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    assert canonical_text(text) == plain
    key = make_key(Request("r", "m", [{"role": "user", "content": text}]), KEYRING)
    assert (key.text, key.exact) == (plain, KEYRING.digest("exact/1", key.scope, key.context, plain))
