"""A wrapped LLM where something fails or is not understood: the LLM answers as if forebay were not there."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from forebay.adapters.vllm.fake_llm import FakeLLM, FakeLLMEngine
from forebay.adapters.vllm.offline import ForebayLLM
from tests.adapters.vllm.made_llm import EXACT, added, greedy, told, wrapped

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


def goes_by(llm: ForebayLLM, *args: Any, **given: Any) -> bool:
    """Return whether a call went by and was answered all the same."""
    before = len(llm.bare)
    assert llm.generate(*args, **given)
    return len(llm.bare) > before and llm.report is None


def test_what_is_not_understood_goes_by_or_is_not_kept(folder: str) -> None:
    with wrapped(folder) as llm:
        assert not goes_by(llm, ["a", {"prompt": "a", "multi_modal_data": {}}], greedy(), use_tqdm=False)
        assert not goes_by(llm, ["a", {"prompt": "a", "multi_modal_data": {}}], greedy(), use_tqdm=False)
        assert added(llm) == 3
        image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]
        for _ in range(2):
            llm.chat(image, greedy(), use_tqdm=False)
        assert added(llm) == 5
        llm.llm_engine.vllm_config.parallel_config.data_parallel_size = 2
        assert goes_by(llm, "a", greedy())
        with pytest.raises(TypeError, match="must contain text"):
            llm.generate({"text": "a"})


def test_vllms_own_refusals_come_out(folder: str) -> None:
    fake = FakeLLM()
    with wrapped(folder, fake) as llm:
        with pytest.raises(TypeError, match="must contain text"):
            llm.generate([{"text": "a"}], greedy())
        with pytest.raises(TypeError, match="unexpected keyword"):
            llm.generate("a", greedy(), anything="new")
        assert not goes_by(llm, "a", greedy())


def test_calls_go_by_while_others_are_in_the_engine_and_after_the_weights_may_have_changed(folder: str) -> None:
    fake = FakeLLM()
    with wrapped(folder, fake) as llm:
        llm.generate("a", greedy())
        llm.enqueue(["b"], greedy())
        assert goes_by(llm, "a", greedy())
        assert not goes_by(llm, "a", greedy())
        llm.collective_rpc("load")
        assert goes_by(llm, "a", greedy())


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("forebay-offline")}


def test_after_closing_calls_go_to_the_llm(folder: str) -> None:
    before = threads()
    llm = wrapped(folder)
    llm.generate("a", greedy(), use_tqdm=False)
    assert threads() > before
    llm.close()
    llm.close()
    assert goes_by(llm, "a", greedy())
    assert threads() == before


def test_a_wrapper_that_nobody_has_any_more_ends_what_it_started(folder: str) -> None:
    before = threads()
    llm = wrapped(folder)
    llm.generate("a", greedy(), use_tqdm=False)
    gone = weakref.ref(llm)
    del llm
    gc.collect()
    assert gone() is None
    assert threads() == before


def broken(*_args: Any, **_given: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("place", ["begin", "analyze", "lookup", "admit", "run"])
def test_what_fails_in_forebay_leaves_the_llm_alone(folder: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with wrapped(folder) as llm:
        llm.generate(["a"], greedy())
        monkeypatch.setattr(llm.runtime.pipeline, place, broken)
        outputs = llm.generate(["b", "a", "b"], greedy(), use_tqdm=False)
        assert told(outputs) == told(FakeLLM().generate(["b", "a", "b"], greedy()))
        monkeypatch.undo()
        assert llm.runtime.pipeline.inflight == 0


def test_an_answer_that_cannot_be_read_is_computed(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with wrapped(folder) as llm:
        first = llm.generate(["a"], greedy())
        monkeypatch.setattr("forebay.adapters.vllm.group.replay", broken)
        assert told(llm.generate(["a"], greedy())) == told(first)
        assert added(llm) == 2


def test_a_runtime_that_does_not_start_is_done_without(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with wrapped(folder) as llm:
        monkeypatch.setattr(llm.runtime, "start", broken)
        assert goes_by(llm, "a", greedy())
        assert goes_by(llm, "a", greedy())


@contextlib.contextmanager
def failing(fake: FakeLLM, error: BaseException, *, after: int) -> Generator[None]:
    """Let the engine fail after some steps."""
    steps = iter(range(after))

    def step() -> None:
        if next(steps, None) is None:
            raise error

    fake.llm_engine.before_step = step
    yield
    fake.llm_engine.before_step = lambda: None


@pytest.mark.parametrize("error", [OSError("dead"), KeyboardInterrupt()])
def test_what_interrupts_the_engine_comes_out_and_leaves_it_empty(folder: str, error: BaseException) -> None:
    fake = FakeLLM(FakeLLMEngine(limit=2))
    prompts = [f"{at}" * 7 for at in range(12)]
    with wrapped(folder, fake) as llm:
        with failing(fake, error, after=9), pytest.raises(type(error)):
            llm.generate(prompts, greedy(), use_tqdm=False)
        assert not fake.llm_engine.has_unfinished_requests()
        computed = added(llm)
        outputs = llm.generate(prompts, greedy(), use_tqdm=False)
        assert [output.prompt for output in outputs] == prompts
        assert fake.bare == []
        assert added(llm) < computed + len(prompts)  # what was finished before is kept


def test_a_request_that_the_engine_refuses_in_the_end_ends_the_call(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeLLM()
    with wrapped(folder, fake) as llm:
        monkeypatch.setattr(fake, "enqueue", broken)
        with pytest.raises(ZeroDivisionError):
            llm.generate(["a", "b"], greedy(), use_tqdm=False)
        assert llm.bare == []


def test_a_full_queue_refuses_nothing(folder: str) -> None:
    config = {**EXACT, "limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    with wrapped(folder, config=config) as llm:
        prompts = [f"{at}" for at in range(9)]
        outputs = llm.generate(prompts, greedy(), use_tqdm=False)
        assert [output.prompt for output in outputs] == prompts


LEAVING = """
import sys
from tests.adapters.vllm.made_llm import greedy, wrapped
llm = wrapped(sys.argv[1])
llm.generate(["a", "b"], greedy(), use_tqdm=False)
"""


def test_a_process_that_closes_nothing_ends_cleanly_and_keeps_what_it_wrote(folder: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEAVING, folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    with contextlib.closing(sqlite3.connect(f"{folder}/state.db")) as state:
        (explained,) = state.execute("SELECT COUNT(*) FROM explanations").fetchone()
    assert explained == 2
