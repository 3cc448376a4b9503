"""From LiteLLM's call arguments to a request, and back."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.litellm.endpoints import ENDPOINTS
from forebay.adapters.litellm.endpoints.chat import PARAMS
from forebay.adapters.litellm.requests import (
    FLIGHT_ID,
    Fingerprint,
    build_request,
    client_fields,
    controls_of,
    headers_of,
    hints_of,
    labels_of,
    params_of,
    scrub,
    tenant_of,
)
from forebay.middleware.bodies import IGNORED
from forebay.middleware.keys import Keyring, UncacheableError, make_key
from forebay.middleware.records import Controls, Request

CHAT = ENDPOINTS["acompletion"]
KEYRING = Keyring.from_secret("a secret for these tests")
values = st.one_of(
    st.integers(-5, 5), st.floats(0, 2), st.booleans(), st.text(max_size=5), st.lists(st.text(max_size=3))
)
params = st.dictionaries(st.sampled_from(sorted(PARAMS | {"vendor_option", "another"})), values, max_size=5)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=20)}),
    min_size=1,
    max_size=4,
)


def call(asked: list[dict[str, Any]], more: dict[str, Any]) -> dict[str, Any]:
    body = {"model": "tiny", "messages": asked, **more}
    return {**copy.deepcopy(body), "metadata": {}, "proxy_server_request": {"headers": {}, "body": body}}


def fingerprint(data: dict[str, Any]) -> Fingerprint:
    request = build_request(data, CHAT, request_id="fb-1", tenant="t", labels={})
    assert request is not None
    return made_of(request, data)


def made_of(request: Request, data: dict[str, Any]) -> Fingerprint:
    """The fingerprint as the bridge makes it: from the key that the analyze stop made, or None."""
    try:
        exact = make_key(request, KEYRING).exact
    except (UncacheableError, AttributeError, TypeError):
        exact = None
    return Fingerprint(request, CHAT, client_fields(data), lambda asked: make_key(asked, KEYRING), exact)


@given(messages, params, params)
def test_a_call_matches_itself_with_its_deployments_parameters(
    asked: list[dict[str, Any]], more: dict[str, Any], deployment: dict[str, Any]
) -> None:
    data = call(asked, more)
    print_of = fingerprint(data)
    # as the router merges them: what the client sets wins; and LiteLLM's own fields
    sent = {**deployment, **data, "litellm_call_id": "1", "api_key": "x", "caching": None, "timeout": 5, "stream": True}
    assert print_of.matches(sent, lambda: deployment)


@given(messages, params, st.data())
def test_no_edit_is_overlooked(asked: list[dict[str, Any]], more: dict[str, Any], draw: st.DataObject) -> None:
    data = call(asked, more)
    print_of = fingerprint(data)
    edited = copy.deepcopy(data)
    choices = ["content", "role", "dropped", "added", "parameter"] + (["removed"] if more else [])
    match draw.draw(st.sampled_from(choices)):
        case "content":
            edited["messages"][-1]["content"] += "!"
        case "role":
            edited["messages"][0]["role"] = "tool"
        case "dropped":
            edited["messages"] = edited["messages"][1:]
        case "added":
            edited["messages"] = [*edited["messages"], {"role": "user", "content": "and?"}]
        case "parameter":
            edited["seed"] = 99
        case _:
            del edited[draw.draw(st.sampled_from(sorted(more)))]
    assert not print_of.matches(edited, dict)


def test_editing_the_very_objects_that_were_looked_up_is_an_edit() -> None:
    data = call([{"role": "user", "content": "a"}], {})
    print_of = fingerprint(data)
    assert print_of.matches(data, dict)
    data["messages"][0]["content"] = "b"
    assert not print_of.matches(data, dict)


@pytest.mark.parametrize("asked", [None, "text", {"role": "user"}, [{"role": "user", "content": float("nan")}], [1]])
def test_what_has_no_canonical_form_never_matches(asked: Any) -> None:
    assert not fingerprint(call([{"role": "user", "content": "a"}], {})).matches({"messages": asked}, dict)


@pytest.mark.parametrize(("asked", "edited"), [(1, True), (0, False), ([1], [True]), ({"a": 1}, {"a": True})])
def test_a_number_made_a_truth_value_is_an_edit(asked: Any, edited: Any) -> None:
    """Python takes the two for equal."""
    data = call([{"role": "user", "content": "a"}], {"vendor_option": asked})
    print_of = fingerprint(data)
    assert print_of.matches(data, dict)
    assert not print_of.matches({**data, "vendor_option": edited}, dict)


def test_the_deployment_is_asked_only_where_something_was_added() -> None:
    data = call([{"role": "user", "content": "a"}], {"temperature": 0.1})
    asked: list[str] = []

    def deployment() -> dict[str, Any]:
        asked.append("now")
        return {"seed": 7}

    assert fingerprint(data).matches(data, deployment)
    assert asked == []
    assert fingerprint(data).matches({**data, "seed": 7}, deployment)
    assert not fingerprint(data).matches({**data, "seed": 8}, deployment)
    assert asked == ["now", "now"]


def test_a_request_without_a_key_is_the_same_as_nothing() -> None:
    data = call([{"role": "user", "content": "a"}], {"temperature": float("nan")})
    assert not fingerprint(data).matches(data, dict)


def test_a_deployments_parameter_may_not_hide_the_clients() -> None:
    data = call([{"role": "user", "content": "a"}], {"temperature": 0.1})
    assert not fingerprint(data).matches({**data, "temperature": 0.4}, lambda: {"temperature": 0.4})


@pytest.mark.parametrize("name", [*sorted(IGNORED - {"cache"}), "messages", "litellm_trace_id", "litellm_session_id"])
def test_transport_is_no_parameter(name: str) -> None:
    assert params_of({name: "x"}, CHAT, frozenset({name})) == {}


def test_what_the_client_sends_beyond_openai_counts() -> None:
    data = {"guided_json": "{}", "temperature": None, "top_p": 0.5, "internal": 1}
    assert params_of(data, CHAT, frozenset({"guided_json"})) == {"guided_json": "{}", "top_p": 0.5}


def test_a_namespace_separates() -> None:
    assert params_of({"cache": {"namespace": "a"}}, CHAT, frozenset()) == {"cache.namespace": "a"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, Controls()),
        ({"cache": {"no-cache": True}}, Controls(no_cache=True)),
        ({"cache": {"no-cache": "yes"}}, Controls()),
        ({"cache": {"no-store": True}}, Controls(no_store=True)),
        ({"cache": {"s-maxage": 5}}, Controls(max_age_s=5.0)),
        ({"cache": {"s-max-age": 5}}, Controls(max_age_s=5.0)),
        ({"ttl": "60"}, Controls(ttl_s=60.0)),
        ({"cache": {"ttl": 60}}, Controls(ttl_s=60.0)),
        ({"cache": {"ttl": True}}, Controls()),
        ({"cache": {"ttl": "x"}}, Controls()),
        ({"cache": "yes"}, Controls()),
        ({"caching": False}, Controls(no_cache=True, no_store=True)),
    ],
)
def test_controls(data: dict[str, Any], expected: Controls) -> None:
    assert controls_of(data, {}) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("no-cache", Controls(no_cache=True)),
        ("No-Store, max-age=0", Controls(no_store=True, max_age_s=0.0)),
        ("max-age=60", Controls(max_age_s=60.0)),
    ],
)
def test_cache_control_header(header: str, expected: Controls) -> None:
    assert controls_of({}, {"cache-control": header}) == expected


@pytest.mark.parametrize(("value", "bypass"), [("1", True), ("TRUE ", True), ("yes", True), ("0", False), ("", False)])
def test_bypass_header(value: str, bypass: bool) -> None:
    data = {"proxy_server_request": {"headers": {"X-Forebay-Bypass": value}}}
    assert controls_of({}, headers_of(data)).bypass is bypass


def test_tenants_come_from_the_authenticated_identity() -> None:
    one = SimpleNamespace(api_key="k1", user_id="u", team_id=None, org_id="o", end_user_id="e")
    other = SimpleNamespace(api_key="k2", user_id="u", team_id=None, org_id="o", end_user_id="e")
    assert tenant_of(one, ("key",)) != tenant_of(other, ("key",))
    assert tenant_of(one, ("user", "organization")) == tenant_of(other, ("user", "organization"))
    assert tenant_of(one, ("team",)) == "team="
    assert tenant_of(object(), ("key",)) == "key="


def test_the_narrowest_tenant_is_all_that_is_known() -> None:
    one = SimpleNamespace(api_key="k1", user_id=None, team_id="t", org_id=None, end_user_id="e")
    assert tenant_of(one, ("narrowest",)) == "team=t|key=k1|end_user=e"
    assert tenant_of(SimpleNamespace(api_key="k1"), ("narrowest",)) == "key=k1"
    assert tenant_of(object(), ("narrowest",)) == ""


def test_savings_are_accounted_to_names_and_never_to_a_key() -> None:
    named = SimpleNamespace(key_alias="search", api_key="sk-secret", team_id="t1", team_alias="Search", user_id="u")
    assert labels_of(named) == {"key": "search", "team": "Search", "user": "u"}
    assert labels_of(SimpleNamespace(api_key="sk-secret")) == {}
    assert labels_of(SimpleNamespace(api_key="88dc28d0f030c55ed4ab77ed8faf098196cb1c05")) == {"key": "88dc28d0f030"}


@pytest.mark.parametrize(
    "data",
    [
        {"model": "tiny"},
        {"model": "tiny", "messages": "hello"},
        {"model": "tiny", "messages": [1]},
        {"model": None, "messages": []},
        {"messages": []},
    ],
)
def test_what_cannot_be_read_is_left_to_litellm(data: dict[str, Any]) -> None:
    assert build_request(data, CHAT, request_id="fb-1", tenant="t", labels={}) is None


def test_scrub() -> None:
    data: dict[str, Any] = {
        "metadata": {FLIGHT_ID: "fb-0", "a": 1},
        "litellm_metadata": {FLIGHT_ID: "x"},
        "cache": None,
    }
    scrub(data)
    assert data == {"metadata": {"a": 1}, "litellm_metadata": {}}
    kept = {"metadata": "text", "cache": {"no-cache": True}}
    scrub(kept)
    assert kept == {"metadata": "text", "cache": {"no-cache": True}}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_no_body_makes_it_raise(value: Any) -> None:
    for name in ("messages", "metadata", "cache", "proxy_server_request", "stream", "model", "tools"):
        data = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], name: value}
        scrub(data)
        request = build_request(data, CHAT, request_id="fb-1", tenant="t", labels={})
        if request is not None:
            made = made_of(request, data)
            same = json.dumps(data, sort_keys=True) if made.matches(data, dict) else ""
            assert same or "NaN" in json.dumps(data) or "Infinity" in json.dumps(data)


def test_hints_are_the_clients_x_headers_and_what_the_operator_wrote_on_key_and_team() -> None:
    identity = SimpleNamespace(
        metadata={"forebay_priority": "batch", "tier": 3, "nested": {}}, team_metadata={"a": "b"}
    )
    headers = {
        "x-forebay-priority": "interactive",
        "x-api-key": "sk-1",
        "authorization": "Bearer x",
        "x-auth-user": "me",
    }
    data = {"proxy_server_request": {"headers": headers}, "service_tier": "flex", "priority": 2}
    assert hints_of(identity, data) == {
        "body.service_tier": "flex",
        "body.priority": "2",
        "header.x-forebay-priority": "interactive",
        "key.forebay_priority": "batch",
        "key.tier": "3",
        "team.a": "b",
    }
    assert hints_of(None, {}) == {}
    assert hints_of(
        SimpleNamespace(metadata=None, team_metadata="x"), {"proxy_server_request": {"headers": {"x-long": "y" * 999}}}
    ) == {"header.x-long": "y" * 200}
