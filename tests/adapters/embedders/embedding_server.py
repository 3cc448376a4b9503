"""A real HTTP server with ``/v1/embeddings``, in a thread; its vectors are hashed words."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from forebay.adapters.embedders.hashing import HashingEmbedder

DIMENSION = 64


@dataclass
class EmbeddingServer:
    """What it was asked, and how it answers.

    Attributes:
        refuses: texts for which it refuses a whole request with status 400.
        status: with which it answers all others, where it is not 200.
        change: what it does to its answer before it sends it.
        hold: set while it may answer.
    """

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    refuses: set[str] = field(default_factory=set[str])
    status: int = 200
    change: Callable[[dict[str, Any]], Any] = lambda body: body
    hold: threading.Event = field(default_factory=threading.Event)

    @property
    def asked(self) -> list[list[str]]:
        """The texts of each request."""
        return [body["input"] for body in self.bodies]

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes]:
        self.bodies.append(body)
        assert self.hold.wait(10)
        texts: list[str] = body["input"]
        if self.status != 200 or self.refuses.intersection(texts) or not all(texts):
            status = self.status if self.status != 200 else 400
            return status, json.dumps({"error": {"message": f"no: {texts}", "type": "invalid"}}).encode()
        vectors = asyncio.run(HashingEmbedder(dimension=body.get("dimensions", DIMENSION)).embed(texts))
        rows = [
            {"object": "embedding", "index": at, "embedding": [3.0 * value for value in vector]}
            for at, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return 200, json.dumps(
            self.change({"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage})
        ).encode()


@contextmanager
def embedding_server() -> Generator[EmbeddingServer]:
    """Serve until the block ends."""
    state = EmbeddingServer()
    state.hold.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, content = state.answer(body) if self.path == "/v1/embeddings" else (404, b"{}")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name there)
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
