"""A public conformance checker, llm-comply, on vLLM's own server and on the same one with forebay, cold and warm."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.checker import Verdict, verdicts_on, worse
from tests.vllm.serving import BARE, EXACT_ONLY, KEYS, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS: Final = ("openai-chat", "open-responses", "anthropic")
# the same answers each time, so that what the checker finds in them is the same; tools, so that none of its tests is refused
SAME: Final = (
    *("--generation-config", "vllm", "--override-generation-config", '{"temperature": 0, "max_new_tokens": 32}'),
    *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("bare"), arguments=SAME, command=BARE) as made:
        yield made


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("fronted"), EXACT_ONLY, SAME) as made:
        yield made


def hits(server: Server) -> int:
    with server.client(authorization=f"Bearer {KEYS[0]}") as client:
        found: int = client.get("/forebay/status").json()["requests"].get("exact", 0)
        return found


def without_ids(complaint: str) -> str:
    """Return a complaint without the ids that vLLM makes up, whose digits are # already."""
    return re.sub(r"_[a-f#]*#[a-f#]*(?=')", "_id", complaint)


@pytest.mark.parametrize("name", FORMATS)
def test_the_checker_says_nothing_more_with_forebay(bare: Server, fronted: Server, name: str) -> None:
    def run(server: Server) -> dict[str, Verdict]:
        found = asyncio.run(verdicts_on(f"{server.url}/v1", KEYS[0], name, "tiny"))
        return {test: Verdict(one.status, frozenset(map(without_ids, one.complaints))) for test, one in found.items()}

    alone, cold = run(bare), run(fronted)
    before = hits(fronted)
    warm = run(fronted)
    assert len(alone) > 8
    said = [*worse(alone, cold, "cold"), *worse(alone, warm, "warm")]
    assert not said, "\n".join(["", *said])
    assert hits(fronted) > before, "nothing was a hit"
