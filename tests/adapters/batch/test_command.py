"""``forebay batch`` from its words to its files, against a server in a process of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from forebay.middleware.errors import ConfigError, ForebayError
from tests.adapters.batch.rig import Place, line, read, serving, texts, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.adapters.batch.rig import Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_lines_are_answered_in_their_order_and_equal_ones_once(place: Place, served: Served) -> None:
    write(place.source, [line(f"id{at}", f"question {at % 7}") for at in range(20)])
    assert place.run("--url", served.url) == 0
    assert [each["custom_id"] for each in read(place.out)] == [f"id{at}" for at in range(20)]
    assert texts(place.out) == [f"to question {at % 7}" for at in range(20)]
    assert len(served.asked) == 7
    assert not place.errors.exists()
    assert not place.journal.exists()
    assert "13 (65%)" in place.said


def test_an_output_line_has_the_format_of_the_batch_api(place: Place, served: Served) -> None:
    write(place.source, [line("mine", "hello")])
    place.run("--url", served.url)
    (found,) = read(place.out)
    assert set(found) == {"id", "custom_id", "response", "error"}
    assert set(found["response"]) == {"status_code", "request_id", "body"}
    assert (found["custom_id"], found["response"]["status_code"], found["error"]) == ("mine", 200, None)
    assert found["id"].startswith("batch_req_")
    assert found["response"]["body"]["object"] == "chat.completion"


def test_what_cannot_be_asked_is_named_with_its_line_and_the_rest_is_run(place: Place, served: Served) -> None:
    good = line("a", "one")
    write(place.source, [good, "{torn", "", line("a", "two"), {**line("b", "x"), "url": "/v1/audio"}, line("c", "two")])
    assert place.run("--url", served.url) == 1
    assert texts(place.out) == ["to one", "to two"]
    errors = read(place.errors)
    assert [(each["error"]["line"], each["custom_id"]) for each in errors] == [(2, ""), (4, "a"), (5, "b")]
    assert "custom_id of line 1" in errors[1]["error"]["message"]
    assert {each["error"]["code"] for each in errors} == {"invalid_line"}
    assert "line 2 is not JSON" in place.said


def test_what_the_engine_refuses_is_in_the_error_file_with_its_status(place: Place, served: Served) -> None:
    write(place.source, [line("a", "fine"), line("b", "fail"), line("c", "fine too")])
    assert place.run("--url", served.url) == 1
    assert texts(place.out) == ["to fine", "to fine too"]
    (wrong,) = read(place.errors)
    assert (wrong["custom_id"], wrong["response"]["status_code"]) == ("b", 400)
    assert wrong["error"]["code"] == "status_400"
    assert len([each for each in served.asked if "fail" in json.dumps(each)]) == 1


def test_completions_and_embeddings_are_answered_as_their_endpoints_do(place: Place, served: Served) -> None:
    def other(name: str, url: str, **body: object) -> dict[str, object]:
        return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "small", **body}}

    write(
        place.source,
        [
            other("text", "/v1/completions", prompt="once"),
            other("one", "/v1/embeddings", input="abc"),
            other("same", "/v1/embeddings", input="abc"),
            other("two", "/v1/embeddings", input=["abcd", "ab"]),
            other("again", "/v1/embeddings", input=["ab", "abcd"]),
        ],
    )
    assert place.run("--url", served.url, "--max-parallel", "1") == 0
    bodies = [each["response"]["body"] for each in read(place.out)]
    assert bodies[0]["choices"][0]["text"] == "after once"
    vectors = [[row["embedding"][0] for row in body["data"]] for body in bodies[1:]]
    assert vectors == [[3.0], [3.0], [4.0, 2.0], [2.0, 4.0]]
    assert [row["index"] for row in bodies[3]["data"]] == [0, 1]
    assert all(body["object"] == "list" and body["usage"]["prompt_tokens"] for body in bodies[1:])
    assert len(served.asked) == 3


def test_another_model_may_be_asked_for(place: Place, served: Served) -> None:
    write(place.source, [line("a", "one"), line("b", "two", model=None)])
    assert place.run("--url", served.url, "--model", "other") == 0
    assert {each["model"] for each in served.asked} == {"other"}


def test_the_configs_engine_is_asked(tmp_path: Path, served: Served) -> None:
    place = Place(tmp_path, engine={"type": "openai", "base_url": served.url})
    write(place.source, [line("a", "one"), line("b", "one")])
    assert place.run() == 0
    assert texts(place.out) == ["to one", "to one"]
    assert len(served.asked) == 1


def test_expecting_asks_nothing_and_writes_nothing(place: Place, served: Served) -> None:
    write(place.source, [line("a", "one"), line("b", "one")])
    assert place.run("--url", served.url, "--expect") == 0
    assert not served.asked
    assert not place.out.exists()
    assert not place.journal.exists()
    assert "expected" in place.said


def test_a_finished_output_is_not_written_over(place: Place, served: Served) -> None:
    write(place.source, [line("a", "one")])
    assert place.run("--url", served.url) == 0
    with pytest.raises(ConfigError, match="exists"):
        place.run("--url", served.url)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "no engine"),
        (["--url", "localhost:8000"], "no address"),
        (["--url", "http://127.0.0.1:1/v1", "--api-key-env", "FOREBAY_TEST_NO_SUCH_KEY"], "is not set"),
        (["--url", "http://127.0.0.1:1/v1", "--errors", "{out}"], "named twice"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_read(place: Place, words: list[str], problem: str) -> None:
    write(place.source, [line("a", "one")])
    with pytest.raises(ConfigError, match=problem):
        place.run(*(word.format(out=place.out) for word in words))


def test_a_config_that_cannot_be_built_is_refused_and_leaves_nothing(place: Place) -> None:
    write(place.source, [line("a", "one")])
    with pytest.raises(ConfigError, match="acceptance model was made for"):
        place.run("--url", "http://127.0.0.1:1/v1", "--accept", "similar")
    assert not place.journal.exists()


def test_an_empty_file_is_refused(place: Place) -> None:
    write(place.source, ["", "  "])
    with pytest.raises(ForebayError, match="holds no lines"):
        place.run("--url", "http://127.0.0.1:1/v1")


def test_an_engine_that_is_down_stops_the_run_and_fails_no_line(tmp_path: Path, place: Place) -> None:
    write(place.source, [line(f"id{at}", f"question {at}") for at in range(40)])
    assert place.run("--url", "http://127.0.0.1:9/v1", "--retries", "0", "--max-parallel", "2") == 2
    assert "forebay batch" in place.said
    assert "0 of 40 lines" in place.said
    assert not place.journal.exists()
    with serving(tmp_path) as up:
        assert place.run("--url", up.url) == 0
    assert len(read(place.out)) == 40
