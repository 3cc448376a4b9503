"""What `forebay doctor` finds out about LiteLLM, and the built-in command ``forebay serve``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from ..middleware.errors import MissingExtraError, PluginError
from ..middleware.events import Check, Health
from ..middleware.hookspecs import hookimpl
from ..middleware.registry import COMMAND, Build, NoSettings, Registrar
from ..middleware.releases import COMPROMISED_LITELLM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..middleware.protocols import Command

NAME: Final = "LiteLLM"
TESTED: Final = frozenset({"1.106.2"})
PROBE: Final = "forebay.adapters.litellm.selftest"
# what LiteLLM's proxy needs; asked for before anything starts
_NEEDED: Final = ("litellm", "fastapi", "uvicorn")


class _Serve:
    @property
    def help(self) -> str:
        return "Run a LiteLLM proxy with forebay in it, in front of the servers or models you name."

    def run(self, args: Sequence[str]) -> int:
        for module in _NEEDED:
            if find_spec(module) is None:
                raise MissingExtraError("serve", module=module, extra="proxy")
        found = version_finding(version("litellm"))
        if not found.ok:
            raise PluginError("serve", f"LiteLLM {found.detail}; {found.fix}")
        from ..adapters.litellm.serve.command import run

        return run(args)


def _make_serve(settings: NoSettings, build: Build) -> Command:  # noqa: ARG001
    return _Serve()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "serve"."""
    registry.add(COMMAND, "serve", _make_serve, settings=NoSettings, extra="proxy")


@hookimpl
async def check_ready(check: Check) -> list[Health]:
    """Look at the installed LiteLLM; thorough: see that its hooks fire."""
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        return [
            Health(NAME, ok=False, detail="not installed", fix="pip install 'forebay[litellm]'", required=False),
        ]
    found = [version_finding(installed)]
    if check.thorough and found[0].ok:
        found.append(await _selftest())
    return found


def version_finding(installed: str) -> Health:
    """Judge a LiteLLM version."""
    if installed in COMPROMISED_LITELLM:
        return Health(
            NAME,
            ok=False,
            detail=f"{installed} is a compromised release",
            fix="uninstall it, rotate every secret this machine could read, then pip install 'forebay[litellm]'",
        )
    tested = "" if installed in TESTED else f" (tested: {', '.join(sorted(TESTED))})"
    return Health(NAME, ok=True, detail=f"{installed}{tested}")


async def _selftest() -> Health:
    name = "LiteLLM hooks"
    fix = "pip install 'litellm[proxy]==1.106.2', the version forebay is tested with"
    # without the operator's own settings: the probe is about the installed packages
    env = {key: value for key, value in os.environ.items() if not key.startswith(("FOREBAY_", "OTEL_"))}
    env["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # the prices are not needed; do not wait for a download
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PROBE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    try:
        problems = json.loads(out.decode().strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        return Health(name, ok=False, detail=f"the self-test could not run: {last[0][:200]}", fix=fix)
    if problems:
        return Health(name, ok=False, detail="; ".join(str(problem) for problem in problems), fix=fix)
    return Health(name, ok=True, detail="they fire, and a repeated request is answered from the cache")
