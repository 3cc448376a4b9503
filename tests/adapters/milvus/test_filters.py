from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.milvus.filters import COLUMN_BYTES, FilterError, Value, column, fill, of_columns, selection
from forebay.middleware.records import Selector
from tests.contract.entries import digest
from tests.contract.store import HOSTILE

ANY_TEXT = st.text(st.characters(codec=None), max_size=200) | st.sampled_from(HOSTILE)


@given(ANY_TEXT)
def test_a_column_holds_nothing_that_a_filter_parser_reads(text: str) -> None:
    kept = column(text)
    assert len(kept.encode()) <= COLUMN_BYTES
    assert not set(kept) - set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._:@/+-")


@given(ANY_TEXT, ANY_TEXT)
def test_different_texts_have_different_columns(one: str, other: str) -> None:
    assert (column(one) == column(other)) == (one == other)


@given(ANY_TEXT)
def test_no_text_poses_as_the_digest_of_another(text: str) -> None:
    kept = column(text)
    assert (column(kept) == kept) == (kept == text)


@pytest.mark.parametrize("text", ["", digest("x"), "openai/gpt-4o@2024-08-06", "minilm:int8+1"])
def test_plain_texts_stay_readable(text: str) -> None:
    assert column(text) == text


def test_selection() -> None:
    selector = Selector(id="a", scope="b", tenant="c", model="d", expired_at_s=5, created_before_s=7)
    template, values = selection(selector)
    assert template == (
        "id == {id} and scope == {scope} and tenant == {tenant} and model == {model} and expires_s <= {expired_at}"
        " and created_s < {created_before}"
    )
    assert values == {"id": "a", "scope": "b", "tenant": "c", "model": "d", "expired_at": 5.0, "created_before": 7.0}
    assert isinstance(values["expired_at"], float)
    assert selection(Selector()) == ("", {})
    assert selection(Selector(tag="a", system="b", version="c", epoch=1)) == ("", {})  # only payloads tell


def test_what_columns_cannot_tell_is_told_apart() -> None:
    columns = Selector(id="a", scope="b", tenant="c", model="d", expired_at_s=5, created_before_s=7)
    assert of_columns(columns) == columns
    others: list[dict[str, Any]] = [{"tag": "x"}, {"system": "x"}, {"version": "x"}, {"epoch": 1}]
    for more in others:
        assert of_columns(replace(columns, **more)) == columns


@given(st.builds(Selector, id=ANY_TEXT, scope=ANY_TEXT, tenant=ANY_TEXT, model=ANY_TEXT))
def test_a_template_never_depends_on_the_values(selector: Selector) -> None:
    template, values = selection(selector)
    assert template == selection(Selector(id="", scope="", tenant="", model=""))[0]
    assert fill(template, values).count('"') == 8


def test_fill() -> None:
    values: dict[str, Value] = {"a": "x.y", "b": True, "c": 3, "d": 1.5, "e": ["p", "q"], "f": 1e300}
    assert fill("{a} {b} {c} {d} {e} {f}", values) == '"x.y" true 3 1.5 ["p", "q"] 1e+300'


@pytest.mark.parametrize("value", ['"', "a b", "\\", "x" * 129, "\ud800", float("nan"), float("inf"), ["ok", '"']])
def test_fill_refuses_what_no_column_holds(value: str) -> None:
    with pytest.raises(FilterError) as refused:
        fill("scope == {scope}", {"scope": value})
    assert str(refused.value) == "the value of scope cannot be written into a filter"


def test_fill_refuses_a_missing_value() -> None:
    with pytest.raises(FilterError, match="no value for scope"):
        fill("scope == {scope}", {})
