"""What forebay was written against is what this vLLM has."""

from __future__ import annotations

from forebay.adapters.vllm.fake import MEMBERS
from forebay.adapters.vllm.names import installed
from tests.vllm.real import module


def test_the_fake_has_the_protocols_own_members() -> None:
    assert sorted(module("vllm.engine.protocol").EngineClient.__abstractmethods__) == list(MEMBERS)


def test_all_names_are_found() -> None:
    names = installed()
    assert names.version.startswith("0.32.")
    assert all(value is not None for value in vars(names).values())
