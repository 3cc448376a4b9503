"""The state store: one SQLite file for what one process keeps beside its answers.

It holds explanations (every decision, by request id) and snapshots (of policies and predictors). Writes are
queued and written in batches by one thread, so no request waits for the disk; what comes while the queue is
full is lost and counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from .records import JsonObject

log = logging.getLogger(__name__)
KEEP_ROWS: Final = 10_000
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS explanations (request_id TEXT PRIMARY KEY, created_s REAL NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS explanations_created ON explanations (created_s);
CREATE TABLE IF NOT EXISTS snapshots (name TEXT PRIMARY KEY, data TEXT NOT NULL);
COMMIT;
"""
_Write = tuple[str, tuple[Any, ...]]


class StateStore:
    """Explanations and snapshots in ``state.db``.

    Args:
        path: the file; its folder exists.
        keep_rows: explanations beyond this number are dropped, oldest first.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, keep_rows: int = KEEP_ROWS) -> None:
        self._path = path
        self._keep = keep_rows
        self._queue: queue.Queue[_Write | threading.Event | None] = queue.Queue(maxsize=4096)
        self.lost = 0
        try:
            with self._connect() as db:
                db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise ConfigError(
                f"cannot open the state store ({error}); move the file away or point state_dir elsewhere",
                source=str(path),
            ) from None
        self._thread = threading.Thread(target=self._work, name="forebay-state", daemon=True)
        self._thread.start()

    def explain(self, request_id: str, created_s: float, data: JsonObject) -> None:
        """Keep the explanation of a request; returns at once."""
        self._put(
            ("INSERT OR REPLACE INTO explanations VALUES (?, ?, ?)", (request_id, created_s, json.dumps(dict(data))))
        )

    def explanation(self, request_id: str) -> JsonObject | None:
        """Return what was kept about a request, None where nothing was."""
        with self._connect() as db:
            row = db.execute("SELECT data FROM explanations WHERE request_id = ?", (request_id,)).fetchone()
        return json.loads(row[0]) if row is not None else None

    def recent(self, limit: int) -> Sequence[str]:
        """Return the ids of the newest explained requests."""
        with self._connect() as db:
            rows = db.execute("SELECT request_id FROM explanations ORDER BY created_s DESC LIMIT ?", (limit,))
            return [str(row[0]) for row in rows]

    def save(self, name: str, data: JsonObject) -> None:
        """Keep a snapshot under a name; returns at once."""
        self._put(("INSERT OR REPLACE INTO snapshots VALUES (?, ?)", (name, json.dumps(dict(data)))))

    def load(self, name: str) -> JsonObject | None:
        """Return a snapshot, None where there is none."""
        with self._connect() as db:
            row = db.execute("SELECT data FROM snapshots WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row is not None else None

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until everything put so far is written; return whether it was in time."""
        done = threading.Event()
        try:
            self._queue.put(done, timeout=timeout_s)
        except queue.Full:
            return False
        return done.wait(timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and stop."""
        self.flush(timeout_s)
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(timeout_s)

    def _put(self, write: _Write) -> None:
        try:
            self._queue.put_nowait(write)
        except queue.Full:
            self.lost += 1

    @contextlib.contextmanager
    def _connect(self) -> Generator[sqlite3.Connection]:
        # several processes may share the file: WAL lets them read while one writes
        db = sqlite3.connect(self._path, timeout=2.0)
        try:
            with contextlib.suppress(sqlite3.OperationalError):  # locked: another process is just switching it on
                db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            yield db
            db.commit()
        finally:
            db.close()

    def _work(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < 256:  # noqa: PLR2004  (one transaction a batch)
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            try:
                self._write([item for item in batch if isinstance(item, tuple)])
            except Exception as error:  # whatever one write holds, the thread must live on
                self.lost += len(batch)
                log.warning("state store: %s; explanations are being lost", error)
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()
            if None in batch:
                return

    def _write(self, writes: Sequence[_Write]) -> None:
        if not writes:
            return
        with self._connect() as db:
            for statement, values in writes:
                db.execute(statement, values)
            db.execute(
                "DELETE FROM explanations WHERE request_id IN "
                "(SELECT request_id FROM explanations ORDER BY created_s DESC LIMIT -1 OFFSET ?)",
                (self._keep,),
            )
