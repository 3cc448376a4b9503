"""The state store: one SQLite file for what one process keeps beside its answers.

It holds explanations (every decision, by request id), savings (by day, key, team and model), snapshots (of policies and
predictors) and epochs. Writes are
queued and written in batches by one thread, so no request waits for the disk; what comes while the queue is
full is lost and counted. Only an epoch is on the disk when its write returns.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final

from .errors import AdapterError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence
    from pathlib import Path

    from .records import JsonObject

log = logging.getLogger(__name__)
KEEP_ROWS: Final = 10_000
GATHER_S: Final = 0.2
"""How long the first write of a batch waits for others: a transaction each would cost more than the requests' own work."""
BATCH: Final = 4096
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS explanations (request_id TEXT PRIMARY KEY, created_s REAL NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS explanations_created ON explanations (created_s);
CREATE TABLE IF NOT EXISTS snapshots (name TEXT PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS epochs (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS savings (
  day TEXT NOT NULL, key TEXT NOT NULL, team TEXT NOT NULL, model TEXT NOT NULL,
  requests INTEGER NOT NULL, hits INTEGER NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
  PRIMARY KEY (day, key, team, model)
);
COMMIT;
"""
_COUNT: Final = """
INSERT INTO savings VALUES (?, ?, ?, ?, 1, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  requests = requests + 1, hits = hits + excluded.hits, tokens = tokens + excluded.tokens, usd = usd + excluded.usd
"""
_RAISE: Final = "INSERT INTO epochs VALUES (?, ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
_SAVED: Final = {
    by: f"SELECT {by}, SUM(requests), SUM(hits), SUM(tokens), SUM(usd) FROM savings WHERE day >= ? "  # noqa: S608  (fixed names)
    f"GROUP BY {by} ORDER BY {'day' if by == 'day' else f'SUM(tokens) DESC, {by}'}"
    for by in ("day", "key", "team", "model")
}
_Write = tuple[str, tuple[Any, ...]]


class StateStore:
    """Explanations and snapshots in ``state.db``.

    Args:
        path: the file; its folder exists.
        keep_rows: explanations beyond this number, and a twentieth more, are dropped, oldest first.

    Raises:
        ConfigError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, keep_rows: int = KEEP_ROWS) -> None:
        self._path = path
        self._keep = keep_rows
        self._unpruned = 0
        self._pressed = threading.Event()
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

    def explanations(self, limit: int) -> list[JsonObject]:
        """Return the newest explanations, newest first."""
        with self._connect() as db:
            rows = db.execute("SELECT data FROM explanations ORDER BY created_s DESC LIMIT ?", (limit,))
            return [json.loads(row[0]) for row in rows]

    def save(self, name: str, data: JsonObject) -> None:
        """Keep a snapshot under a name; returns at once."""
        self._put(("INSERT OR REPLACE INTO snapshots VALUES (?, ?)", (name, json.dumps(dict(data)))))

    def load(self, name: str) -> JsonObject | None:
        """Return a snapshot, None where there is none."""
        with self._connect() as db:
            row = db.execute("SELECT data FROM snapshots WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row is not None else None

    def epochs(self) -> dict[str, int]:
        """Return the epochs by name."""
        with self._connect() as db:
            return {str(name): int(value) for name, value in db.execute("SELECT name, value FROM epochs")}

    def raise_epoch(self, name: str, value: int, over: Sequence[str] = ()) -> int:
        """Keep an epoch, unless a higher one is kept; it outlives a crash of the machine when this returns.

        Args:
            over: names of epochs than which it must be higher.

        Returns:
            The epoch that is kept now.

        Raises:
            AdapterError: it cannot be written.
        """
        try:
            with self._connect() as db:
                db.execute("PRAGMA synchronous=FULL")
                db.execute("BEGIN IMMEDIATE")
                for other in over:
                    row = db.execute("SELECT value FROM epochs WHERE name = ?", (other,)).fetchone()
                    value = max(value, int(row[0]) + 1) if row is not None else value
                db.execute(_RAISE, (name, value))
                return int(db.execute("SELECT value FROM epochs WHERE name = ?", (name,)).fetchone()[0])
        except sqlite3.Error as error:
            raise AdapterError(
                f"{self._path} cannot be written ({error}): what is bumped would not outlive a restart"
            ) from None

    def raise_epoch_soon(self, name: str, value: int) -> None:
        """Keep an epoch, unless a higher one is kept; returns at once."""
        self._put((_RAISE, (name, value)))

    def drop_epochs(self, value: int, but: Sequence[str]) -> None:
        """Drop the epochs that are not above a value, but for those of some names."""
        held = ", ".join("?" * len(but))
        with self._connect() as db:
            db.execute(f"DELETE FROM epochs WHERE value <= ? AND name NOT IN ({held})", (value, *but))  # noqa: S608

    def erase(self, chosen: Callable[[JsonObject], bool], keys: Collection[str]) -> tuple[int, int]:
        """Delete explanations, and what was saved by some keys, and overwrite where they lay.

        Args:
            chosen: whether an explanation is to go.
            keys: as `count_saved` was given them.

        Returns:
            How many explanations, and how many rows of savings, were deleted.

        Raises:
            AdapterError: the file cannot be written.
        """
        self.flush()
        try:
            with self._connect() as db:
                db.execute("PRAGMA secure_delete=ON")
                rows = db.execute("SELECT request_id, data FROM explanations").fetchall()
                gone = [(name,) for name, data in rows if chosen(json.loads(data))]
                db.executemany("DELETE FROM explanations WHERE request_id = ?", gone)
                counted = db.executemany("DELETE FROM savings WHERE key = ?", [(key,) for key in keys]).rowcount
        except sqlite3.Error as error:
            raise AdapterError(f"{self._path} cannot be written ({error})") from None
        return len(gone), max(0, counted)

    def count_saved(self, whose: tuple[str, str, str, str], *, hit: bool, tokens: int, usd: float) -> None:
        """Add a request to what was saved; returns at once.

        Args:
            whose: day (2026-01-31), key, team and model.
        """
        self._put((_COUNT, (*whose, int(hit), tokens, usd)))

    def saved(self, by: str, since: str) -> list[tuple[str, int, int, int, float]]:
        """Return (name, requests, hits, tokens, US dollars) since a day: days in order, all else most tokens first.

        Args:
            by: day, key, team or model.
        """
        with self._connect() as db:
            return [(str(row[0]), *row[1:]) for row in db.execute(_SAVED[by], (since,))]

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until everything put so far is written; return whether it was in time."""
        done = threading.Event()
        self._pressed.set()
        try:
            self._queue.put(done, timeout=timeout_s)
        except queue.Full:
            return False
        self._pressed.set()  # the first may have been for a batch that was already being gathered
        return done.wait(timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and stop."""
        self.flush(timeout_s)
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._pressed.set()
        self._thread.join(timeout_s)

    def _put(self, write: _Write) -> None:
        try:
            self._queue.put_nowait(write)
        except queue.Full:
            self.lost += 1

    @contextlib.contextmanager
    def _connect(self) -> Generator[sqlite3.Connection]:
        db = self._open()
        try:
            yield db
            db.commit()
        finally:
            db.close()

    def _open(self) -> sqlite3.Connection:
        # several processes may share the file: WAL lets them read while one writes
        db = sqlite3.connect(self._path, timeout=2.0)
        try:
            with contextlib.suppress(sqlite3.OperationalError):  # locked: another process is just switching it on
                db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
        except BaseException:
            db.close()
            raise
        return db

    def _work(self) -> None:
        # kept open: the last one to close a WAL file writes it back and deletes it, milliseconds each time
        db: sqlite3.Connection | None = None
        batch: list[_Write | threading.Event | None] = []
        while None not in batch:
            batch = self._gather()
            try:
                db = db or self._open()
                self._write(db, [item for item in batch if isinstance(item, tuple)])
            except Exception as error:  # whatever one write holds, the thread must live on
                self.lost += sum(isinstance(item, tuple) for item in batch)
                log.warning("state store: %s; explanations are being lost", error)
                if db is not None:
                    db.close()  # takes the unfinished transaction back, and a file that was replaced is opened anew
                    db = None
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()
        if db is not None:
            db.close()

    def _gather(self) -> list[_Write | threading.Event | None]:
        """Wait for something to write and return it with what comes soon after."""
        batch = [self._queue.get()]
        self._pressed.wait(GATHER_S)
        self._pressed.clear()
        while len(batch) < BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _write(self, db: sqlite3.Connection, writes: Sequence[_Write]) -> None:
        if not writes:
            return
        for statement, values in writes:
            db.execute(statement, values)
        self._unpruned += len(writes)
        if self._unpruned > self._keep // 20:
            self._unpruned = 0
            db.execute(
                "DELETE FROM explanations WHERE request_id IN "
                "(SELECT request_id FROM explanations ORDER BY created_s DESC LIMIT -1 OFFSET ?)",
                (self._keep,),
            )
        db.commit()
