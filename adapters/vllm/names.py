"""What forebay takes from vLLM, by name and in one place, and which versions of it have that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from ...middleware.errors import MissingExtraError, PluginError

OLDEST: Final = (0, 32)
BEYOND: Final = (0, 34)
"""The first version that was not looked at."""


@dataclass(frozen=True)
class Names:
    """vLLM's classes; they are untyped for us, because most installations do without them.

    Attributes:
        version: vLLM's own.
        engine_client: the protocol that a wrapped engine is registered as.
        http_error: what is raised to answer with an HTTP status.
    """

    version: str
    request_output: Any
    completion_output: Any
    logprob: Any
    flat_logprobs: Any
    output_kind: Any
    sampling_params: Any
    weight_span: Any
    engine_client: Any
    http_error: Any


def installed() -> Names:
    """Return the installed vLLM's.

    Raises:
        MissingExtraError: there is no vLLM.
        PluginError: it is a version that forebay does not know.
    """
    try:
        vllm: Any = import_module("vllm")
    except ImportError:
        raise MissingExtraError("vllm", module="vllm", extra="vllm") from None
    version = str(vllm.__version__)
    check_version(version)
    outputs, sampling = import_module("vllm.outputs"), import_module("vllm.sampling_params")
    logprobs, protocol = import_module("vllm.logprobs"), import_module("vllm.engine.protocol")
    return Names(
        version=version,
        request_output=outputs.RequestOutput,
        completion_output=outputs.CompletionOutput,
        logprob=logprobs.Logprob,
        flat_logprobs=logprobs.FlatLogprobs,
        output_kind=sampling.RequestOutputKind,
        sampling_params=sampling.SamplingParams,
        weight_span=outputs.WeightVersionSpan,
        engine_client=protocol.EngineClient,
        http_error=import_module("vllm.exceptions").GracefulHTTPError,
    )


def check_version(version: str) -> None:
    """Check that forebay knows this vLLM.

    Raises:
        PluginError: it does not.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or not OLDEST <= (int(found[1]), int(found[2])) < BEYOND:
        oldest, beyond = (".".join(map(str, one)) for one in (OLDEST, BEYOND))
        raise PluginError(
            "vllm",
            f"this forebay wraps vLLM from {oldest} to below {beyond}, and {version} is installed; "
            f"install one of those, or put forebay in front of the server: forebay front --upstream URL",
        )
