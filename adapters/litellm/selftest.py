"""Do LiteLLM's hooks really fire? Run as a program, so that nothing of it stays in the asking process.

One request is sent twice through LiteLLM's own hook dispatch and call wrapper with a canned answer, on an
in-memory store. The second must be answered from the cache, with the first one's id.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOKS: Final = (
    "async_pre_call_hook",
    "async_filter_deployments",
    "async_pre_call_deployment_hook",
    "async_post_call_failure_deployment_hook",
    "async_post_call_success_hook",
    "async_post_call_failure_hook",
    "async_post_call_streaming_iterator_hook",
    "async_post_call_response_headers_hook",
)
"""The hooks the handler relies on; each must stand in the class itself and exist in LiteLLM."""


def problems() -> list[str]:
    """Return what is wrong with the LiteLLM that is installed, [] where forebay works on it."""
    import inspect

    from litellm.caching.caching import Cache
    from litellm.integrations.custom_logger import CustomLogger

    from .handler import ForebayHandler

    found = [f"LiteLLM has no hook {hook}" for hook in HOOKS if not hasattr(CustomLogger, hook)]
    found += [f"the handler's own class does not define {hook}" for hook in HOOKS if hook not in vars(ForebayHandler)]
    cache: Any = Cache  # half typed
    if "_backend" not in inspect.signature(cache.__init__).parameters:
        found.append("litellm.caching.Cache takes no _backend")
    return found or asyncio.run(_round_trip())


async def _round_trip() -> list[str]:
    import litellm
    from litellm.caching.dual_cache import DualCache
    from litellm.proxy._types import UserAPIKeyAuth
    from litellm.proxy.utils import ProxyLogging

    from ...middleware.config import parse_config
    from ...middleware.runtime import Runtime
    from .bridge import Bridge
    from .handler import ForebayHandler

    with tempfile.TemporaryDirectory() as folder:
        settings: Mapping[str, Any] = {
            "state_dir": folder,
            "store": {"type": "memory"},
            "cache": {"semantic": "off"},
            "telemetry": {"enabled": False},
        }
        bridge = Bridge(Runtime(parse_config(settings, environ={})))
        await bridge.started()
        litellm.callbacks = [ForebayHandler(bridge)]
        make: Any = ProxyLogging  # wants a subclass of DualCache that it does not need here
        dispatch: Any = make(user_api_key_cache=DualCache())
        ids: list[str] = []
        for _ in range(2):
            data: dict[str, Any] = {
                "model": "gpt-4o-mini",
                "messages": [{"role": "user", "content": "forebay self-test"}],
                "metadata": {},
                "mock_response": "ok",
                "proxy_server_request": {"headers": {}, "body": {"model": "gpt-4o-mini", "messages": []}},
            }
            data = await dispatch.pre_call_hook(
                user_api_key_dict=UserAPIKeyAuth(api_key="selftest"), data=data, call_type="acompletion"
            )
            host: Any = litellm
            answer = await asyncio.create_task(host.acompletion(**data))  # in a task, as the proxy calls it
            ids.append(str(answer.id))
            call = bridge.call_of(data)
            if call is None:
                return ["the hook async_pre_call_hook did not fire"]
            async with asyncio.timeout(10):
                await call.flight.settled.wait()
        missing = {"async_pre_call_hook", "async_pre_call_deployment_hook"} - bridge.seen
        await bridge.stop()
    if missing:
        return [f"the hook {hook} did not fire" for hook in sorted(missing)]
    return [] if ids[0] == ids[1] else ["a repeated request was not answered through LiteLLM's cache"]


if __name__ == "__main__":
    print(json.dumps(problems()))  # noqa: T201  (the answer of this program)
    sys.exit(0)
