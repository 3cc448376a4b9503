"""The write gate on every other endpoint, and on every way that LiteLLM takes from it to an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration import other_scripts
from tests.integration.asking import Completions, Embeddings, Endpoint, Messages, Responses
from tests.integration.chat_scripts import SCRIPTS
from tests.integration.gate import cases_of, run_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.chat_scripts import Script
    from tests.integration.gate import Case, Run
    from tests.integration.scripted import ScriptedEngine

pytestmark = pytest.mark.slow

BY_CHAT: Final = [script for script in SCRIPTS if not script.name.startswith(("status_4", "oversized"))]
WAYS: Final[Sequence[tuple[Endpoint, Sequence[Script], bool]]] = (
    (Completions("completions", "/v1/completions"), other_scripts.COMPLETIONS, True),
    (Responses("responses", "/v1/responses"), other_scripts.RESPONSES, False),
    (Responses("responses by chat", "/v1/responses", "by chat"), BY_CHAT, True),
    (Messages("messages", "/v1/messages", "claude"), other_scripts.MESSAGES, True),
    (Messages("messages by responses", "/v1/messages"), other_scripts.RESPONSES, False),
    (Messages("messages by chat", "/v1/messages", "by chat"), BY_CHAT, False),
    (Embeddings("embeddings", "/v1/embeddings"), other_scripts.EMBEDDINGS, True),
)
"""With whether LiteLLM closes its connection to the engine when the client leaves before the first word."""
CASES: Final[dict[str, Case]] = {
    name: case
    for endpoint, scripts, closes in WAYS
    for name, case in cases_of(endpoint, scripts, closes=closes).items()
}


def models(engine: ScriptedEngine) -> list[dict[str, Any]]:
    """A model whose provider knows chat completions alone."""
    params = {"model": "lm_studio/tiny", "api_base": engine.url, "api_key": "not-needed", "max_retries": 0}
    return [{"model_name": "by chat", "litellm_params": params}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_all(lambda: tmp_path_factory.mktemp("gate"), CASES, other_scripts.prompt_of, models)


@pytest.mark.parametrize("name", CASES)
def test_only_complete_answers_are_kept(run: Run, name: str) -> None:
    case, outcome = CASES[name], run.outcomes[name]
    kept = case.script.kept
    assert outcome.asked_again != kept
    assert outcome.first.cache in ("miss", None)  # LiteLLM sends its errors on some endpoints without our headers
    assert (outcome.second.cache == "exact") == kept


def test_the_store_holds_the_complete_answers(run: Run) -> None:
    def entries(case: Case) -> int:
        return 2 if isinstance(case.endpoint, Embeddings) else 1

    kept = sum(entries(case) for case in CASES.values() if case.script.kept)
    left = sum(entries(case) for case in CASES.values() if case.leaves)
    assert (run.kept, run.kept_after_all) == (kept, kept + left)  # those who left asked again and got all


@pytest.mark.parametrize("name", CASES)
def test_the_client_sees_what_litellm_alone_shows(run: Run, name: str) -> None:
    case, outcome = CASES[name], run.outcomes[name]
    alone, first, second = outcome.alone, outcome.first, outcome.second
    if case.leaves:
        complete = run.outcomes[f"{case.endpoint.name}-complete-{case.form}"].alone
        assert first.outcome == alone.outcome
        assert second.outcome == complete.outcome
        assert complete.status == 200
        assert not complete.broke
        assert complete.text
    elif case.races:
        assert first.text == second.text == alone.text == ""
    else:
        assert first == alone
        assert second.outcome == alone.outcome
