"""What forebay's ASGI middleware costs in a server's own process: CPU a request and latency, against the app alone.

The app is a fake one that answers at once, asked over ASGI itself: no sockets, no HTTP parser, so that what is left is the
middleware. All cases take turns in short blocks; ratios are medians over rounds, each against the app alone in the same round.
CPU is that of the whole process, with all of its threads, until nothing of a block is left to be done. Every answer is
checked to be what its case claims.

    make bench NAME=asgi_overhead ARGS='--json overhead.json'
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

from _overhead_questions import Prompts
from rich.console import Console
from rich.table import Table

from forebay import __version__
from forebay.adapters.asgi import ForebayMiddleware
from forebay.middleware.config import parse_config

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

TOKENS: Final = (24, 128, 512)
PATH: Final = "/v1/chat/completions"
WORDS: Final = [f"word{at} " for at in range(50)]
HEAD: Final[dict[str, Any]] = {"id": "x", "created": 1, "model": "tiny"}
WHOLE: Final = json.dumps(
    {
        **HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70},
    }
).encode()


def event(choice: Mapping[str, Any]) -> bytes:
    """Return one chunk as it is sent."""
    chunk = {**HEAD, "object": "chat.completion.chunk", "choices": [{"index": 0, "finish_reason": None, **choice}]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


EVENTS: Final = [
    *(event({"delta": {"content": word}}) for word in WORDS),
    event({"delta": {}, "finish_reason": "stop"}),
    b"data: [DONE]\n\n",
]


class App:
    """The server: it reads the body and answers at once, a stream in 52 pieces."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = json.loads((await receive())["body"] or b"{}")
        self.calls += scope["method"] == "POST"
        stream = body.get("stream") is True
        kind = b"text/event-stream" if stream else b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        for piece in EVENTS if stream else ():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if stream else WHOLE})


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the report.

    Attributes:
        front: which app is asked.
        kind: other (a path that is not forebay's), miss (a new question each time) or exact (a known one).
        against: the case that the ratio is to, "" for none.
    """

    name: str
    front: str
    kind: str
    stream: bool = False
    against: str = ""


CASES: Final = (
    Case("app alone", "alone", "miss"),
    Case("app alone, stream", "alone", "miss", stream=True),
    Case("another path", "memory", "other", against="app alone"),
    Case("bypass", "memory", "bypass", against="app alone"),
    Case("miss, memory store", "memory", "miss", against="app alone"),
    Case("miss, stream, memory store", "memory", "miss", stream=True, against="app alone, stream"),
    Case("exact hit, memory store", "memory", "exact", against="app alone"),
    Case("exact hit, stream, memory store", "memory", "exact", stream=True, against="app alone, stream"),
    Case("miss, Milvus Lite", "milvus", "miss", against="app alone"),
    Case("exact hit, Milvus Lite", "milvus", "exact", against="app alone"),
)


@dataclass(slots=True)
class Bench:
    """A run: (case, tokens) → CPU milliseconds a request round by round, latencies in seconds, and what was wrong."""

    app: App
    fronts: Mapping[str, Any]
    blocks: dict[tuple[str, int], list[float]] = field(default_factory=dict[tuple[str, int], list[float]])
    seconds: dict[tuple[str, int], list[float]] = field(default_factory=dict[tuple[str, int], list[float]])
    wrong: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict[tuple[str, int], dict[str, int]])

    async def block(self, case: Case, prompts: Prompts, at: tuple[str, int], requests: int) -> None:
        """Run one block and check it."""
        front = self.fronts[case.front]
        bodies = [
            asked(prompt, stream=case.stream)
            for prompt in prompts.of("exact" if case.kind == "exact" else "miss", requests)
        ]
        calls, seconds, shown = self.app.calls, self.seconds.setdefault(at, []), list[str]()
        before = time.process_time()
        for body in bodies:
            began = time.perf_counter()
            shown.append(await ask(front, body, case.kind))
            seconds.append(time.perf_counter() - began)
        await settled(front)
        self.blocks.setdefault(at, []).append((time.process_time() - before) * 1000 / requests)
        due = "" if case.front == "alone" or case.kind == "other" else case.kind
        for one in shown:
            if one != due:
                self._note(at, f"{one or 'passed through'} in place of {due}")
        if self.app.calls - calls != (0 if case.kind == "exact" else requests):
            self._note(at, "another number of calls")

    def _note(self, at: tuple[str, int], what: str) -> None:
        found = self.wrong.setdefault(at, {})
        found[what] = found.get(what, 0) + 1


def asked(prompt: str, *, stream: bool) -> bytes:
    """Return a request's body."""
    return json.dumps(
        {"model": "tiny", "messages": [{"role": "user", "content": prompt}], **({"stream": True} if stream else {})}
    ).encode()


async def ask(app: Any, body: bytes, kind: str = "") -> str:
    """Send one request and return its ``x-forebay-cache``, "" where it has none."""
    headers = [
        (b"host", b"bench"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"authorization", b"Bearer sk-1234567890abcdef"),
        (b"user-agent", b"openai-python"),
    ]
    if kind == "bypass":
        headers.append((b"x-forebay-bypass", b"1"))
    path = "/other" if kind == "other" else PATH
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    unread = [{"type": "http.request", "body": body, "more_body": False}]
    over = asyncio.Event()
    found = ""

    async def receive() -> Any:
        if unread:
            return unread.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal found
        if message["type"] == "http.response.start":
            given = dict(message["headers"])
            found = given.get(b"x-forebay-cache", b"").decode()
        elif not message.get("more_body", False):
            over.set()

    await app(scope, receive, send)
    assert over.is_set()
    return found


async def settled(front: Any) -> None:
    """Wait for what goes on behind the answers."""
    runtime = getattr(front, "runtime", None)
    if runtime is not None:
        await runtime.pipeline.drain(60.0)


@asynccontextmanager
async def fronted(app: App, folder: Path, store: str) -> AsyncGenerator[ForebayMiddleware]:
    """Run a front."""
    settings = {"state_dir": str(folder), "store": {"type": store}, "cache": {"semantic": "off"}}
    front = ForebayMiddleware(app, parse_config(settings, environ={}))
    started, ending = asyncio.Event(), asyncio.Event()
    unread = ["lifespan.startup"]

    async def receive() -> Any:
        if unread:
            return {"type": unread.pop()}
        await ending.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        if message["type"] == "lifespan.startup.failed":
            raise SystemExit(message["message"])
        started.set()

    task = asyncio.create_task(front({"type": "lifespan"}, receive, send))
    await started.wait()
    try:
        yield front
    finally:
        ending.set()
        await task


async def run(args: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Run the rounds; return the rows, and whether each answer was what its case claims."""
    app = App()
    lengths = {tokens: Prompts(tokens) for tokens in args.tokens}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forebay-bench-")))
        fronts: dict[str, Any] = {"alone": app}
        for store in ("memory", "milvus"):
            fronts[store] = await stack.enter_async_context(fronted(app, folder / store, store))
        for front in fronts.values():
            for prompts in lengths.values():
                for prompt in [*prompts.known, *prompts.known]:
                    for stream in (False, True):  # in this order: a stream here tells no usage, a whole answer does
                        await ask(front, asked(prompt, stream=stream))
                        await settled(front)
        bench = Bench(app, fronts)
        for number in range(args.rounds):
            for tokens, prompts in lengths.items():
                # a rotating start, so that no case always follows the same neighbour
                for case in CASES[number % len(CASES) :] + CASES[: number % len(CASES)]:
                    await bench.block(case, prompts, (case.name, tokens), args.requests)
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
    return [row(bench, case, tokens) for tokens in lengths for case in CASES], not bench.wrong


def row(bench: Bench, case: Case, tokens: int) -> dict[str, Any]:
    """Return one line of the report."""
    at = (case.name, tokens)
    mine, other = bench.blocks[at], bench.blocks.get((case.against, tokens))
    cuts = quantiles(bench.seconds[at], n=100, method="inclusive")
    pairs = list(zip(mine, other, strict=True)) if other else []
    return {
        "case": case.name,
        "prompt_tokens": tokens,
        "concurrency": 1,
        "n": len(bench.seconds[at]),
        "p50_ms": round(cuts[49] * 1000, 3),
        "p99_ms": round(cuts[98] * 1000, 3),
        "cpu_ms_per_request": round(median(mine), 3),
        "ratio_to": case.against or None,
        "ratio": round(median(a / b for a, b in pairs), 2) if pairs else None,
        "more_ms": round(median(a - b for a, b in pairs), 3) if pairs else None,
        "wrong": "; ".join(f"{times} times {what}" for what, times in sorted(bench.wrong.get(at, {}).items())) or None,
    }


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table."""
    table = Table(title="the ASGI middleware, on an app that answers at once")
    names = ("prompt_tokens", "case", "n", "p50_ms", "p99_ms", "cpu_ms_per_request", "more_ms", "wrong")
    for name in names:
        table.add_column(name, justify="left" if name in ("case", "wrong") else "right")
    for line in rows:
        table.add_row(*("" if line.get(name) is None else str(line[name]) for name in names))
    Console().print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=50, help="of a block")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="prompt lengths")
    parser.add_argument("--quick", action="store_true", help="one small round: does it run?")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.requests = 1, 8
    rows, right = asyncio.run(run(args))
    show(rows)
    if args.json:
        report = {
            "command": "benchmarks/asgi_overhead.py",
            "version": __version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "rows": rows,
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if not right:
        raise SystemExit("some answers were not what their case claims; see the column 'wrong'")


if __name__ == "__main__":
    main()
