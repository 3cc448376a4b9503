"""The handler LiteLLM loads.

LiteLLM calls a hook only where the handler's own class defines it, not where it is inherited, so every hook
is written here and only passes on. No failure of ours leaves a hook; a refusal does.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import litellm
from litellm.integrations.custom_logger import CustomLogger

from ...middleware.config import Config, load_config, parse_config
from ...middleware.narrow import is_object
from ...middleware.records import Ending
from ...middleware.runtime import Runtime
from ...middleware.shown import headers_of
from .bridge import Bridge
from .refusal import PassedOn, RefusedByForebay
from .requests import scrub
from .routes import mount

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class ForebayHandler(CustomLogger):
    """Callback for the LiteLLM proxy. Subclassing it loses the hooks: LiteLLM looks at the class itself."""

    def __init__(self, bridge: Bridge) -> None:
        CustomLogger.__init__(self)  # pyright: ignore[reportUnknownMemberType]  (untyped keyword arguments)
        self.bridge = bridge

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> Any:
        """A request arrived."""
        del cache
        self.bridge.seen.add("async_pre_call_hook")
        scrub(data)
        try:
            await self.bridge.begin(user_api_key_dict, data, _name(call_type))
        except (RefusedByForebay, PassedOn, asyncio.CancelledError):
            raise
        except Exception as error:
            self.bridge.failed("pre_call", error)

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[Any]:
        """The router is about to choose a deployment."""
        del messages, parent_otel_span
        try:
            return self.bridge.offer(model, healthy_deployments, request_kwargs or {})
        except Exception as error:
            self.bridge.failed("filter_deployments", error)
            return healthy_deployments

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> Any:
        """A deployment was chosen; called again for each retry and fallback."""
        self.bridge.seen.add("async_pre_call_deployment_hook")
        try:
            call = self.bridge.call_of(kwargs)
            if call is not None:
                await self.bridge.enter(call, kwargs, _name(call_type))
        except (RefusedByForebay, PassedOn, asyncio.CancelledError):
            raise
        except Exception as error:
            self.bridge.failed("pre_call_deployment", error)
        return kwargs

    async def async_post_call_failure_deployment_hook(
        self, request_data: Any, exception: Exception, call_type: Any, fallback_depth: int | None = None
    ) -> None:
        """An attempt failed."""
        del exception, call_type, fallback_depth
        try:
            self.bridge.attempt_failed(request_data)
        except Exception as error:
            self.bridge.failed("failure_deployment", error)

    async def async_post_call_success_hook(self, data: dict[str, Any], user_api_key_dict: Any, response: Any) -> Any:
        """A whole answer is about to be sent."""
        del user_api_key_dict, response
        self._ended(data, Ending.COMPLETE)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> Any:
        """An error is about to be sent, or the client left."""
        del user_api_key_dict, traceback_str
        left = getattr(original_exception, "status_code", None) == 499  # noqa: PLR2004  (client closed request)
        self._ended(request_data, Ending.CANCELLED if left else Ending.FAILED)

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """A stream is about to be sent."""
        del user_api_key_dict
        call = None
        try:
            call = self.bridge.call_of(request_data)
        except Exception as error:
            self.bridge.failed("streaming_iterator", error)
        if call is None:
            async for chunk in response:
                yield chunk
            return
        ending = Ending.CANCELLED
        pause_s = self.bridge.pause_s if call.flight.hit is not None else 0.0
        try:
            async for chunk in response:
                self.bridge.streamed(call, chunk)
                yield chunk
                if pause_s > 0:
                    await asyncio.sleep(pause_s)
            ending = Ending.COMPLETE
        except Exception:
            ending = Ending.FAILED
            raise
        finally:
            self.bridge.stream_ended(call, ending)

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """The response's headers are about to be sent."""
        del user_api_key_dict, response, request_headers, litellm_call_info
        try:
            call = self.bridge.call_of(data)
            if call is None:
                return {}
            return headers_of(call.flight, similarity=self.bridge.runtime.config.litellm.similarity_header)
        except Exception as error:
            self.bridge.failed("response_headers", error)
            return None

    def _ended(self, data: dict[str, Any], ending: Ending) -> None:
        try:
            self.bridge.ended(data, ending)
        except Exception as error:
            self.bridge.failed("post_call", error)


def _name(call_type: object) -> str:
    """Return LiteLLM's name of a call; hooks get it as text or as a member of an enumeration."""
    name = str(getattr(call_type, "value", call_type))
    return _OTHER_NAMES.get(name, name)


_OTHER_NAMES: Final = {
    "completion": "acompletion",
    "text_completion": "atext_completion",
    "embedding": "aembedding",
    "embeddings": "aembedding",
    "responses": "aresponses",
    "aanthropic_messages": "anthropic_messages",
}


def find_config() -> Config:
    """Return the configuration: the file FOREBAY_CONFIG names, else ``callback_settings.forebay``, else defaults.

    Raises:
        ConfigError: it is wrong; LiteLLM then does not start, and says why.
    """
    path = os.environ.get("FOREBAY_CONFIG")
    if path:
        return load_config(path)
    settings: Any = getattr(litellm, "callback_settings", None)
    ours = settings.get("forebay") if is_object(settings) else None
    return parse_config(ours, source="callback_settings.forebay") if is_object(ours) else load_config(None)


def make_handler() -> ForebayHandler:
    """Build the runtime and the handler; starting goes on in the background where a loop is running."""
    bridge = Bridge(Runtime(find_config()))
    mount(bridge)
    bridge.start_soon()
    return ForebayHandler(bridge)
