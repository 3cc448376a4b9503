"""Logs of real engines that a profile can be fitted to."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.narrow import is_array, is_object
from .scheduling_profile import Profile, ProfileError, Stayed, with_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LEAST: Final = 40
"""Fewer requests than this do not tell what an engine costs."""
_DETAILED: Final = ("input_lens", "output_lens", "ttfts", "itls", "start_times")
_TIMES: Final = ("queued_ts", "first_token_ts", "last_token_ts")


@dataclass(frozen=True, slots=True)
class Log:
    """What a log says.

    Attributes:
        stays: in the order of arrival, from 0 on.
        engine: what is known of the engine; its costs are 0.
        guessed: what the log does not say and was taken from the times.
    """

    stays: Sequence[Stayed]
    engine: Profile
    guessed: Sequence[str]


def read_log(path: Path, shape: str = "") -> Log:
    """Read a log of an engine's requests.

    Two are known. The result of ``vllm bench serve --save-result --save-detailed``. And JSON lines with ``queued_ts``,
    ``first_token_ts``, ``last_token_ts`` (seconds on one clock), ``input_toks`` and ``output_toks``, as LLMServingSim's bench
    writes them; beside ``…requests.jsonl`` its ``…meta.json`` is read, which says what limits the engine.

    Args:
        shape: what the log does not say of the engine, as `with_shape` reads it.

    Raises:
        ProfileError: it is neither, cannot be read, or holds fewer than `LEAST` requests.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read ({error.__class__.__name__})") from error
    try:
        whole: Any = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    detailed = is_object(whole) and "ttfts" in whole
    stays = _detailed(path, whole) if detailed else _lines(path, text)
    if len(stays) < LEAST:
        raise ProfileError(f"{path} holds {len(stays)} requests that ended; a profile needs at least {LEAST}")
    stays.sort(key=lambda stay: stay.entered_s)
    start_s = stays[0].entered_s
    stays = [
        Stayed(
            stay.entered_s - start_s,
            None if stay.first_s is None else stay.first_s - start_s,
            stay.ended_s - start_s,
            stay.prompt,
            stay.output,
        )
        for stay in stays
    ]
    known = {} if detailed else _meta(path)
    guessed: list[str] = []
    if "max_num_seqs" not in known and "max_num_seqs" not in shape:
        known["max_num_seqs"] = _most_at_once(stays)
        guessed.append(f"max_num_seqs={known['max_num_seqs']} (the most that decoded at once)")
    if "kv_tokens" not in known and "kv_tokens" not in shape:
        guessed.append("kv_tokens=null (a KV cache that never fills)")
    name = path.name.removesuffix("requests.jsonl").rstrip("_-.") or path.stem
    named = {key: json.dumps(value) for key, value in known.items()}
    plain = Profile(name.removesuffix(".json"), 0.0, 0.0, 0.0, 0.0, 1)
    words = [f"{key}={value}" for key, value in named.items()] + ([shape] if shape else [])
    return Log(stays, with_shape(_unchecked(plain), ",".join(words)), guessed)


def _unchecked(profile: Profile) -> Profile:
    # what an iteration costs is not known yet
    return Profile(profile.name, math.inf, 0.0, 0.0, 0.0, profile.max_num_seqs)


def _detailed(path: Path, whole: Mapping[str, Any]) -> list[Stayed]:
    """Read vLLM's own result; a request that failed has an error, or no tokens."""
    columns = [whole.get(name) for name in _DETAILED]
    if not all(is_array(column) for column in columns):
        raise ProfileError(
            f"{path}: {', '.join(name for name, column in zip(_DETAILED, columns, strict=True) if not is_array(column))} "
            "missing; run vllm bench serve with --save-result --save-detailed (start_times came with vLLM 0.12)"
        )
    prompts, outputs, ttfts, itls, starts = (column or () for column in columns)
    errors = whole.get("errors") or [""] * len(prompts)
    stays: list[Stayed] = []
    try:
        for prompt, output, ttft, gaps, start, error in zip(prompts, outputs, ttfts, itls, starts, errors, strict=True):
            if error or output < 1 or ttft <= 0:
                continue
            first_s = float(start) + float(ttft)
            stays.append(Stayed(float(start), first_s, first_s + math.fsum(gaps), int(prompt), int(output)))
    except (TypeError, ValueError):
        raise ProfileError(f"{path}: its columns are not numbers, or not as many each") from None
    return stays


def _lines(path: Path, text: str) -> list[Stayed]:
    stays: list[Stayed] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            entered_s, first_s, ended_s = (float(row[name]) for name in _TIMES)
            stay = Stayed(entered_s, first_s, ended_s, int(row["input_toks"]), int(row["output_toks"]))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise ProfileError(
                f"{path}, line {number}: it needs {', '.join(_TIMES)}, input_toks and output_toks; or give the result of vllm bench "
                "serve --save-result --save-detailed"
            ) from None
        if not (entered_s <= first_s <= ended_s and entered_s < ended_s and stay.prompt >= 1 and stay.output >= 1):
            raise ProfileError(f"{path}, line {number}: its times do not follow each other, or it has no tokens")
        stays.append(stay)
    return stays


def _meta(path: Path) -> dict[str, Any]:
    """Return what LLMServingSim's bench says of the engine; of vLLM's blocks one is always empty."""
    beside = path.with_name(path.name.replace("requests.jsonl", "meta.json"))
    if beside.name == path.name or not beside.is_file():
        return {}
    try:
        meta: Any = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ProfileError(f"{beside} cannot be read ({error.__class__.__name__})") from error
    given, cache, resolved = (_object(meta, name) for name in ("engine_kwargs", "kv_cache", "resolved_config"))
    scheduler = _object(resolved, "scheduler_config")
    block = cache.get("block_size", 16)
    found = {
        "max_num_seqs": given.get("max_num_seqs"),
        "max_num_batched_tokens": given.get("max_num_batched_tokens"),
        "block_size": cache.get("block_size"),
        "kv_tokens": (cache["num_gpu_blocks"] - 1) * block if isinstance(cache.get("num_gpu_blocks"), int) else None,
        "prefix_cache": cache.get("enable_prefix_caching"),
        "scheduled_ahead": scheduler.get("async_scheduling"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _object(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if is_object(value) else None
    return found if is_object(found) else {}


def _most_at_once(stays: Sequence[Stayed]) -> int:
    """Return how many decoded at the same time, at most."""
    events = [(stay.entered_s if stay.first_s is None else stay.first_s, 1) for stay in stays]
    events += [(stay.ended_s, -1) for stay in stays]
    most = now = 0
    for _, change in sorted(events):
        now += change
        most = max(most, now)
    return max(1, most)
