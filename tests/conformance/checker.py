"""A public conformance checker, llm-comply, run three times: on LiteLLM alone, and on forebay cold and warm."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.proxy import Proxy
    from tests.integration.upstream import Upstream

SCRIPT: Final = Path(sys.executable).with_name("llm-comply")
FORMATS: Final = {"openai-chat": "gpt-5", "open-responses": "gpt-5", "anthropic": "claude-sonnet-4-5"}
"""Models whose names let no test be left out."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one test says, its numbers left out: those of ids, and of chunks counted."""

    status: str
    complaints: frozenset[str]

    @property
    def text(self) -> str:
        return f"{self.status} ({len(self.complaints)})" if self.complaints else self.status


@dataclass(frozen=True, slots=True)
class Check:
    """All verdicts of one format, by test.

    Attributes:
        engine: on the scripted engine itself.
        calls: how many requests the engine got from LiteLLM in the runs alone, cold and warm.
    """

    format: str
    engine: Mapping[str, Verdict]
    alone: Mapping[str, Verdict]
    cold: Mapping[str, Verdict]
    warm: Mapping[str, Verdict]
    calls: tuple[int, int, int]

    @property
    def worse(self) -> list[str]:
        """What it says with forebay and does not say of LiteLLM alone."""
        runs = (("cold", self.cold), ("warm", self.warm))
        return [f"{self.format} | {line}" for run, verdicts in runs for line in worse(self.alone, verdicts, run)]


def worse(alone: Mapping[str, Verdict], verdicts: Mapping[str, Verdict], run: str) -> list[str]:
    """Return what is said in a run with forebay and not without it."""
    out: list[str] = []
    for name, one in alone.items():
        verdict = verdicts[name]
        new = verdict.complaints - one.complaints
        if new or verdict.status != one.status:
            out.append(f"{name} | {run}: {verdict.status}, not {one.status}; {sorted(new)}")
    return out


async def check(lone: Proxy, fronted: Proxy, engine: Upstream) -> list[Check]:
    """Run the checker on every format."""
    checks: list[Check] = []
    for name, model in FORMATS.items():
        direct = await verdicts_on(engine.url, "none", name, model)
        runs: list[Mapping[str, Verdict]] = []
        calls: list[int] = []
        for proxy in (lone, fronted, fronted):
            before = len(engine.calls)
            runs.append(await verdicts_on(f"{proxy.url}/v1", proxy.key, name, model))
            calls.append(len(engine.calls) - before)
            if proxy is fronted:
                await proxy.settled()
        checks.append(Check(name, direct, runs[0], runs[1], runs[2], (calls[0], calls[1], calls[2])))
    return checks


async def verdicts_on(url: str, key: str, name: str, model: str) -> dict[str, Verdict]:
    """Run the checker once, on one format, and return its verdicts by test."""
    arguments = ("--json", "--format", name, "-u", url, "-k", key, "-m", model)
    process = await asyncio.create_subprocess_exec(
        SCRIPT, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    assert out, errors.decode()
    report: dict[str, Any] = json.loads(out)
    return {
        result["id"]: Verdict(
            result["status"],
            frozenset(re.sub(r"\d+", "#", said) for kind in ("errors", "warnings") for said in result.get(kind, ())),
        )
        for result in report["results"]
    }
