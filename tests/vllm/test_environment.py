"""What `make test-vllm` made: the real model answers on the real engine."""

from __future__ import annotations

from typing import Any

from tests.vllm.real import sampling

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."


def test_the_offline_engine_answers(llm: Any) -> None:
    (answered,) = llm.chat(QUESTION, sampling(), use_tqdm=False)
    assert answered.outputs[0].text == ANSWER
    assert answered.outputs[0].finish_reason == "stop"


async def test_the_online_engine_answers(engine: Any) -> None:
    prompt = engine.get_tokenizer().apply_chat_template(QUESTION, add_generation_prompt=True, return_dict=False)
    seen = [answered async for answered in engine.generate({"prompt_token_ids": prompt}, sampling(), "environment")]
    assert seen[-1].finished
    assert seen[-1].outputs[0].text == ANSWER
    assert len(seen) > 1  # as it is generated, and not at its end
    assert engine.output_processor.get_num_unfinished_requests() == 0
