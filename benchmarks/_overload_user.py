"""What locust runs for overload.py: users who each ask once in a while, whatever became of the last time.

So many users come that together they make a rate, as long as no answer takes longer than the period. What each request
met is written as one JSON line.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

from locust import HttpUser, constant_throughput, task

PERIOD_S = float(os.environ["OVERLOAD_PERIOD_S"])
KNOWN = os.environ["OVERLOAD_KNOWN"]
_numbers = itertools.count()
_lines = Path(os.environ["OVERLOAD_LINES"]).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115
_label = os.environ["OVERLOAD_LABEL"]
_key = os.environ["OVERLOAD_KEY"]
_tokens = json.loads(os.environ["OVERLOAD_TOKENS"])


class Asker(HttpUser):
    """Asks something new each time; every tenth time what is known already."""

    wait_time = constant_throughput(1 / PERIOD_S)  # type: ignore[no-untyped-call]

    @task
    def ask(self) -> None:
        number = next(_numbers)
        known = number % 10 == 9
        tokens = 16 if known else _tokens[number % len(_tokens)]
        text = KNOWN if known else f"{_label} {number}: tell me a story about the number {number * 7919 % 10007}."
        body: dict[str, Any] = {
            "model": "tiny",
            "messages": [{"role": "user", "content": text}],
            "stream": True,
            "max_tokens": tokens,
            "temperature": 0,
        }
        began = time.perf_counter()
        first: float | None = None
        pieces = 0
        row: dict[str, Any] = {"known": known, "at": time.time(), "tokens": tokens}
        headers = {"authorization": f"Bearer {_key}"}
        with self.client.post(
            "/v1/chat/completions",
            json=body,
            headers=headers,
            stream=True,
            catch_response=True,
            timeout=120,
            name="ask",
        ) as response:
            row |= {
                "status": response.status_code,
                "cache": response.headers.get("x-forebay-cache", ""),
                "id": response.headers.get("x-forebay-id", ""),
                "retry_after": response.headers.get("retry-after", ""),
            }
            if response.status_code == 200:
                for line in response.iter_lines():
                    if line.startswith(b"data: {") and b'"content"' in line:
                        pieces += 1
                        first = first if first is not None else time.perf_counter() - began
                response.success()
            else:
                response.failure(str(response.status_code))
        row |= {"ttft_s": first, "total_s": time.perf_counter() - began, "pieces": pieces}
        _lines.write(json.dumps(row) + "\n")
