"""Replays of labelled streams: what is kept, what is served, and what a policy learns from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.adapters.embedders.hashing import HashingEmbedder
from forebay.adapters.lab.stream import SETTLED, Labelled, Neighbours, Replay, Stream, read_stream, replay_files
from forebay.middleware.errors import ConfigError
from forebay.middleware.records import Asked, Audit, Candidate, JsonObject, Verdict

EAST, NORTH, NEARLY_EAST = (1.0, 0.0), (0.0, 1.0), (0.96, 0.28)
ROWS = [Labelled("a", "x"), Labelled("b", "x"), Labelled("c", "y"), Labelled("d", "y")]
VECTORS = [EAST, NEARLY_EAST, NORTH, EAST]


class Cut:
    """Accepts from a cosine upward."""

    def __init__(self, cut: float) -> None:
        self.cut = cut
        self.judged: list[tuple[str, str]] = []

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        self.judged.append((asked.key.text, candidate.entry.question))
        accepted = candidate.similarity >= self.cut
        return Verdict(accepted, max(0.0, candidate.similarity), "accepted" if accepted else "below_threshold")


class Shadow(Cut):
    """Serves nothing and has every decision audited."""

    def __init__(self, cut: float, share: float = 1.0) -> None:
        super().__init__(cut)
        self.wanted = share
        self.learned: list[Audit] = []

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        verdict = super().judge(asked, candidate)
        return Verdict(verdict.accepted, verdict.confidence, verdict.reason, proven=False)

    def share(self, asked: Asked, verdict: Verdict) -> float:
        return self.wanted if verdict.accepted else 0.0

    def learn(self, audit: Audit) -> None:
        self.learned.append(audit)

    def report(self) -> list[JsonObject]:
        return []

    def snapshot(self) -> JsonObject:
        return {}

    def restore(self, state: JsonObject) -> None:
        raise ValueError(state)


def stream(**options: int) -> Stream:
    return Stream(ROWS, Neighbours(VECTORS), **options)


def test_neighbours_are_nearest_first_and_only_those_kept() -> None:
    near = Neighbours(VECTORS, floor=0.5)
    assert [other for other, _ in near.of(0, [True] * 4)] == [3, 1]
    assert dict(near.of(1, [True] * 4)) == pytest.approx({0: 0.96, 3: 0.96})
    assert [other for other, _ in near.of(0, [True, True, True, False])] == [1]
    assert list(near.of(2, [True] * 4)) == []
    assert [other for other, _ in Neighbours(VECTORS, floor=0.2).of(2, [True] * 4)] == [1]


def test_hits_are_not_kept_and_are_right_where_the_labels_agree() -> None:
    policy = Cut(0.9)
    assert stream().replay(policy) == Replay(4, 2, 1, 0, 0, 2, 0.0)
    assert policy.judged == [("b", "a"), ("d", "a")]  # b was a hit, so only a is there for d


def test_misses_are_kept() -> None:
    policy = Cut(0.99)
    assert stream().replay(policy) == Replay(4, 1, 1, 0, 0, 4, 0.0)
    policy = Cut(2.0)
    assert stream(judged=2).replay(policy) == Replay(4, 0, 0, 0, 0, None, 0.0)
    assert policy.judged == [("b", "a"), ("d", "a"), ("d", "b")]


def test_the_order_may_be_given() -> None:
    policy = Cut(0.9)
    replay = stream().replay(policy, order=[3, 2, 1])
    assert policy.judged == [("b", "d")]
    assert (replay.requests, replay.first_hit, replay.wrong_hits) == (3, 3, 1)


def test_an_accepted_candidate_goes_before_a_nearer_refused_one() -> None:
    class Picky(Cut):
        def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
            verdict = super().judge(asked, candidate)
            return Verdict(candidate.entry.question == "b", verdict.confidence, "accepted")

    assert stream(judged=2).replay(Picky(0.0)).hits == 1
    assert stream(judged=1).replay(Picky(0.0)).hits == 0


def test_an_audited_policy_learns_what_the_labels_say() -> None:
    policy = Shadow(0.9)
    replay = stream().replay(policy)
    assert (replay.hits, replay.audits, replay.served_audits) == (0, 2, 0)
    assert [(audit.asked.key.text, audit.same, audit.share, audit.served) for audit in policy.learned] == [
        ("b", True, 1.0, False),
        ("d", False, 1.0, False),
    ]


def test_audits_are_drawn_with_the_share_asked_for_and_the_seed() -> None:
    rows, vectors = [Labelled("a", "x")] * 400, [EAST] * 400
    lots = Stream(rows, Neighbours(vectors))
    runs = [lots.replay(Shadow(0.9, 0.25), seed=seed).audits for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert all(60 < audits < 140 for audits in runs)
    assert lots.replay(Shadow(0.9, 0.0)).audits == 0


def test_the_worst_share_is_looked_at_once_there_are_enough_hits() -> None:
    rows = [Labelled("a", "x")] * (SETTLED - 1) + [Labelled("a", "y")] * 4 + [Labelled("a", "x")] * 96
    replay = Stream(rows, Neighbours([EAST] * len(rows))).replay(Cut(0.9))
    assert (replay.hits, replay.wrong_hits) == (SETTLED + 98, 4)
    assert replay.worst_share == pytest.approx(4 / (SETTLED + 2))
    assert replay.held(0.03)
    assert not replay.held(0.02)


def test_a_row_of_the_report() -> None:
    replay = Replay(10, 4, 1, 3, 1, 7, 0.0)
    row = replay.row("train.csv", "verified", 0.3)
    assert row["bound_held"] is True
    assert (row["file"], row["policy"], row["hits"], row["audits"]) == ("train.csv", "verified", 4, 3)
    assert replay.row("train.csv", "cosine 0.9", None)["bound_held"] is None


def test_a_stream_is_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "stream.csv"
    path.write_text('text,category\n"Where, now?",place\nWhen?,time\n', encoding="utf-8")
    assert read_stream(path) == [Labelled("Where, now?", "place"), Labelled("When?", "time")]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"text,category\n\xff\xfe,x\n"])
def test_what_is_no_stream_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stream.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^stream\.csv: "):
        read_stream(path)


async def test_files_are_replayed_through_each_policy(tmp_path: Path) -> None:
    path = tmp_path / "stream.csv"
    path.write_text("text,category\nWhere is it?,place\nWhere is it?,place\nWhere is it?,time\n", encoding="utf-8")
    rows = await replay_files(
        [path], HashingEmbedder(dimension=64), {"shadow": (0.1, lambda: Shadow(0.9)), "cut": (None, lambda: Cut(0.9))}
    )
    assert [(row["file"], row["policy"], row["hits"], row["wrong_hits"], row["audits"]) for row in rows] == [
        ("stream.csv", "shadow", 0, 0, 2),
        ("stream.csv", "cut", 2, 1, 0),
    ]
    assert [row["bound_held"] for row in rows] == [True, None]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv"):
        read_stream(tmp_path / "none.csv")
