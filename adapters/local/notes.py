"""Notes from worker to worker in one SQLite file: what to forget, and who has done it."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING, Final

from ...middleware.errors import CoordinationError
from .selectors import selector_from, selector_text

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from ...middleware.records import Selector

KEEP_S: Final = 3600.0
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, author TEXT NOT NULL, written_s REAL NOT NULL, selector TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS done (
    note INTEGER NOT NULL, worker TEXT NOT NULL, dropped INTEGER NOT NULL, PRIMARY KEY (note, worker));
COMMIT;
"""


class Notes:
    """The notes in a file. All methods but `changed` may wait for the disk: call them in a thread.

    Raises:
        CoordinationError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with self._connect() as db:
                db.executescript(_SCHEMA)
            # for `changed` alone: what this connection has written itself would not count as a change
            self._watch = sqlite3.connect(path, timeout=2.0, check_same_thread=False)
            self._version = self._now()  # waits: another process may just be switching WAL on
            self._watch.execute("PRAGMA busy_timeout=0")
        except sqlite3.Error as error:
            raise CoordinationError(f"{path} cannot be opened ({error}); move it away") from None

    def changed(self) -> bool:
        """Return whether somebody wrote since the last call. A few microseconds: one page in shared memory."""
        version = self._now()
        changed, self._version = version != self._version, version
        return changed

    def last(self) -> int:
        """Return the number of the newest note, 0 where there is none."""
        with self._connect() as db:
            return int(db.execute("SELECT coalesce(max(id), 0) FROM notes").fetchone()[0])

    def write(self, author: str, selector: Selector) -> int:
        """Write a note and return its number; old ones are dropped."""
        now = time()
        with self._connect() as db:
            db.execute("DELETE FROM notes WHERE written_s < ?", (now - KEEP_S,))
            db.execute("DELETE FROM done WHERE note NOT IN (SELECT id FROM notes)")
            made = db.execute(
                "INSERT INTO notes (author, written_s, selector) VALUES (?, ?, ?)",
                (author, now, selector_text(selector)),
            )
            return int(made.lastrowid or 0)

    def since(self, number: int) -> Sequence[tuple[int, str, Selector]]:
        """Return number, author and selector of the notes after one."""
        with self._connect() as db:
            rows = db.execute("SELECT id, author, selector FROM notes WHERE id > ? ORDER BY id", (number,)).fetchall()
        return [(int(row[0]), str(row[1]), selector_from(str(row[2]))) for row in rows]

    def done(self, number: int, worker: str, dropped: int) -> None:
        """Write that a worker has done what a note says."""
        with self._connect() as db:
            db.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", (number, worker, dropped))

    def answers(self, number: int) -> Mapping[str, int]:
        """Return who has done what a note says, and how many entries that were."""
        with self._connect() as db:
            rows = db.execute("SELECT worker, dropped FROM done WHERE note = ?", (number,)).fetchall()
        return {str(worker): int(dropped) for worker, dropped in rows}

    def close(self) -> None:
        """Close the file."""
        self._watch.close()

    def _now(self) -> int:
        return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _connect(self) -> Generator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=2.0)
        try:
            with suppress(sqlite3.OperationalError):  # locked: another process is just switching it on
                db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            yield db
            db.commit()
        finally:
            db.close()
