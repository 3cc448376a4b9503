"""An OpenAI-compatible server in a process of its own whose answers depend on what is asked alone.

``python served.py SECONDS LOG``: prints its port, takes SECONDS for each answer, and writes each question to LOG.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    if path.endswith("/embeddings"):
        data = [
            {"object": "embedding", "index": at, "embedding": [float(len(text)), 1.0]}
            for at, text in enumerate(body["input"])
        ]
        return {"object": "list", "model": body["model"], "data": data, "usage": {"prompt_tokens": 7}}
    if path.endswith("/chat/completions"):
        asked = str(body["messages"][-1]["content"])
        choice = {"index": 0, "message": {"role": "assistant", "content": f"to {asked}"}, "finish_reason": "stop"}
        kind = "chat.completion"
    else:
        asked = str(body["prompt"])
        choice = {"index": 0, "text": f"after {asked}", "finish_reason": "stop"}
        kind = "text_completion"
    name = hashlib.sha256(asked.encode()).hexdigest()[:12]
    return {"id": name, "object": kind, "created": 1, "model": body["model"], "choices": [choice], "usage": usage}


class Server:
    def __init__(self, seconds: float, log: Path) -> None:
        self._seconds = seconds
        self._log = log.open("a", encoding="utf-8", buffering=1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                self._log.write(json.dumps(body) + "\n")
                await asyncio.sleep(self._seconds)
                failing = "fail" in json.dumps(body)
                found = {"error": {"message": "no", "code": 400}} if failing else answer(head[0].split()[1], body)
                data = json.dumps(found).encode()
                status = b"400 Bad Request" if failing else b"200 OK"
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(data))
                    + data
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run(self) -> None:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(Server(float(sys.argv[1]), Path(sys.argv[2])).run())
