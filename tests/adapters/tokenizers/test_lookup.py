from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import tiktoken
import tokenizers

from forebay.adapters.tokenizers import tiktoken as ours
from forebay.adapters.tokenizers.huggingface import HuggingFaceTokenizer
from forebay.adapters.tokenizers.lookup import Tokenizers
from forebay.middleware.errors import ConfigError

WORDS = {"[UNK]": 0, "the": 1, "cat": 2, "sat": 3, "<s>": 4}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tokenizer.json that counts words, would cut them at two, and puts <s> in front of each text."""
    library: Any = tokenizers
    made = library.Tokenizer(library.models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = library.pre_tokenizers.Whitespace()
    made.post_processor = library.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 4)])
    made.enable_truncation(2)
    made.enable_padding(length=9)
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two encodings of one token a byte, one of which cannot be loaded."""

    def get(name: str) -> tiktoken.Encoding:
        if name == "broken":
            raise OSError("no network")
        return tiktoken.Encoding(
            name, pat_str=".", mergeable_ranks={bytes([b]): b for b in range(256)}, special_tokens={}
        )

    monkeypatch.setattr(tiktoken, "list_encoding_names", lambda: ["bytes", "broken"])
    monkeypatch.setattr(tiktoken, "get_encoding", get)


def test_a_file_counts_whole_texts_without_their_frame(file: Path) -> None:
    for source in (file, file.parent):
        assert HuggingFaceTokenizer.from_file(source).count("the cat sat") == 3


@pytest.mark.usefixtures("encodings")
def test_the_first_pattern_that_matches_holds(file: Path) -> None:
    found = Tokenizers({"llama-3*": str(file), "gpt-4o*": "tiktoken:bytes", "*": str(file)})
    counts: dict[str, int] = {}
    for model in ("llama-3.1-8b", "gpt-4o-mini", "another"):
        count = found.counter_of(model)
        assert count is not None
        counts[model] = count("the cat")
    assert counts == {"llama-3.1-8b": 2, "gpt-4o-mini": 7, "another": 2}


def test_of_other_models_nothing_is_known(file: Path) -> None:
    found = Tokenizers({"llama-3*": str(file)})
    for at in range(3_000):  # more than are remembered
        assert found.counter_of(f"model-{at}") is None
    assert found.counter_of("llama-3") is not None


@pytest.mark.usefixtures("encodings")
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("/there/is/no/such.json", "there is no file"),
        ("tiktok:o200k_base", "names none of tiktoken:, hub:"),
        ("tiktoken:byte", "Did you mean 'bytes'?"),
        ("tiktoken:broken", "cannot get the file of broken (OSError)"),
    ],
)
def test_what_cannot_be_had_is_said_at_start(source: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Tokenizers({"llama*": source})
    assert problem in str(raised.value)
    assert "classifiers.profile.tokenizers.llama*" in str(raised.value)


def test_a_file_that_is_no_tokenizer_is_said_at_start(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(ConfigError, match=r"not a tokenizer\.json"):
        Tokenizers({"*": str(path)})


def test_a_hub_that_cannot_be_reached_is_said_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from forebay.adapters.tokenizers import huggingface

    class Unreachable:
        @staticmethod
        def from_pretrained(model: str) -> None:
            raise OSError(model)

    monkeypatch.setattr(huggingface, "_Library", Unreachable)
    with pytest.raises(ConfigError, match="cannot be fetched"):
        Tokenizers({"*": "hub:organisation/model"})


@pytest.mark.parametrize("given", [None, "/elsewhere"])
def test_litellms_files_are_found_and_the_environment_left_alone(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    encoding = tiktoken.Encoding(
        "x", pat_str=".", mergeable_ranks={bytes([b]): b for b in range(256)}, special_tokens={}
    )

    def get(name: str) -> tiktoken.Encoding:
        del name
        seen.append(os.environ.get("TIKTOKEN_CACHE_DIR"))
        return encoding

    monkeypatch.setattr(tiktoken, "get_encoding", get)
    if given is None:
        monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    else:
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", given)
    ours.TiktokenTokenizer("cl100k_base")
    folder = seen[0]
    assert folder is not None
    assert folder == given if given else folder.endswith("tokenizers")
    assert os.environ.get("TIKTOKEN_CACHE_DIR") == given


def test_an_encoding_that_litellm_brings_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    tokenizer = ours.TiktokenTokenizer("cl100k_base")
    assert tokenizer.count("The cat sat on the mat.") == 7
    assert tokenizer.count("<|endoftext|>") > 1  # text, not the token
