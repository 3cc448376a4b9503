"""What a wrapped engine keeps and what not; the fake of vLLM's client stands behind it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

from forebay.adapters.vllm.call import Call, calling
from forebay.adapters.vllm.fake import MEMBERS, FakeEngine
from tests.adapters.vllm.rig import LIMITED, calm, params, prompt, read, told, wrapped


async def test_every_member_of_the_protocol_is_there() -> None:
    async with wrapped(FakeEngine()) as engine:
        for member in MEMBERS:
            assert hasattr(engine, member)
        await engine.abort("r")
        assert engine.model_config.model == "fake"


async def test_what_is_not_understood_waits_its_turn_and_is_not_kept() -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        for name in "ab":
            await read(engine, name, of={"prompt_embeds": object(), "type": "embeds"})
            await calm(engine.runtime)
        assert len(fake.calls) == 2


async def test_vectors_wait_their_turn_and_are_not_kept() -> None:
    fake = FakeEngine()
    async with wrapped(fake) as engine:
        for name in "ab":
            outputs = [output async for output in engine.encode(prompt(), object(), name)]
            assert outputs[-1].finished
            await calm(engine.runtime)
        assert len(fake.calls) == 2


CHAT = Call(messages=[{"role": "user", "content": "What is a forebay?"}])


async def test_similar_chats_are_answered_where_their_messages_are_known() -> None:
    fake = FakeEngine()
    config = {**LIMITED, "acceptance": {"type": "threshold", "threshold": 0.5}}
    async with wrapped(fake, config) as engine:
        with calling(replace(CHAT)):
            one = await read(engine, "a")
        await calm(engine.runtime)
        asked_again = [{"role": "user", "content": "What is a forebay, please?"}]
        with calling(Call(messages=asked_again)):
            two = await read(engine, "b", of=prompt([1, 2, 3, 4, 5]))
        assert told(one) == told(two)
        assert len(fake.calls) == 1
        assert two[0].prompt_token_ids == [1, 2, 3, 4, 5]
        with calling(Call(messages=asked_again)):
            await read(engine, "c", params(logprobs=1), of=prompt([1, 2, 3, 4, 5]))
        assert len(fake.calls) == 2


async def test_the_same_messages_made_into_other_tokens_are_no_exact_hit() -> None:
    fake = FakeEngine()
    async with wrapped(fake, {**LIMITED, "cache": {"semantic": "off"}}) as engine:
        for ids in ([1], [2]):
            with calling(replace(CHAT)):
                await read(engine, str(ids), of=prompt(ids))
            await calm(engine.runtime)
        assert len(fake.calls) == 2


async def test_answers_of_other_weights_are_other_answers() -> None:
    fake = FakeEngine()
    version = "one"

    async def weight_version() -> str:
        return version

    fake.get_weight_version = weight_version  # type: ignore[attr-defined]
    fake.update_weight_version = weight_version  # type: ignore[attr-defined]
    async with wrapped(fake) as engine:
        await read(engine, "a")
        await calm(engine.runtime)
        await read(engine, "b")
        assert len(fake.calls) == 1
        version = "two"
        await engine.update_weight_version()
        await read(engine, "c")
        assert len(fake.calls) == 2
        await calm(engine.runtime)
        await engine.update_weight_version()  # to the same one, as some loaders do
        await read(engine, "d")
        assert len(fake.calls) == 3


async def test_a_twin_may_change_what_it_was_given() -> None:
    fake = FakeEngine(length_of=lambda _: 6)
    async with wrapped(fake) as engine:

        async def merged() -> list[int]:
            whole: Any = None
            async for output in engine.generate(prompt(), params(), str(random.random())):
                whole = output if whole is None else whole
                if output is not whole:
                    whole.outputs[0].token_ids += output.outputs[0].token_ids
            return list(whole.outputs[0].token_ids)

        many = await asyncio.gather(merged(), merged(), merged())
        assert [len(ids) for ids in many[1:]] == [6, 6]
        assert len(fake.calls) == 1
