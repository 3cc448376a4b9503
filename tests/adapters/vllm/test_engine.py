"""A wrapped engine, on a fake of vLLM's client: what reaches the engine, what does not, and what comes back."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from forebay.adapters.vllm.call import Call, calling
from forebay.adapters.vllm.fake import FakeEngine, GracefulHTTPError
from forebay.adapters.vllm.fake_types import RequestOutputKind
from tests.adapters.vllm.rig import IDS, calm, params, prompt, read, told, wrapped


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("first", list(RequestOutputKind))
@pytest.mark.parametrize("second", list(RequestOutputKind))
async def test_a_second_one_of_any_kind_is_answered_from_the_cache(
    first: RequestOutputKind, second: RequestOutputKind, n: int
) -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        one = await read(engine, "a", params(first, n=n))
        await calm(engine.runtime)
        two = await read(engine, "b", params(second, n=n))
        assert len(fake.calls) == 1
        assert told(two, second) == told(one, first)
        assert {output.request_id for output in two} == {"b"}
        assert two[-1].finished
        assert not any(output.finished for output in two[:-1])
        assert two[0].prompt_token_ids == IDS


CHANGES: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "seed": 7,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "repetition_penalty": 1.1,
    "stop": ["x"],
    "stop_token_ids": [9],
    "ignore_eos": True,
    "max_tokens": 63,
    "min_tokens": 2,
    "logprobs": 1,
    "prompt_logprobs": 1,
    "n": 2,
    "skip_special_tokens": False,
    "include_stop_str_in_output": True,
    "logit_bias": {3: 1.0},
    "allowed_token_ids": [1, 2],
    "bad_words": ["x"],
    "detokenize": False,
}


GREEDY_IGNORES = ("top_p", "top_k", "min_p")


@pytest.mark.parametrize("name", CHANGES)
async def test_another_sampling_field_is_another_request(name: str) -> None:
    fake = FakeEngine()
    sampled: dict[str, Any] = {"temperature": 0.3} if name in GREEDY_IGNORES else {}
    async with wrapped(fake) as engine:
        await read(engine, "a", params(**sampled))
        await calm(engine.runtime)
        await read(engine, "b", params(**sampled, **{name: CHANGES[name]}))
        assert len(fake.calls) == 2


@pytest.mark.parametrize("name", GREEDY_IGNORES)
async def test_what_greedy_sampling_ignores_changes_nothing(name: str) -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        await read(engine, "a")
        await calm(engine.runtime)
        await read(engine, "b", params(**{name: CHANGES[name]}))
        assert len(fake.calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"of": prompt([1, 2, 3, 5])},
        {"of": prompt(cache_salt="salted")},
        {"lora_request": type("Lora", (), {"lora_name": "l", "lora_int_id": 1, "lora_path": "p"})()},
        {"reasoning_ended": True},
    ],
)
async def test_another_prompt_salt_or_adapter_is_another_request(other: dict[str, Any]) -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        await read(engine, "a")
        await calm(engine.runtime)
        await read(engine, "b", **other)
        assert len(fake.calls) == 2


async def test_tenants_share_neither_answers_nor_the_engines_prefixes() -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        for tenant in ("one", "two", "one"):
            with calling(Call(tenant=tenant)):
                await read(engine, tenant)
            await calm(engine.runtime)
        salts = [called.prompt["cache_salt"] for called in fake.calls]
        assert len(set(salts)) == len(salts) == 2
        assert not any("one" in salt or "two" in salt for salt in salts)


async def test_an_answer_cut_at_its_limit_is_not_kept() -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        for name in "ab":
            assert told(await read(engine, name, params(max_tokens=2)))[0][2] == "length"
            await calm(engine.runtime)
        assert len(fake.calls) == 2


@pytest.mark.parametrize("kind", list(RequestOutputKind))
async def test_twins_share_one_call_and_have_names_of_their_own(kind: RequestOutputKind) -> None:
    fake = FakeEngine(length_of=lambda _: 6)
    async with wrapped(fake) as engine:
        many = await asyncio.gather(*(read(engine, f"r{at}", params(kind, max_tokens=5)) for at in range(12)))
        assert len(fake.calls) == 1
        assert {tuple(map(str, told(outputs, kind))) for outputs in many} == {tuple(map(str, told(many[0], kind)))}
        assert [{output.request_id for output in outputs} for outputs in many] == [{f"r{at}"} for at in range(12)]
        await calm(engine.runtime)


async def test_the_queue_lets_as_many_in_as_the_limit_says() -> None:
    most = [0]

    async def step() -> None:
        most[0] = max(most[0], len(fake.running))
        await asyncio.sleep(0)

    fake = FakeEngine(step)
    async with wrapped(fake) as engine:
        await asyncio.gather(*(read(engine, f"r{at}", of=prompt([at])) for at in range(9)))
        assert most == [2]
        assert len(fake.calls) == 9
        await calm(engine.runtime)


async def test_a_full_queue_refuses_before_the_engine_is_asked_and_never_a_hit() -> None:
    release = asyncio.Event()
    fake = FakeEngine(release.wait)
    config = {"limit": {"type": "fixed", "max_inflight": 1}, "admission": {"max_queue": 0}}
    async with wrapped(fake, config) as engine:
        release.set()
        await read(engine, "kept", of=prompt([9]))
        await calm(engine.runtime)
        release.clear()
        busy = asyncio.create_task(read(engine, "busy"))
        while not fake.running:  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(GracefulHTTPError) as refused:
            await read(engine, "late", of=prompt([5]))
        assert refused.value.http_status == 429
        with pytest.raises(GracefulHTTPError):
            engine.check_admission()
        call = Call(answers_refusals=True)
        with calling(call):
            engine.check_admission()  # what is asked is not known yet
            assert told(await read(engine, "hit", of=prompt([9])))
            with pytest.raises(GracefulHTTPError):
                await read(engine, "late", of=prompt([6]))
        assert call.shed is not None
        assert call.decided.is_set()
        release.set()
        await busy
        await calm(engine.runtime)


async def test_the_engines_own_refusal_is_passed_on() -> None:
    fake = FakeEngine(room=0)
    async with wrapped(fake) as engine:
        with pytest.raises(GracefulHTTPError):
            engine.check_admission(1, "r")
        with calling(Call(answers_refusals=True)) as call, pytest.raises(GracefulHTTPError, match="full"):
            await read(engine)
        assert call.shed is not None
        assert call.shed.status == 503
        await calm(engine.runtime)


async def test_a_break_frees_the_engine() -> None:
    fake = FakeEngine(length_of=lambda _: 10_000)
    async with wrapped(fake) as engine:
        generated = engine.generate(prompt(), params(max_tokens=10_000), "r")
        async for _ in generated:
            break
        async with asyncio.timeout(1):
            while fake.running:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await calm(engine.runtime)
        assert [called.ended for called in fake.calls] == ["GeneratorExit"]


@pytest.mark.parametrize("seed", range(5))
async def test_sixty_random_leavers_leave_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)
    fake = FakeEngine(length_of=lambda ids: 5 + sum(ids) % 20)
    async with wrapped(fake) as engine:

        async def one(at: int) -> list[Any]:
            kind = chance.choice(list(RequestOutputKind))
            return await read(engine, f"r{at}", params(kind), of=prompt([chance.randint(1, 6)]))

        tasks: list[asyncio.Task[list[Any]]] = []
        leavers: set[int] = set()
        for at in range(60):
            tasks.append(asyncio.create_task(one(at)))
            for _ in range(chance.randint(0, 6)):
                await asyncio.sleep(0)
            if chance.random() < 0.6:
                gone = chance.randrange(len(tasks))
                if tasks[gone].cancel():
                    leavers.add(gone)
        async with asyncio.timeout(20):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for at, result in enumerate(results):
            if isinstance(result, BaseException):
                assert at in leavers
                assert isinstance(result, asyncio.CancelledError)
            else:
                assert result[-1].finished
        await calm(engine.runtime)
        assert not fake.running


async def test_what_fails_in_forebay_leaves_the_engine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        monkeypatch.setattr(engine.runtime.pipeline, "begin", None)
        assert told(await read(engine))[0][2] == "stop"
        assert fake.running == {}


async def test_what_the_engine_raises_comes_out() -> None:
    def step() -> Any:
        raise OSError("dead")

    async with wrapped(FakeEngine(step)) as engine:
        with pytest.raises(OSError, match="dead"):
            await read(engine)
        await calm(engine.runtime)


async def test_arguments_go_through_as_they_came() -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        await read(engine, "r", session_id="s", anything="new", data_parallel_rank=3)
        assert fake.calls[0].given == {"session_id": "s", "anything": "new", "data_parallel_rank": 3}
        assert fake.calls[0].request_id == "r"


@pytest.mark.parametrize("by_server", [False, True])
@pytest.mark.parametrize("tracing", [False, True])
async def test_the_engine_is_in_our_trace_only_where_it_traces(tracing: bool, by_server: bool) -> None:
    """vLLM's server hands the caller's headers on only where vLLM itself traces; forebay's own server always does."""
    outside = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    fake = FakeEngine(tracing=tracing)
    async with wrapped(fake) as engine:
        with calling(Call(trace=outside if by_server else {})):
            await read(engine, trace_headers={} if by_server else outside)
        told: dict[str, str] = fake.calls[0].given["trace_headers"]
        assert ("0af7651916cd43dd8448eb211c80319c" in told.get("traceparent", "")) == (tracing or not by_server)


async def test_a_name_that_is_used_twice_at_a_time_is_no_confusion() -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        both = await asyncio.gather(*(read(engine, "same", of=prompt([at])) for at in (1, 2)))
        assert [outputs[-1].request_id for outputs in both] == ["same", "same"]
        await calm(engine.runtime)
