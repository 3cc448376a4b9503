from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.adapters.batch.journal import Done, Journal
from forebay.middleware.errors import ForebayError
from tests.adapters.batch.rig import read

LINES = 8


def opened(folder: Path, **changes: Any) -> Journal:
    known: dict[str, Any] = {"digest": "d", "settings": {"--model": ""}, "lines": LINES, **changes}
    return Journal(folder / "out.journal", **known)


def done(index: int, *, ok: bool = True, text: str = "x") -> Done:
    return Done(index, {"custom_id": str(index), "text": text}, ok=ok, status="miss" if ok else "", number=index + 1)


def finished(folder: Path, journal: Journal) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    out, errors = folder / "out", folder / "errors"
    journal.finish(out, errors)
    journal.close()
    return read(out), read(errors) if errors.exists() else []


def test_files_are_in_the_order_of_the_input_whatever_the_order_of_work(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for index in (3, 0, 2, 1):
        journal.add(done(index, ok=index != 2))
    out, errors = finished(tmp_path, journal)
    assert [each["custom_id"] for each in out] == ["0", "1", "3"]
    assert [each["custom_id"] for each in errors] == ["2"]
    assert not (tmp_path / "out.journal").exists()
    assert not list(tmp_path.glob("*.partial"))


@given(
    order=st.permutations(range(LINES)),
    text=st.text(),
    cut=st.integers(min_value=0, max_value=400),
    junk=st.binary(max_size=30),
)
def test_wherever_it_is_torn_the_rest_goes_on(order: list[int], text: str, cut: int, junk: bytes) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        first = opened(folder)
        for index in order[:5]:
            first.add(done(index, text=text))
        first.close()
        path = folder / "out.journal"
        path.write_bytes(path.read_bytes()[:-cut] + junk.replace(b"\n", b" ") if cut else path.read_bytes())
        again = opened(folder)
        kept = [index for index in range(LINES) if index in again]
        assert kept == sorted(order[: len(kept)])
        assert cut or len(kept) == 5
        for index in range(LINES):
            if index not in again:
                again.add(done(index, text=text))
        out, _ = finished(folder, again)
        assert [each["custom_id"] for each in out] == [str(index) for index in range(LINES)]
        assert {each["text"] for each in out} == {text}


def test_half_a_surrogate_pair_comes_back_as_it_was(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.add(done(0, text="\ud800 é"))
    out, _ = finished(tmp_path, journal)
    assert out[0]["text"] == "\ud800 é"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"digest": "other"}, "input file has changed"), ({"settings": {"--model": "m"}}, "another --model")],
)
def test_another_run_does_not_go_on(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    opened(tmp_path).close()
    before = (tmp_path / "out.journal").read_bytes()
    with pytest.raises(ForebayError, match=problem):
        opened(tmp_path, **changes)
    assert (tmp_path / "out.journal").read_bytes() == before


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out.journal").write_text('{"mine": 1}\n')
    with pytest.raises(ForebayError, match="no journal of this version"):
        opened(tmp_path)
    assert (tmp_path / "out.journal").read_text() == '{"mine": 1}\n'


def test_it_is_locked_while_it_is_open(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(ForebayError, match="is in use"):
        opened(tmp_path)
    journal.close()
    opened(tmp_path).close()


def test_a_crash_between_the_two_files_is_mended_by_the_next_run(tmp_path: Path) -> None:
    journal = opened(tmp_path, lines=2)
    journal.add(done(0))
    journal.add(done(1, ok=False))
    kept = (tmp_path / "out.journal").read_bytes()
    first = finished(tmp_path, journal)
    (tmp_path / "out.journal").write_bytes(kept)
    (tmp_path / "out").unlink()
    assert finished(tmp_path, opened(tmp_path, lines=2)) == first
