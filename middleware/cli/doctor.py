"""``forebay doctor``: what is right, what is not, and what to do about it."""

from __future__ import annotations

import asyncio
import math
import platform
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, runtime_checkable

import typer
from rich.text import Text

from .. import registry as kinds
from ..errors import ForebayError
from ..events import Health
from ..modes import KILL_FILE
from ..protocols import Component
from ..registry import Build
from ..releases import COMPROMISED_LITELLM
from ..version import __version__
from .components import chosen, installed, missing_packages
from .session import console, say_json, session_of, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ..runtime import Runtime
    from .session import Session

PACKAGES: Final = (
    "litellm",
    "pymilvus",
    "milvus-lite",
    "onnxruntime",
    "tokenizers",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
)
START_LIMIT_S: Final = 60.0


@runtime_checkable
class _Checked(Protocol):
    async def check_ready(self) -> Sequence[Health]: ...


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    engine_url: Annotated[
        str | None, typer.Option("--engine-url", help="Ask this OpenAI-compatible engine, too: http://HOST:8000/v1")
    ] = None,
) -> None:
    """Look at everything forebay needs here, and say what to do where something is wrong."""
    session = session_of(context)
    findings = asyncio.run(_all(session, engine_url))
    failed = [each for each in findings if not each.ok and each.required]
    warned = [each for each in findings if not each.ok and not each.required]
    if as_json:
        say_json({"ok": not failed, "findings": [{"level": level(each), **asdict(each)} for each in findings]})
    else:
        rows = table("", "what", "found")
        styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
        for each in findings:
            rows.add_row(Text(level(each), style=styles[level(each)]), each.name, _found(each))
        out = console()
        out.print(rows)
        summary = f"{len(findings) - len(failed) - len(warned)} ok, {len(warned)} to look at, {len(failed)} failed"
        out.print(Text(f"\n{summary}", style=styles["fail" if failed else "warn" if warned else "ok"]))
    if failed:
        raise typer.Exit(1)


def level(finding: Health) -> str:
    """Return ok, warn or fail."""
    return "ok" if finding.ok else "fail" if finding.required else "warn"


async def _all(session: Session, engine_url: str | None) -> list[Health]:
    return [finding async for finding in _examine(session, engine_url)]


async def _examine(session: Session, engine_url: str | None) -> AsyncIterator[Health]:
    from ..runtime import Runtime, prepare_state_dir  # here, because --help must not wait for them

    yield Health("python", ok=True, detail=f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Health("forebay", ok=True, detail=__version__)
    for finding in _packages():
        yield finding
    if engine_url is not None:
        yield await _engine(engine_url)
    try:
        config = session.config
        yield Health("config", ok=True, detail=session.source)
        names = [plugin.name for plugin in session.plugins.loaded]
        yield Health("plugins", ok=True, detail=", ".join(names))
        incomplete = False
        for each in chosen(config, session.plugins.registry, source=session.path or ""):
            missing = missing_packages(each.item.extra) if each.item.extra else []
            if missing:
                incomplete = True
                yield Health(
                    each.place,
                    ok=False,
                    detail=f"{each.item.name} needs {', '.join(missing)}",
                    fix=f"pip install 'forebay[{each.item.extra}]'",
                )
        state_dir = prepare_state_dir(config.state_dir)
        yield Health("state folder", ok=True, detail=f"{state_dir}, writable")
        if (state_dir / KILL_FILE).exists():
            yield Health(
                "kill switch", ok=False, detail="on: every request passes through", fix="forebay on", required=False
            )
        if incomplete:
            return
        runtime = Runtime(config, session.plugins, serves=False)
    except ForebayError as error:
        yield Health("config", ok=False, detail=str(error), fix="correct it, then run this again")
        return
    for finding in await _running(runtime):
        yield finding


def _packages() -> list[Health]:
    found = {name: installed(name) for name in PACKAGES}
    present = ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)
    findings = [Health("packages", ok=True, detail=present or "none of the optional ones")]
    if found["litellm"] in COMPROMISED_LITELLM:
        findings.append(
            Health(
                "litellm",
                ok=False,
                detail=f"{found['litellm']} is a compromised release: it carried malicious code",
                fix="take this machine off the network, rotate every key it could read, then install another release",
            )
        )
    return findings


async def _running(runtime: Runtime) -> list[Health]:
    """Start the runtime as a host would, ask everything how it is, and stop it."""
    findings: list[Health] = []
    try:
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await runtime.start()
        except Exception as error:  # whatever a plugin raises, the rest is still worth knowing
            findings.append(Health("start", ok=False, detail=_said(error), fix="the findings below may say why"))
        findings.extend(await runtime.check_ready(thorough=True))
        if not isinstance(runtime.keeper.store, Component):
            findings.append(Health("store", ok=True, detail=f"{runtime.config.store.type}, inside each process"))
        findings.extend(await _embedding(runtime))
        findings.extend(await _exporter(runtime))
    finally:
        await runtime.stop()
    return findings


async def _embedding(runtime: Runtime) -> list[Health]:
    embedder = runtime.embedder
    if embedder is None:
        return [Health("embedding", ok=True, detail="not needed: cache.semantic is off")]
    began = perf_counter()
    try:
        async with asyncio.timeout(START_LIMIT_S):
            vector = (await embedder.embed(["How long does an embedding take here?"]))[0]
    except Exception as error:
        return [Health("embedding", ok=False, detail=_said(error), fix="semantic lookups miss until it works")]
    took_ms = (perf_counter() - began) * 1000
    norm = math.sqrt(sum(float(x) ** 2 for x in vector))
    ok = len(vector) == embedder.dimension and math.isclose(norm, 1.0, abs_tol=1e-3)
    detail = f"{embedder.model_id}: {len(vector)} floats, norm {norm:.3f}, {took_ms:.0f} ms for a sentence"
    return [Health("embedding", ok=ok, detail=detail, fix="" if ok else "the embedder's vectors are not unit vectors")]


async def _exporter(runtime: Runtime) -> list[Health]:
    spec = runtime.config.telemetry.exporter
    if spec is None:
        return [Health("telemetry", ok=True, detail="no exporter: spans go to the host's tracer provider, if any")]
    build = Build(runtime.state_dir, runtime.keyring, runtime.telemetry)
    exporter = runtime.plugins.registry.build(
        kinds.EXPORTER, spec.type, spec.settings, build, path="telemetry.exporter"
    )
    try:
        if isinstance(exporter, _Checked):
            return list(await exporter.check_ready())
        return [Health("telemetry", ok=True, detail=f"exporter {spec.type}")]
    finally:
        await asyncio.to_thread(exporter.shutdown, 1.0)


async def _engine(url: str) -> Health:
    import httpx  # here, because --help must not wait for it

    base = url.rstrip("/")
    models = f"{base}/models" if base.endswith("/v1") else f"{base}/v1/models"
    fix = "is it running, and is this its OpenAI base URL?"
    try:
        async with httpx.AsyncClient(timeout=5.0) as client:
            reply = await client.get(models)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Health("engine", ok=False, detail=f"{models} does not answer ({type(error).__name__})", fix=fix)
    if reply.status_code in (401, 403):
        return Health("engine", ok=True, detail=f"{models} answers and asks for a key")
    if not reply.is_success:
        return Health("engine", ok=False, detail=f"{models} answered {reply.status_code}", fix=fix)
    try:
        body: Any = reply.json()
        names = [str(model["id"]) for model in body["data"]]
    except (ValueError, KeyError, TypeError):
        return Health("engine", ok=False, detail=f"{models} does not answer like an OpenAI server", fix=fix)
    return Health("engine", ok=True, detail=f"{models}: {', '.join(names[:5]) or 'no model'}")


def _found(finding: Health) -> Text:
    if finding.ok or not finding.fix:
        return Text(finding.detail)
    return Text.assemble(finding.detail, "\n", (f"-> {finding.fix}", "yellow"))


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"did not finish within {START_LIMIT_S:g} s"
    return str(error) if isinstance(error, ForebayError) else f"{type(error).__name__}: {error}"
