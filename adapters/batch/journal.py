"""What is done of a batch, beside its output file: after a crash the run goes on from there.

The journal is a file of JSON lines that only grows. The first says which run it is of: the digest of the input file and the
settings that change answers. Each other is one line of the input that is done, with the line to be written for it. A line is
written in one piece as soon as it is done, and the file is synced now and then, so a process that is killed loses nothing and
a machine that is switched off little. What is torn at its end is cut off. The output file is made of it in the end,
in the order of the input, and takes its place in one step.
"""

from __future__ import annotations

import fcntl
import json
import os
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import ForebayError
from ...middleware.narrow import is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ...middleware.records import JsonObject

VERSION: Final = 1
SUFFIX: Final = ".journal"
PARTIAL: Final = ".partial"
_NOT_DONE: Final = -1
_LINE_ENDS: Final = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True, slots=True)
class Done:
    """One line of the input that is done.

    Attributes:
        index: its place among the lines.
        line: what is written for it.
        ok: it goes into the output file, else into the error file.
        status: of the cache; "" where it failed.
        reason: why it failed, or what is to be said about the answer; "" for nothing.
        tokens_saved: of an answer that was not computed.
        number: of the line in the input file, from 1.
        done_s: Unix time at which it was done, None where that was not noted.
    """

    index: int
    line: JsonObject
    ok: bool
    status: str = ""
    reason: str = ""
    tokens_saved: int = 0
    number: int = 0
    done_s: float | None = None


class Journal:
    """The journal of one run, locked while it is open.

    Args:
        path: of the journal.
        digest: of the input file.
        settings: what else must be the same for the run to go on.
        lines: of the input file.

    Attributes:
        resumed: it was there before.

    Raises:
        ForebayError: another process has it, it is of another input or of other settings, or it cannot be written.
    """

    def __init__(self, path: Path, *, digest: str, settings: Mapping[str, str], lines: int) -> None:
        self._path = path
        self._at = array("q", [_NOT_DONE]) * lines
        self._settings = dict(settings)
        self._head: dict[str, Any] = {
            "forebay_batch": VERSION,
            "input": digest,
            "lines": lines,
            "settings": self._settings,
        }
        try:
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise ForebayError(f"{path} cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.resumed = self._open()
        except BlockingIOError:
            self._file.close()
            raise ForebayError(f"{path} is in use: another forebay batch writes the same output") from None
        except BaseException:
            self._file.close()
            raise

    def __contains__(self, index: int) -> bool:
        return self._at[index] != _NOT_DONE

    def add(self, done: Done) -> None:
        """Note a line that is done.

        Raises:
            ForebayError: it cannot be written.
        """
        record = {
            "index": done.index,
            "ok": done.ok,
            "status": done.status,
            "reason": done.reason,
            "tokens_saved": done.tokens_saved,
            "number": done.number,
            "done_s": done.done_s,
            "line": done.line,
        }
        at = self._size
        self._write(record)
        self._at[done.index] = at

    def sync(self) -> None:
        """Wait until what was noted is on the disk."""
        os.fsync(self._file.fileno())

    def done(self) -> Iterator[Done]:
        """Yield what is done, in the order of the input."""
        with self._path.open("rb") as file:
            for at in self._at:
                if at != _NOT_DONE:
                    file.seek(at)
                    yield _done(json.loads(file.readline()))

    def finish(self, out: Path, errors: Path) -> None:
        """Write both files, in the order of the input, and drop the journal. The error file is only made where there are errors.

        Raises:
            ForebayError: a file cannot be written.
        """
        self.sync()
        try:
            wrong = self._merge(errors, ok=False)
            self._merge(out, ok=True)
            if not wrong:
                errors.unlink(missing_ok=True)
            _sync_folder(out)
            self._path.unlink()
        except OSError as error:
            raise ForebayError(f"{error.filename or out} cannot be written ({error.strerror})") from None

    def drop(self) -> None:
        """Remove it: nothing is in it."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it; what is noted stays."""
        self._file.close()

    def _open(self) -> bool:
        """Read what is there, or begin; return whether there was something."""
        end = 0
        with self._path.open("rb") as file:
            head = _whole(file.readline())
            if head is not None:
                self._check(head)
                end = file.tell()
                while (record := _whole(file.readline())) is not None:
                    index: Any = record.get("index")
                    if not isinstance(index, int) or not 0 <= index < len(self._at):
                        break
                    self._at[index] = end
                    end = file.tell()
        self._file.truncate(end)
        self._size = end
        if head is None:
            self._write(self._head)
            self.sync()
            _sync_folder(self._path)
        return head is not None

    def _check(self, head: dict[str, Any]) -> None:
        if head.get("forebay_batch") != VERSION:
            raise ForebayError(f"{self._path} is no journal of this version; remove it to begin anew")
        if head.get("input") != self._head["input"]:
            raise ForebayError(
                f"the input file has changed since {self._path} was begun; bring it back to go on, "
                "or remove the journal to begin anew"
            )
        before: Any = head.get("settings")
        if before != self._settings:
            known: dict[str, Any] = before if is_object(before) else {}
            names = [name for name, value in self._settings.items() if known.get(name) != value]
            raise ForebayError(
                f"{self._path} was begun with another {', '.join(names)}; give the same to go on, "
                "or remove the journal to begin anew"
            )

    def _write(self, record: Mapping[str, Any]) -> None:
        data = _encoded(record)
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise ForebayError(f"{self._path} cannot be written ({error.strerror}); make room and go on") from None
        self._size += len(data)

    def _merge(self, path: Path, *, ok: bool) -> int:
        partial = path.with_name(path.name + PARTIAL)
        lines = 0
        with partial.open("wb") as file:
            for done in self.done():
                if done.ok is ok:
                    file.write(_encoded(done.line))
                    lines += 1
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        return lines


def _encoded(value: Mapping[str, Any]) -> bytes:
    """Return a JSON line. What some readers take for the end of a line stays escaped, and half a surrogate pair, too."""
    text = json.dumps(value, ensure_ascii=False).translate(_LINE_ENDS)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value).encode() + b"\n"


def _whole(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds, None where it is torn or at the end."""
    if not line.endswith(b"\n"):
        return None
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if is_object(record) else None


def _done(record: dict[str, Any]) -> Done:
    return Done(
        record["index"],
        record["line"],
        ok=record["ok"],
        status=record["status"],
        reason=record["reason"],
        tokens_saved=record["tokens_saved"],
        number=record["number"],
        done_s=record.get("done_s"),
    )


def _sync_folder(path: Path) -> None:
    """Let a new name, or a name that changed, last."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
