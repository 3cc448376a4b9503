"""A small OTLP/HTTP receiver: what a collector is to the demo and to the tests."""

from __future__ import annotations

import gzip
import threading
import zlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self

from .exporter import TRACES_PATH
from .spans import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from .spans import Span

MAX_BODY: Final = 16 * 1024 * 1024


class Receiver:
    """Receives spans on a loopback port while its ``with`` block is open.

    Args:
        port: 0 for a free one.
        hang: take requests and never answer them.
        delay_s: answer this much later.
    """

    def __init__(self, *, port: int = 0, hang: bool = False, delay_s: float = 0.0) -> None:
        self._spans: list[Span] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._hang = hang
        self._delay_s = delay_s
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="forebay-otlp-receiver", daemon=True
        )

    @property
    def endpoint(self) -> str:
        """Base URL to give to an exporter."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self, trace_id: str | None = None) -> tuple[Span, ...]:
        """Return what has arrived, of one trace or of all."""
        with self._changed:
            return tuple(span for span in self._spans if trace_id in (None, span.trace_id))

    def wait_for(self, predicate: Callable[[Sequence[Span]], bool], timeout_s: float) -> tuple[Span, ...]:
        """Wait until what has arrived satisfies a predicate, and return it.

        Raises:
            TimeoutError: it did not in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self._spans), timeout_s):
                msg = f"{len(self._spans)} spans after {timeout_s:g} s, and not what was waited for"
                raise TimeoutError(msg)
            return tuple(self._spans)

    def take(self, body: bytes) -> HTTPStatus:
        """Take one export's body and return the status to answer with."""
        self._closing.wait(None if self._hang else self._delay_s)
        try:
            arrived = decode(body)
        except ValueError:
            self.refused += 1
            return HTTPStatus.BAD_REQUEST
        with self._changed:
            self._spans.extend(arrived)
            self._changed.notify_all()
        return HTTPStatus.OK


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self._body()
            if body is None:
                status = HTTPStatus.BAD_REQUEST
            elif self.path.rstrip("/") == TRACES_PATH:
                status = receiver.take(body)
            else:  # metrics and logs are taken and dropped
                status = HTTPStatus.OK if self.path.startswith("/v1/") else HTTPStatus.NOT_FOUND
            try:
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:  # the exporter has given up waiting
                self.close_connection = True

        def _body(self) -> bytes | None:
            length = int(self.headers.get("content-length") or 0)
            if length > MAX_BODY:
                self.close_connection = True
                return None
            raw = self.rfile.read(length)
            encoding = self.headers.get("content-encoding", "identity")
            try:
                if encoding == "gzip":
                    return gzip.decompress(raw)
                return zlib.decompress(raw) if encoding == "deflate" else raw
            except (OSError, EOFError, zlib.error):
                return None

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (signature of the base class)
            """Say nothing: the demo's screen is not a web server's log."""

    return Handler
