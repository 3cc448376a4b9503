"""Two real vLLM servers, a core each, behind real LiteLLM proxies that choose between them: for replicas.py."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
from _overhead_proxies import FOREBAY, Plan, Served

from forebay.adapters.demo.children import free_port
from forebay.adapters.vllm.scrape import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from forebay.adapters.vllm.scrape import ServerReading

MODEL: Final = "replicas"
POLICIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "simple-shuffle": ("simple-shuffle", ()),
    "least-busy": ("least-busy", ()),
    "forebay": ("simple-shuffle", (FOREBAY,)),
}
"""LiteLLM's strategy, and callbacks."""
START_S: Final = 300.0
WORDS: Final = (
    "river stone garden window letter market winter silver bridge candle forest harbour ladder mirror needle orange "
    "pencil rabbit saddle table umbrella valley wagon yellow anchor basket castle dragon engine feather guitar hammer"
).split()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it is sent after the block's beginning, and what it says."""

    at_s: float
    system: str
    question: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Options:
    """What comes, and to which servers.

    Attributes:
        model: a folder that vLLM loads.
        load: over what both servers do with prompts of which they know nothing.
        shared, own: words of a system prompt, and of the question behind it.
        kv_blocks: of each server, of `block` tokens; on CPUs a multiple of 32.
    """

    model: Path
    load: float = 0.8
    requests: int = 48
    groups: int = 8
    shared: int = 380
    own: int = 40
    kv_blocks: int = 128
    block: int = 32
    reps: int = 5


class Server:
    """A vLLM server on one core; it runs while its ``with`` block is open."""

    def __init__(self, core: int, options: Options, log: Path) -> None:
        self._core, self._options, self._log = core, options, log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        options = self._options
        words = [sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry"]
        words += ["--model", str(options.model), "--served-model-name", "tiny", "--host", "127.0.0.1"]
        words += ["--port", self.url.rpartition(":")[2], "--dtype", "bfloat16", "--enforce-eager"]
        words += ["--max-model-len", "2048", "--max-num-seqs", "4", "--block-size", str(options.block)]
        words += ["--num-gpu-blocks-override", str(options.kv_blocks)]
        env = {**os.environ, "VLLM_CPU_OMP_THREADS_BIND": str(self._core), "VLLM_CPU_KVCACHE_SPACE": "1"}
        env |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(words, env=env, stdout=log, stderr=log, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)

    def wait(self) -> None:
        """Wait until it serves."""
        ends = time.monotonic() + START_S
        while time.monotonic() < ends:
            if self._process is None or self._process.poll() is not None:
                break
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health", timeout=2, trust_env=False).is_success:
                    return
            time.sleep(0.5)
        raise SystemExit(f"a server did not start:\n{self._log.read_text(errors='replace')[-12000:]}")

    def read(self) -> ServerReading:
        """Return what it says of itself."""
        found = parse(httpx.get(f"{self.url}/metrics", timeout=10, trust_env=False).text, time.monotonic())
        if found is None:
            raise SystemExit(f"{self.url} says nothing that vLLM says")
        return found


def measure(options: Options, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row a policy and repetition, interleaved; the first of each is thrown away."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(core, options, folder / f"vllm-{core}.log")) for core in (0, 1)]
        for server in servers:
            server.wait()
        params = {"model": "hosted_vllm/tiny", "api_key": "none"}
        models = [
            {"model_name": MODEL, "litellm_params": {**params, "api_base": f"{server.url}/v1"}} for server in servers
        ]
        proxies: dict[str, Served] = {}
        for name, (strategy, callbacks) in POLICIES.items():
            settings = {"cache": {"semantic": "off"}, "store": {"type": "memory"}}
            plan = Plan(
                f"{servers[0].url}/v1",
                settings,
                callbacks=callbacks,
                models=models,
                router={"routing_strategy": strategy},
            )
            proxies[name] = stack.enter_context(Served(folder / name, plan))
        alone_s = statistics.median(_alone(proxies["simple-shuffle"], options, at) for at in range(6))
        rate = options.load * len(servers) / alone_s
        for rep in range(-1, options.reps):
            names = list(POLICIES)
            names = names[rep % len(names) :] + names[: rep % len(names)]
            for name in names:
                _known(proxies[name], name)
                row = asyncio.run(_block(proxies[name], servers, asked(options, rate, rep, name)))
                about = {"policy": name, "rep": rep, "rate": round(rate, 3), "alone_s": round(alone_s, 4)}
                if rep >= 0:
                    yield {**about, **row}


def asked(options: Options, rate: float, rep: int, name: str) -> list[Asked]:
    """Return a block of requests: the same lengths and times for each policy, but words that nobody has read before."""
    times, words = random.Random(f"times {rep}"), random.Random(f"words {rep} {name}")

    def text(count: int) -> str:
        return " ".join(words.choice(WORDS) for _ in range(count))

    systems = [f"Rules {at} of {name} {rep}: {text(options.shared)}." for at in range(options.groups)]
    made: list[Asked] = []
    at_s = 0.0
    for number in range(options.requests):
        at_s += times.expovariate(rate)
        group = times.randrange(options.groups)
        made.append(Asked(at_s, systems[group], f"{number}: {text(options.own)}?", times.randint(4, 8)))
    return made


def _alone(proxy: Served, options: Options, number: int) -> float:
    """Return the seconds that a request takes of which no server knows anything, with nobody else there."""
    words = random.Random(f"alone {number}")
    text = " ".join(words.choice(WORDS) for _ in range(options.shared + options.own))
    began = time.monotonic()
    httpx.post(
        f"{proxy.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {proxy.key}"},
        json=_body(Asked(0.0, f"{number} {text}", "?", 6), stream=False),
        timeout=120,
        trust_env=False,
    ).raise_for_status()
    return time.monotonic() - began


def _known(proxy: Served, name: str) -> None:
    """Ask something short until forebay has read the servers of late; as often of the others."""
    headers = {"authorization": f"Bearer {proxy.key}"}
    with httpx.Client(base_url=proxy.url, headers=headers, timeout=120, trust_env=False) as client:
        for number in range(100):
            body = _body(Asked(0.0, "Be brief.", f"Hello {time.monotonic()}?", 1), stream=False)
            client.post("/v1/chat/completions", json=body).raise_for_status()
            if name != "forebay" and number >= 3:
                return
            if name == "forebay" and number >= 3:
                rows = client.get("/forebay/status").json()["replicas"]
                if len(rows) > 1 and all(row["fresh"] for row in rows):
                    return
    raise SystemExit(f"forebay did not read the servers:\n{proxy.log[-3000:]}")


def _body(one: Asked, *, stream: bool) -> dict[str, Any]:
    messages = [{"role": "system", "content": one.system}, {"role": "user", "content": one.question}]
    limits = {"max_tokens": one.tokens, "min_tokens": one.tokens, "temperature": 0.0}
    return {"model": MODEL, "messages": messages, "stream": stream, **limits}


async def _block(proxy: Served, servers: Sequence[Server], requests: Sequence[Asked]) -> dict[str, Any]:
    before = [server.read() for server in servers]
    headers = {"authorization": f"Bearer {proxy.key}"}
    async with httpx.AsyncClient(base_url=proxy.url, headers=headers, timeout=300, trust_env=False) as client:
        began = time.monotonic()
        took = await asyncio.gather(*(_one(client, began, one) for one in requests))
    after = [server.read() for server in servers]
    looked = [b.engine.prefix_queries - a.engine.prefix_queries for a, b in zip(before, after, strict=True)]
    found = sum(b.engine.prefix_hits - a.engine.prefix_hits for a, b in zip(before, after, strict=True))
    first = [ttft for ttft, _ in took]
    return {
        "n": len(requests),
        "prefix_hit": round(found / max(1, sum(looked)), 4),
        "most_over_mean": round(max(looked) * len(servers) / max(1, sum(looked)), 3),
        "mean_ttft_s": round(statistics.fmean(first), 4),
        "p50_ttft_s": round(statistics.median(first), 4),
        "p99_ttft_s": round(statistics.quantiles(first, n=100, method="inclusive")[98], 4),
        "mean_e2e_s": round(statistics.fmean(whole for _, whole in took), 4),
    }


async def _one(client: httpx.AsyncClient, began: float, one: Asked) -> tuple[float, float]:
    """Return the seconds to the first word and to the end."""
    await asyncio.sleep(max(0.0, began + one.at_s - time.monotonic()))
    sent = time.monotonic()
    first = None
    async with client.stream("POST", "/v1/chat/completions", json=_body(one, stream=True)) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if first is None and _has_words(line):
                first = time.monotonic()
    ended = time.monotonic()
    return (first or ended) - sent, ended - sent


def _has_words(line: str) -> bool:
    if not line.startswith("data: {"):
        return False
    chunk: Mapping[str, Any] = json.loads(line.removeprefix("data: "))
    return any(choice["delta"].get("content") for choice in chunk.get("choices", ()))
