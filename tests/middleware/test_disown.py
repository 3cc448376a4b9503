"""'This hit was wrong': a caller's word drops the kept answer, and the question is computed anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay.middleware.records import CacheStatus, Controls
from forebay.testing import ScriptedEngine, started
from tests.middleware.asking import QUESTION, SEMANTIC, SIMILAR, ask, stored, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from forebay.middleware.runtime import Runtime


@pytest.fixture
async def runtime() -> AsyncGenerator[Runtime]:
    async with started(SEMANTIC) as runtime:
        yield runtime


async def test_a_wrong_exact_hit_is_computed_anew_and_replaced(runtime: Runtime) -> None:
    await ask(runtime, QUESTION, engine=ScriptedEngine(["wrong"]))
    hit = await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]))
    again = await ask(runtime, QUESTION, engine=ScriptedEngine(["right"]), controls=Controls(wrong=hit.request_id))
    after = await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]))
    assert (hit.status, text_of(hit)) == (CacheStatus.EXACT, "wrong")
    assert (again.status, text_of(again)) == (CacheStatus.MISS, "right")
    assert (after.status, text_of(after)) == (CacheStatus.EXACT, "right")
    assert await stored(runtime) == 1


async def test_a_wrong_similar_hit_never_matches_again(runtime: Runtime) -> None:
    await ask(runtime, QUESTION, engine=ScriptedEngine(["of another question"]))
    hit = await ask(runtime, SIMILAR, engine=ScriptedEngine(["not asked"]))
    again = await ask(runtime, SIMILAR, engine=ScriptedEngine(["right"]), controls=Controls(wrong=hit.request_id))
    after = await ask(runtime, SIMILAR, engine=ScriptedEngine(["not asked"]))
    assert hit.status is CacheStatus.SEMANTIC
    assert (again.status, text_of(again)) == (CacheStatus.MISS, "right")
    assert (after.status, text_of(after)) == (CacheStatus.EXACT, "right")
    assert len(runtime.refused) == 1


async def test_nobody_drops_the_answers_of_another_tenant(runtime: Runtime) -> None:
    await ask(runtime, QUESTION, engine=ScriptedEngine(["ann's"]), tenant="ann")
    hit = await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]), tenant="ann")
    await ask(
        runtime, QUESTION, engine=ScriptedEngine(["bob's"]), tenant="bob", controls=Controls(wrong=hit.request_id)
    )
    after = await ask(runtime, QUESTION, engine=ScriptedEngine(["not asked"]), tenant="ann")
    assert (after.status, text_of(after)) == (CacheStatus.EXACT, "ann's")


async def test_an_unknown_request_drops_nothing_and_is_computed(runtime: Runtime) -> None:
    await ask(runtime, QUESTION, engine=ScriptedEngine(["kept"]))
    again = await ask(runtime, QUESTION, engine=ScriptedEngine(["new"]), controls=Controls(wrong="no-such-request"))
    assert (again.status, text_of(again)) == (CacheStatus.MISS, "new")
