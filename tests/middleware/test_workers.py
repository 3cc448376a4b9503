"""What is said about several workers."""

from __future__ import annotations

from typing import Any

import pytest

from forebay.middleware.config import parse_config
from forebay.middleware.coordination import Roster, Worker
from forebay.middleware.workers import findings

OWN = "memory of its own"
FILE = "the Milvus Lite file /x/cache.db"


def said(*about: str, places: int | None = 10, shared: bool = False, **config: Any) -> dict[str, tuple[bool, str, str]]:
    workers = tuple(Worker(f"w{at}", 100 + at, text) for at, text in enumerate(about))
    roster = Roster(workers, shareable=shared, shared=shared)
    made = findings(roster, parse_config(config, environ={}), places)
    assert all(finding.ok or finding.fix for finding in made)
    return {finding.name: (finding.ok, finding.detail, finding.fix) for finding in made}


def test_nobody_and_one() -> None:
    assert said() == {"workers": (True, "none is running", "")}
    assert said(FILE) == {"workers": (True, f"1 running: pid 100: {FILE}", "")}


def test_several_without_redis() -> None:
    found = said(FILE, OWN, OWN, OWN)
    assert found["workers"][1].startswith(f"4 running: pid 100: {FILE}; pid 101: {OWN}")
    assert found["limits"] == (True, "10 for each deployment, divided by 4 workers: 2 to 3 each", "")
    assert "only within a worker" in found["twins"][1]
    assert found["answers"][0] is False
    assert found["answers"][1].startswith("3 of 4 workers keep answers in memory of their own")


def test_several_with_redis() -> None:
    server = "the Milvus server http://m:19530"
    found = said(server, server, shared=True)
    assert found["limits"][1] == "10 for each deployment, shared by 2 workers"
    assert found["twins"][1] == "equal requests of all workers share one computation"
    assert "answers" not in found


@pytest.mark.parametrize(("places", "ok"), [(2, False), (3, True)])
def test_fewer_places_than_workers_is_a_finding(places: int, ok: bool) -> None:
    found = said(FILE, FILE, FILE, places=places)["limits"]
    assert found[0] is ok
    assert ("at least 3" in found[2]) is not ok


def test_a_limit_that_is_no_number_and_twins_that_are_off() -> None:
    found = said(FILE, FILE, places=None, cache={"twins": False})
    assert found["limits"][1] == "none: holds in each worker by itself"
    assert "twins" not in found
