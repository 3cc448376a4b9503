from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.litellm.serve.upstreams import Hosted, Server, check_name, parse_upstream
from forebay.middleware.errors import ConfigError

WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
MODEL = st.lists(WORD, min_size=1, max_size=3).map("/".join)
BASE = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.one_of(WORD, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format)),
    st.one_of(st.just(""), st.integers(1, 65_535).map(":{}".format)),
    st.sampled_from(["", "/v1", "/api/openai/v1"]),
)


@given(base=BASE, model=st.none() | MODEL, name=st.none() | MODEL, slash=st.sampled_from(["", "/"]))
def test_a_server_is_read_back_as_it_was_written(base: str, model: str | None, name: str | None, slash: str) -> None:
    text = (f"{name}=" if name else "") + base + slash + (f"#{model}" if model else "")
    assert parse_upstream(text) == Server(base, model, name)


@given(provider=st.from_regex(r"[a-z][a-z_]{2,10}", fullmatch=True), model=MODEL, name=st.none() | MODEL)
def test_a_providers_model_is_called_as_it_is_there_unless_it_is_named(
    provider: str, model: str, name: str | None
) -> None:
    text = (f"{name}=" if name else "") + f"{provider}/{model}"
    if provider == "localhost":
        return
    assert parse_upstream(text) == Hosted(f"{provider}/{model}", name or model)


@given(st.text(max_size=60))
def test_any_text_is_an_upstream_or_a_config_error(text: str) -> None:
    try:
        found = parse_upstream(text)
    except ConfigError:
        return
    if isinstance(found, Server):
        assert re.match(r"https?://[^@?#\s]+$", found.base_url)
    else:
        assert "/" in found.model


@given(user=WORD, password=WORD, ending=st.sampled_from(["", "/v1", "/v1#m"]))
def test_a_secret_in_a_url_is_refused_and_not_repeated(user: str, password: str, ending: str) -> None:
    secret = f"S3cret{password}"
    for text in (f"http://{user}:{secret}@h{ending}", f"m=http://h/v1?api_key={secret}", f"http://{secret}@h:99999999"):
        with pytest.raises(ConfigError, match="--key-env") as caught:
            parse_upstream(text)
        assert secret not in str(caught.value)


@pytest.mark.parametrize("ending", ["/chat/completions", "/models", "/completions"])
def test_the_url_of_an_endpoint_stands_for_its_base(ending: str) -> None:
    assert parse_upstream(f"http://h:1/v1{ending}") == Server("http://h:1/v1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("http://h/v1 x", "has a space"),
        ("gpt-4o", "neither a URL nor"),
        ("openai/", "neither a URL nor"),
        ("vllm:8000/v1", "has no http://"),
        ("localhost/v1", "has no http://"),
        ("ftp://h/v1", "not the URL of an HTTP server"),
        ("http:///v1", "not the URL of an HTTP server"),
        ("http://h:0/v1", "not the URL of an HTTP server"),
        ("http://h:70000/v1", "is not a URL"),
        ("http://[::1/v1", "is not a URL"),
        ("http://h/v1#", "names no model"),
        ("=http://h/v1", "cannot be a model's name"),
        ("*=http://h/v1", "cannot be a model's name"),
        ("openai/*", "cannot be a model's name"),
        ("openai/gpt#x", "names a model behind a URL"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_upstream(text)


def test_a_server_cannot_read_our_environment_by_a_models_name() -> None:
    with pytest.raises(ConfigError, match=re.escape("os.environ/")):
        check_name("os.environ/OPENAI_API_KEY", "http://h/v1")
