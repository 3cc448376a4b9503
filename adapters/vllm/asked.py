"""The arguments of one call of a wrapped engine, and what they become: a request for forebay, and a call of the engine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.keys import canonical_json
from ...middleware.narrow import is_array, is_object
from ...middleware.records import Controls, Request
from .requests import UNKEPT, request_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.flight import Flight
    from .call import Call

_RANKS: Final = {"interactive": 0, "standard": 1, "batch": 2, "background": 3}


@dataclass(frozen=True)
class About:
    """What is known of an engine.

    Attributes:
        model: the name it serves its model by.
        setting: digest of what its answers depend on, beside the request.
        by_priority: it takes the requests that wait inside it by the priority they came with.
    """

    model: str
    setting: str
    by_priority: bool

    @classmethod
    def of(cls, engine: Any) -> About:
        """Return what a vLLM engine says of itself."""
        config = getattr(engine, "model_config", None)
        served: Any = getattr(config, "served_model_name", None) or getattr(config, "model", None) or "vllm"
        names = ("model", "revision", "tokenizer", "tokenizer_revision", "dtype", "quantization", "seed")
        fields = {name: str(getattr(config, name, None)) for name in names}
        scheduler = getattr(getattr(engine, "vllm_config", None), "scheduler_config", None)
        return cls(
            model=str(served[0] if is_array(served) else served),
            setting=hashlib.sha256(canonical_json(fields).encode()).hexdigest(),
            by_priority=getattr(scheduler, "policy", None) == "priority",
        )


@dataclass(frozen=True)
class Asked:
    """The arguments of one call, as they came.

    Attributes:
        params: vLLM's sampling or pooling parameters.
        args, given: all others.
    """

    call: Call
    prompt: Any
    params: Any
    request_id: str
    args: tuple[Any, ...]
    given: Mapping[str, Any]

    def request(self, about: About, flight_id: str, *, weights: str = "", stream: bool) -> Request:
        """Return the request that this is.

        Args:
            weights: version of the engine's weights.

        Raises:
            UncacheableError: a sampling field has no canonical form.
        """
        return request_of(
            self.prompt,
            self.params,
            flight_id,
            self.given,
            call=self.call,
            model=about.model,
            engine=f"{about.setting} {weights}",
            stream=stream,
        )

    def unkept(self, about: About, flight_id: str) -> Request:
        """Return a request that waits its turn, and whose answer is not kept."""
        return Request(
            id=flight_id,
            model=about.model,
            messages=[{"role": "user", "content": ""}],
            tenant=self.call.tenant,
            endpoint="tokens",
            controls=Controls(bypass=self.call.controls.bypass, no_cache=UNKEPT.no_cache, no_store=UNKEPT.no_store),
            deadline_s=self.call.deadline_s,
            labels=self.call.labels,
            hints=self.call.hints,
        )

    def text(self) -> str | None:
        """Return the prompt's text where it came with it."""
        text = self.prompt.get("prompt") if is_object(self.prompt) else self.prompt
        return text if isinstance(text, str) else None

    def salted(self, salt: str) -> Any:
        """Return the prompt with a salt by which the engine keeps prefixes apart, unless it has one."""
        if not salt or not is_object(self.prompt) or self.prompt.get("cache_salt") is not None:
            return self.prompt
        return {**self.prompt, "cache_salt": salt}

    def passed_on(self, about: About, flight: Flight, headers: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments for the engine: as they came, in our trace, and with our priority where it heeds one.

        Args:
            headers: that make the engine our child in the trace; {} where it makes none.
        """
        more = dict(self.given)
        if headers:
            more["trace_headers"] = {**(self.given.get("trace_headers") or {}), **headers}
        if about.by_priority and not self.given.get("priority") and flight.facts is not None:
            more["priority"] = _RANKS.get(flight.facts.priority.value, 0)
        return more
