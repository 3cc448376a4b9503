"""A real engine behind a real LiteLLM proxy, asked at 0.5 to 5 times what it can do: with forebay in front of it, and without.

The engine is llama.cpp with SmolLM2-135M and four slots; the requests come from locust, open loop: a fixed rate, whatever
became of earlier ones. Every tenth asks what is known already. Good is an answer within the objective: the first token within
`--ttft` seconds and each further one within `--tpot`. Answers have 8 to 96 tokens, so that an order has something to order.

    make bench NAME=overload ARGS='--seconds 60 --json overload.json'

What is shown: requests a second that came, good ones a second (without the known), the share of those known that were
served, what refusals cost, and the proxy's memory. Every figure is of this machine and this run: compare within it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
from _latency_report import at_share
from _model_server import engine
from _overhead_proxies import FOREBAY, Plan, Served
from rich.console import Console
from rich.table import Table

from forebay.adapters.lab.report import as_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FACTORS: Final = (0.5, 1.0, 2.0, 3.0, 5.0)
TOKENS: Final = (8, 16, 16, 24, 32, 32, 48, 96)
SLOTS: Final = 4
KNOWN: Final = "What is the capital of France?"
PERIOD_S: Final = 30.0
"""Between two requests of one of locust's users."""


def main() -> None:
    """Run and show."""
    arguments = _arguments()
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(engine())
        url = f"{server}/v1"
        plans = {"alone": Plan(url, callbacks=()), "forebay": Plan(url, _settings(arguments), callbacks=(FOREBAY,))}
        proxies = {name: stack.enter_context(Served(folder / name, plan)) for name, plan in plans.items()}
        for proxy in proxies.values():
            _ask(proxy, KNOWN)
        load = Load(folder, arguments)
        capacity = load.capacity(proxies["alone"])
        console.print(f"closed loop, {SLOTS} at a time: {capacity:.2f} requests a second")
        rows: list[dict[str, Any]] = []
        for factor in arguments.factors:
            for name, proxy in proxies.items():
                rows.append(load.run(name, proxy, factor, capacity))
                console.print(rows[-1])
                _drained(server)
    _show(console, rows)
    if arguments.json is not None:
        write_json(arguments.json, as_json("benchmarks/overload.py", rows))


@dataclass(slots=True)
class Load:
    """Lets locust ask."""

    folder: Path
    arguments: argparse.Namespace

    def capacity(self, proxy: Served) -> float:
        """Return the requests a second that the engine does while all slots are taken."""
        clients = [threading.Thread(target=self._closed, args=(proxy, at)) for at in range(SLOTS)]
        self._ends = time.monotonic() + self.arguments.warm
        self._done = 0
        began = time.monotonic()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return self._done / (time.monotonic() - began)

    _ends: float = 0.0
    _done: int = 0

    def _closed(self, proxy: Served, at: int) -> None:
        number = 0
        while time.monotonic() < self._ends:
            _ask(proxy, f"warm {at} {number}: tell me a story.", TOKENS[(at + number) % len(TOKENS)])
            number += 1
            self._done += 1

    def run(self, name: str, proxy: Served, factor: float, capacity: float) -> dict[str, Any]:
        """Ask for a while at a rate, and return what became of it."""
        rate = factor * capacity
        lines = self.folder / f"{name}-{factor}.jsonl"
        users = max(1, math.ceil(rate * PERIOD_S))
        label = f"{name} {factor}"
        environment = {
            **os.environ,
            "OVERLOAD_LINES": str(lines),
            "OVERLOAD_LABEL": label,
            "OVERLOAD_KEY": proxy.key,
            "OVERLOAD_KNOWN": KNOWN,
            "OVERLOAD_PERIOD_S": str(PERIOD_S),
            "OVERLOAD_TOKENS": json.dumps(TOKENS),
        }
        words = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("_overload_user.py")), "--headless"]
        words += ["--users", str(users), "--spawn-rate", str(rate), "--run-time", f"{self.arguments.seconds}s"]
        words += ["--stop-timeout", "60", "--host", proxy.url, "--only-summary", "--loglevel", "ERROR"]
        memory: list[float] = []
        cpu_s = proxy.cpu_s()
        with subprocess.Popen(
            words, env=environment, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as locust:
            while locust.poll() is None:
                memory.append(_resident_mb(proxy.process.pid))
                time.sleep(1.0)
        asked = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
        used = {"cpu_ms_per_request": round(1000 * (proxy.cpu_s() - cpu_s) / max(1, len(asked)), 2)}
        return self._row(name, proxy, factor, asked, memory) | used

    def _row(
        self, name: str, proxy: Served, factor: float, asked: Sequence[Mapping[str, Any]], memory: Sequence[float]
    ) -> dict[str, Any]:
        arguments = self.arguments
        new = [row for row in asked if not row["known"]]
        known = [row for row in asked if row["known"]]
        good = [row for row in new if _good(row, arguments.ttft, arguments.tpot)]
        refused = [row for row in new if row["status"] in {429, 503}]
        firsts = sorted(row["ttft_s"] for row in new if row["ttft_s"] is not None)
        own = list(_own_ms(proxy, refused)) if name == "forebay" else []
        quarter = max(1, len(memory) // 4)
        return {
            "case": name,
            "factor": factor,
            "n": len(new),
            "rate": round(len(asked) / arguments.seconds, 2),
            "good_per_s": round(len(good) / arguments.seconds, 3),
            "goodput": round(len(good) / max(1, len(new)), 3),
            "refused": len(refused),
            "failed": sum(row["status"] not in {200, 429, 503} for row in new),
            "statuses": dict(Counter(str(row["status"]) for row in asked)),
            "with_retry_after": sum(bool(row["retry_after"]) for row in refused),
            "ttft_p50_s": at_share(firsts, 0.5),
            "ttft_p99_s": at_share(firsts, 0.99),
            "known_served": round(sum(row["status"] == 200 for row in known) / max(1, len(known)), 3),
            "known_p50_ms": at_share(sorted(1000 * row["total_s"] for row in known if row["status"] == 200), 0.5),
            "refusal_p50_ms": at_share(sorted(1000 * row["total_s"] for row in refused), 0.5),
            "refusal_own_p50_ms": at_share(sorted(own), 0.5),
            "refusal_own_p99_ms": at_share(sorted(own), 0.99),
            "memory_first_mb": round(statistics.median(memory[:quarter]), 1),
            "memory_last_mb": round(statistics.median(memory[-quarter:]), 1),
        }


def _good(row: Mapping[str, Any], ttft_s: float, tpot_s: float) -> bool:
    if row["status"] != 200 or row["ttft_s"] is None:
        return False
    each = (row["total_s"] - row["ttft_s"]) / max(1, row["pieces"] - 1)
    return bool(row["ttft_s"] <= ttft_s and each <= tpot_s)


def _own_ms(proxy: Served, refused: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """Yield forebay's own time for each refusal: from its first hook to the refusal, without the wait in the queue."""
    for text in proxy.explanations([row["id"] for row in refused if row["id"]]):
        waited = sum(one.get("waited_s", 0.0) for one in text["decisions"] if one["choice"] == "shed")
        yield 1000 * (text["duration_s"] - waited)


def _ask(proxy: Served, text: str, tokens: int = 16) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0}
    headers = {"authorization": f"Bearer {proxy.key}"}
    # as the users do: a whole answer is not a stream's, and has another key
    with httpx.stream(
        "POST",
        f"{proxy.url}/v1/chat/completions",
        json={**body, "stream": True},
        headers=headers,
        timeout=120,
        trust_env=False,
    ) as response:
        response.raise_for_status()
        for _ in response.iter_lines():
            pass


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _drained(server: str) -> None:
    """Wait until the engine has nothing left to do of the last run."""
    ends = time.monotonic() + 300
    while time.monotonic() < ends:
        text = httpx.get(f"{server}/metrics", timeout=5, trust_env=False).text
        left = [
            line
            for line in text.splitlines()
            if line.startswith(("llamacpp:requests_processing", "llamacpp:requests_deferred"))
        ]
        if left and all(float(line.split()[1]) == 0 for line in left):
            return
        time.sleep(0.5)
    raise SystemExit("the engine still works on what the last rate left; give it fewer --seconds")


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    objective = {"ttft_s": arguments.ttft, "tpot_s": arguments.tpot}
    return {
        "cache": {"semantic": "off"},
        "store": {"type": "memory"},
        "ordering": {"type": "composed"},
        "limit": json.loads(arguments.limit),
        "shedding": json.loads(arguments.shedding),
        "objectives": {"interactive": objective, "standard": objective},
    }


def _show(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(title="A real engine under load (good: within the objective)", box=None, padding=(0, 1, 0, 0))
    shown = {
        "": "case",
        "times": "factor",
        "came/s": "rate",
        "good/s": "good_per_s",
        "goodput": "goodput",
        "refused": "refused",
        "TTFT p50": "ttft_p50_s",
        "p99": "ttft_p99_s",
        "known ms": "known_p50_ms",
        "refusal ms": "refusal_own_p50_ms",
        "p99 ms": "refusal_own_p99_ms",
        "MB": "memory_last_mb",
    }
    for title, name in shown.items():
        table.add_column(title, justify="left" if name == "case" else "right")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in shown.values()))
    console.print(table)
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        peak = max(row["good_per_s"] for row in own)
        last = max(own, key=lambda row: row["factor"])
        share = last["good_per_s"] / peak if peak else 0.0
        console.print(f"{case}: at {last['factor']} times, {share:.0%} of its peak of {peak} good requests a second")


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="of each rate")
    parser.add_argument("--warm", type=float, default=20.0, help="seconds of the closed loop that finds the capacity")
    parser.add_argument("--factors", type=lambda text: [float(one) for one in text.split(",")], default=list(FACTORS))
    parser.add_argument("--ttft", type=float, default=4.0)
    parser.add_argument("--tpot", type=float, default=0.25)
    parser.add_argument("--limit", default=json.dumps({"type": "goodput", "max_inflight": SLOTS}))
    parser.add_argument("--shedding", default=json.dumps({"type": "deadline", "by_objective": True}))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
