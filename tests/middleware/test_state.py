"""The state store: explanations and snapshots in one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from forebay.middleware.errors import ConfigError
from forebay.middleware.state import StateStore
from tests.middleware.processes import together

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state.db", keep_rows=5)
    yield store
    store.close()


def test_an_explanation_is_found_by_request_id(state: StateStore) -> None:
    state.explain("r1", 1.0, {"status": "miss", "decisions": [{"stop": "lookup"}]})
    assert state.flush()
    assert state.explanation("r1") == {"status": "miss", "decisions": [{"stop": "lookup"}]}
    assert state.explanation("r2") is None


def test_the_newest_are_kept_and_listed_first(state: StateStore) -> None:
    for at in range(9):
        state.explain(f"r{at}", float(at), {"at": at})
    assert state.flush()
    assert [one["at"] for one in state.explanations(10)] == [8, 7, 6, 5, 4]
    assert [one["at"] for one in state.explanations(2)] == [8, 7]
    assert state.explanation("r3") is None


def test_the_last_explanation_of_a_request_counts(state: StateStore) -> None:
    state.explain("r", 1.0, {"at": 1})
    state.explain("r", 2.0, {"at": 2})
    assert state.flush()
    assert state.explanation("r") == {"at": 2}
    assert len(state.explanations(10)) == 1


def test_a_snapshot_is_kept_by_name_across_restarts(tmp_path: Path) -> None:
    first = StateStore(tmp_path / "state.db")
    assert first.load("eviction.lru") is None
    first.save("eviction.lru", {"entries": [["a", 1]]})
    first.save("eviction.lru", {"entries": [["b", 2]]})
    first.close()
    second = StateStore(tmp_path / "state.db")
    assert second.load("eviction.lru") == {"entries": [["b", 2]]}
    second.close()


def test_closing_writes_what_is_queued(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state.db")
    for at in range(1000):
        store.explain(f"r{at}", float(at), {})
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        count = db.execute("SELECT count(*) FROM explanations").fetchone()
    db.close()
    assert count == (1000,)
    assert store.lost == 0


def test_two_stores_share_one_file(tmp_path: Path) -> None:
    one, other = StateStore(tmp_path / "state.db"), StateStore(tmp_path / "state.db")
    for at in range(100):
        one.explain(f"a{at}", float(at), {})
        other.explain(f"b{at}", float(at), {})
    assert one.flush()
    assert other.flush()
    assert len(one.explanations(1000)) == 200
    one.close()
    other.close()
    assert (one.lost, other.lost) == (0, 0)


def test_eight_processes_may_open_it_at_once(tmp_path: Path) -> None:
    ended = together(
        "from pathlib import Path\nfrom forebay.middleware.state import StateStore",
        "store = StateStore(Path(sys.argv[1]))\nstore.explain(sys.argv[2], 1.0, {})\nstore.close()\nsys.exit(store.lost)",
        [[str(tmp_path / "state.db"), f"p{at}"] for at in range(8)],
    )
    errors = [err for _, _, err in ended]
    assert errors == [""] * 8
    store = StateStore(tmp_path / "state.db")
    assert len(store.explanations(100)) == 8
    store.close()


def test_a_moment_in_which_another_process_changes_the_journal_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    class Locked(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if "journal_mode" in sql:
                raise sqlite3.OperationalError("database is locked")
            return super().execute(sql, *parameters)

    def locked(path: Path, timeout: float) -> sqlite3.Connection:
        return connect(path, timeout=timeout, factory=Locked)

    monkeypatch.setattr(sqlite3, "connect", locked)
    store = StateStore(tmp_path / "state.db")
    store.explain("r", 1.0, {"at": 1})
    assert store.flush()
    assert store.explanation("r") == {"at": 1}
    store.close()


def test_a_write_that_fails_is_counted_and_the_next_one_is_kept(
    state: StateStore, caplog: pytest.LogCaptureFixture
) -> None:
    state.explain("\ud800", 1.0, {})  # SQLite cannot hold it
    assert state.flush()
    state.explain("r", 2.0, {})
    assert state.flush()
    assert state.lost >= 1
    assert len(state.explanations(10)) == 1
    assert "explanations are being lost" in caplog.text


def test_writes_share_a_connection_and_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StateStore(tmp_path / "state.db")
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(path: Path, timeout: float) -> sqlite3.Connection:
        db = connect(path, timeout=timeout)
        db.set_trace_callback(statements.append)
        return db

    monkeypatch.setattr(sqlite3, "connect", traced)
    for batch in range(2):
        for at in range(20):
            store.explain(f"r{batch}/{at}", float(at), {})
        assert store.flush()
    assert sum("synchronous" in statement for statement in statements) == 1
    assert sum(statement == "COMMIT" for statement in statements) == 2
    store.close()


def test_while_the_disk_hangs_requests_go_on_and_what_does_not_fit_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume = threading.Event()
    original = StateStore._write  # pyright: ignore[reportPrivateUsage]

    def slow(self: StateStore, db: sqlite3.Connection, writes: object) -> None:
        resume.wait(10.0)
        original(self, db, writes)  # type: ignore[arg-type]

    monkeypatch.setattr(StateStore, "_write", slow)
    store = StateStore(tmp_path / "state.db")
    for at in range(6000):
        store.explain(f"r{at}", float(at), {})
    assert store.lost > 0
    lost = store.lost
    resume.set()
    store.close(timeout_s=10.0)
    assert lost == store.lost
    with sqlite3.connect(tmp_path / "state.db") as db:
        (count,) = db.execute("SELECT count(*) FROM explanations").fetchone()
    db.close()
    assert count + lost == 6000


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(ConfigError, match=r"state\.db: cannot open the state store .* move the file away"):
        StateStore(path)
    with pytest.raises(ConfigError, match="cannot open the state store"):
        StateStore(tmp_path / "none" / "state.db")
