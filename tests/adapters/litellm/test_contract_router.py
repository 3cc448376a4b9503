"""What the choice among replicas leans on in LiteLLM's router, held against the installed version."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from forebay.adapters.litellm.host import leaves_choice
from forebay.adapters.litellm.replicas import metrics_urls

# LiteLLM's own: pydantic reads its types lazily, while the first call runs
pytestmark = pytest.mark.filterwarnings("ignore:.*using the `ReadOnly` qualifier:UserWarning")

HOST: Any = litellm


async def test_the_router_takes_the_deployment_that_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Last(CustomLogger):
        async def async_filter_deployments(
            self,
            model: str,
            healthy_deployments: list[Any],
            messages: Any,
            request_kwargs: Any = None,
            parent_otel_span: Any = None,
        ) -> list[Any]:
            asked.append((model, healthy_deployments, request_kwargs))
            return healthy_deployments[-1:]

    asked: list[tuple[str, list[Any], Any]] = []
    monkeypatch.setattr(HOST, "callbacks", [Last()])
    models = [
        {
            "model_name": "replicas",
            "litellm_params": {"model": "openai/tiny", "api_base": f"http://127.0.0.1:{at}/v1", "api_key": f"k{at}"},
        }
        for at in (1, 2)
    ]
    router = HOST.Router(model_list=models)
    try:
        monkeypatch.setitem(sys.modules, "litellm.proxy.proxy_server", SimpleNamespace(llm_router=router))
        assert leaves_choice()
        for _ in range(8):
            chosen = await router.async_get_available_deployment("replicas", request_kwargs={"metadata": {"x": 1}})
            assert chosen["litellm_params"]["api_base"] == "http://127.0.0.1:2/v1"
        model, deployments, kwargs = asked[0]
        assert (model, kwargs["metadata"]) == ("replicas", {"x": 1})
        assert sorted((metrics_urls(deployments) or {}).values()) == [f"http://127.0.0.1:{at}/metrics" for at in (1, 2)]
        router.routing_strategy = "latency-based-routing"
        assert not leaves_choice()
    finally:
        router.discard()
