"""Profiles of engines: what one iteration costs, and what limits the engine. Built in, or JSON files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import AdapterError, did_you_mean
from ...middleware.narrow import is_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...middleware.records import JsonObject


class ProfileError(AdapterError):
    """A profile or a log to make one of cannot be used; says why."""


@dataclass(frozen=True, slots=True)
class Stayed:
    """What became of one request in an engine's log; seconds on one clock.

    Attributes:
        first_s: None where only the whole answer was seen.
    """

    entered_s: float
    first_s: float | None
    ended_s: float
    prompt: int
    output: int


@dataclass(frozen=True, slots=True)
class Profile:
    """An engine.

    An iteration takes ``step_s`` + ``prefill_s`` x prompt tokens + ``decode_s`` x decoding sequences + ``kv_s`` x tokens in
    their KV cache. Good for dense models on one replica; mixtures of experts have steps that this cannot show.

    Attributes:
        max_num_seqs: sequences inside at a time; kv_tokens: tokens that the KV cache holds, None where that does not bind;
            max_num_batched_tokens, block_size: as vLLM names them.
        prefix_cache: prompts that begin alike are computed once.
        scheduled_ahead: the scheduler composes an iteration while the one before runs (vLLM's asynchronous scheduling).
    """

    name: str
    step_s: float
    prefill_s: float
    decode_s: float
    kv_s: float
    max_num_seqs: int
    kv_tokens: int | None = None
    max_num_batched_tokens: int = 2048
    block_size: int = 16
    prefix_cache: bool = True
    scheduled_ahead: bool = True


SHAPE: Final = tuple(
    field.name for field in fields(Profile) if field.name not in ("name", "step_s", "prefill_s", "decode_s", "kv_s")
)
_LAW: Final = ("step_s", "prefill_s", "decode_s", "kv_s")
_FLAGS: Final = ("prefix_cache", "scheduled_ahead")

BUILT_IN: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        # calibrated on the runs of LLMServingSim's repository (MIT): vLLM 0.19.0, Llama-3.1-8B, ShareGPT, 10 requests a second
        Profile("rtxpro6000-llama-3.1-8b", 0.012203, 4.145e-5, 4.535e-5, 7.173e-8, 128, 165_099),
        Profile("rtx4090-llama-3.1-8b", 0.021083, 7.672e-5, 7.340e-5, 2.167e-8, 256, 41_408),
    )
}
DEFAULT: Final = "rtxpro6000-llama-3.1-8b"


def find_profile(name: str) -> Profile:
    """Return a built-in profile, or that of a file.

    Raises:
        ProfileError: there is neither, or the file holds something else.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name)
    if path.suffix != ".json" and not path.is_file():
        raise ProfileError(
            f"there is no profile {name!r}.{did_you_mean(name, list(BUILT_IN))} It is one of {', '.join(BUILT_IN)}, or a "
            "JSON file that --calibrate wrote"
        )
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ProfileError(f"{path} cannot be read ({error.__class__.__name__})") from error
    return parse_profile(content, path)


def parse_profile(content: Any, path: Path) -> Profile:
    """Return the profile that a file's content is: the fields of `Profile`, in one object.

    Raises:
        ProfileError: it is something else.
    """
    if not is_object(content):
        raise ProfileError(f"{path}: not a JSON object")
    known = [field.name for field in fields(Profile)]
    values = {name: value for name, value in content.items() if name != "calibrated_on"}
    for name in values:
        if name not in known:
            raise ProfileError(f"{path}: unknown key {name!r}.{did_you_mean(name, known)}")
    values.setdefault("name", path.stem)
    for name in (*_LAW, "max_num_seqs"):
        if name not in values:
            raise ProfileError(f"{path}: {name!r} is missing")
    for name, value in values.items():
        if not _fits(name, value):
            raise ProfileError(f"{path}: {name!r} cannot be {value!r}")
    return checked(Profile(**values), str(path))


def _fits(name: str, value: Any) -> bool:
    if name == "name":
        return isinstance(value, str)
    if name in _FLAGS:
        return isinstance(value, bool)
    if name in _LAW:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    return (name == "kv_tokens" and value is None) or (
        isinstance(value, int) and not isinstance(value, bool) and value >= 1
    )


def checked(profile: Profile, where: str) -> Profile:
    """Return a profile that an engine can have.

    Raises:
        ProfileError: its numbers do not go together.
    """
    if profile.max_num_batched_tokens < profile.max_num_seqs:
        raise ProfileError(f"{where}: max_num_batched_tokens must be at least max_num_seqs")
    if profile.kv_tokens is not None and profile.kv_tokens < profile.block_size:
        raise ProfileError(f"{where}: kv_tokens must be at least one block")
    if not any((profile.step_s, profile.prefill_s, profile.decode_s, profile.kv_s)):
        raise ProfileError(f"{where}: an iteration must take some time")
    return profile


def dump_profile(profile: Profile, log: str) -> JsonObject:
    """Return a profile as JSON that `find_profile` reads, with the name of the log it was made of."""
    return {**asdict(profile), "calibrated_on": log}


def with_shape(profile: Profile, words: str) -> Profile:
    """Return a profile with other limits, given as ``max_num_seqs=256,kv_tokens=41392``.

    Raises:
        ProfileError: an unknown key, or a value that cannot be.
    """
    values: dict[str, Any] = {}
    for word in filter(None, words.split(",")):
        name, _, value = word.partition("=")
        if name not in SHAPE:
            raise ProfileError(f"--shape: unknown key {name!r}.{did_you_mean(name, list(SHAPE))}")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
        if not _fits(name, values[name]):
            raise ProfileError(f"--shape: {name!r} cannot be {value!r}")
    return checked(replace(profile, **values), "--shape")
