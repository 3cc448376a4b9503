"""Server-sent events, the part of them that OpenAI's API uses.

After https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in CRLF, LF or CR, a blank line
ends an event, ``data`` lines are joined with a newline, comments and other fields are passed over. It is stricter in
one point: text that is not UTF-8 is an error and not a replacement character, because it becomes part of an answer.
"""

from __future__ import annotations

from typing import Final

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024


class EventStreamError(ValueError):
    """The bytes are not an event stream."""


class EventParser:
    """Turns bytes, cut anywhere, into the data of events."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._started = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[str]:
        """Take more bytes and return the data of each event they complete; events without data are left out.

        Raises:
            EventStreamError: an event is not UTF-8 or larger than 16 MiB.
        """
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")  # the other half of a CRLF that was cut
            self._after_cr = False
        if chunk.endswith(b"\r"):
            self._after_cr = True
        seen = len(self._rest)
        self._rest += chunk
        if b"\n" not in chunk and b"\r" not in chunk:
            self._check_size(len(self._rest))
            return []
        last = max(self._rest.rfind(b"\n", seen), self._rest.rfind(b"\r", seen)) + 1
        whole = bytes(self._rest[:last])
        del self._rest[:last]
        self._check_size(len(self._rest))
        lines = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]
        return [event for event in map(self._line, lines) if event is not None]

    def close(self) -> list[str]:
        """Return the event that the end of the stream cut off before its blank line, if there is one."""
        events = [self._line(bytes(self._rest)), self._line(b"")]
        self._rest.clear()
        return [event for event in events if event is not None]

    def _line(self, line: bytes) -> str | None:
        if not self._started:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
                self._size += len(value) + 1
                self._check_size(0)
            return None
        if not self._data:
            return None
        data = b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise EventStreamError("an event is not UTF-8") from None

    def _check_size(self, waiting: int) -> None:
        if self._size + waiting > MAX_EVENT_BYTES:
            raise EventStreamError("an event is larger than 16 MiB")
