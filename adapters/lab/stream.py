"""Replays a stream of labelled questions through an acceptance policy, as a cache would see it.

Each question is compared with the nearest of those kept before. A hit is right where both have the same label. What
isn't served is computed and kept. An audited policy draws its audits, and learns the label's verdict at once; a served
hit that an audit found right is kept, too, as the middleware promotes it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import ConfigError
from ...middleware.protocols import Audited
from ...middleware.records import Answer, Asked, Audit, Candidate, Entry, Key
from .judging import embed_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ...middleware.protocols import Acceptance, Embedder
    from ...middleware.records import Vector

FLOOR: Final = 0.6
"""Below this cosine nothing counts as a neighbour."""
SETTLED: Final = 100
"""Hits after which the share of wrong ones is looked at all the time: among fewer, chance decides."""
_CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question and what it is about; two about the same may share an answer."""

    text: str
    category: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay.

    Attributes:
        hits: served ones.
        audits: decisions that the policy had judged, of hits and of what would have been hits.
        served_audits: those of hits; each would have cost a call of the engine.
        first_hit: requests up to the first hit, that one included; None where there was none.
        worst_share: the largest share of wrong hits among hits, at any time from the `SETTLED`-th hit on.
    """

    requests: int
    hits: int
    wrong_hits: int
    audits: int
    served_audits: int
    first_hit: int | None
    worst_share: float

    def held(self, delta: float) -> bool:
        """Return whether at most this share of the hits was wrong."""
        return self.wrong_hits <= delta * self.hits

    def row(self, file: str, policy: str, delta: float | None) -> dict[str, object]:
        """Return the report's row; without a delta nothing was promised."""
        return {
            "file": file,
            "policy": policy,
            "delta": delta,
            "requests": self.requests,
            "hits": self.hits,
            "wrong_hits": self.wrong_hits,
            "audits": self.audits,
            "bound_held": None if delta is None else self.held(delta),
            "served_audits": self.served_audits,
            "first_hit": self.first_hit,
        }


class Neighbours:
    """For each of some unit vectors the others that are near, nearest first. Takes time and memory once.

    Args:
        vectors: n unit vectors of one length.
        floor: the lowest cosine of a neighbour.

    Raises:
        ImportError: numpy is not installed.
    """

    def __init__(self, vectors: Sequence[Vector], *, floor: float = FLOOR) -> None:
        import numpy as np

        numpy: Any = np  # untyped here and nowhere else
        matrix = numpy.asarray(vectors, dtype=numpy.float32)
        self._near: list[tuple[list[int], list[float]]] = []
        for start in range(0, len(matrix), _CHUNK):
            cosines = matrix[start : start + _CHUNK] @ matrix.T
            for at, row in enumerate(cosines, start):
                row[at] = -1.0
                close = numpy.flatnonzero(row >= floor)
                order = close[numpy.argsort(-row[close], kind="stable")]
                self._near.append((order.tolist(), row[order].tolist()))

    def of(self, at: int, kept: Sequence[bool]) -> Iterable[tuple[int, float]]:
        """Yield index and cosine of those that are kept, nearest first."""
        others, cosines = self._near[at]
        return ((other, cosine) for other, cosine in zip(others, cosines, strict=True) if kept[other])


def read_stream(path: Path) -> list[Labelled]:
    """Read a CSV file with the columns ``text`` and ``category``, in order.

    Raises:
        ConfigError: it cannot be read, or a column is missing.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if not {"text", "category"} <= set(rows.fieldnames or ()):
                raise ConfigError("a stream is a CSV file with the columns text and category", source=path.name)
            return [Labelled(row["text"] or "", row["category"] or "") for row in rows]
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror}); name another file", source=path.name) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text; convert it", source=path.name) from None


async def replay_files(
    files: Sequence[Path],
    embedder: Embedder,
    policies: Mapping[str, tuple[float | None, Callable[[], Acceptance]]],
) -> list[dict[str, object]]:
    """Return the report's rows: each file, in its order, through each policy.

    Args:
        embedder: is started and stopped.
        policies: by name, the share of wrong hits that each promises, if it does, and what makes it anew.

    Raises:
        ConfigError: a file cannot be read.
        EmbedderError: the model failed.
    """
    streams = [(path.name, read_stream(path)) for path in files]
    vectors = await embed_all(embedder, list(dict.fromkeys(row.text for _, rows in streams for row in rows)))
    made: list[dict[str, object]] = []
    for name, rows in streams:
        stream = Stream(rows, Neighbours([vectors[row.text] for row in rows]))
        made += [stream.replay(make()).row(name, policy, delta) for policy, (delta, make) in policies.items()]
    return made


class Stream:
    """Labelled questions, ready to be replayed as often as one likes.

    Args:
        judged: how many of the nearest candidates a policy judges for a request at most.
    """

    def __init__(self, rows: Sequence[Labelled], neighbours: Neighbours, *, judged: int = 1) -> None:
        self._labels = [row.category for row in rows]
        self._asked = [Asked(Key(scope="", context="", exact=str(at), text=row.text)) for at, row in enumerate(rows)]
        answer = Answer({})
        self._entries = [Entry(str(at), "", "", row.text, answer, "", "", 0.0, 0.0) for at, row in enumerate(rows)]
        self._neighbours = neighbours
        self._judged = judged

    def replay(self, acceptance: Acceptance, *, order: Iterable[int] | None = None, seed: int = 0) -> Replay:
        """Ask all questions once.

        Args:
            order: their indices; as they came where it is None.
            seed: of the draws of audits.
        """
        audited = acceptance if isinstance(acceptance, Audited) else None
        draws = Random(seed)  # noqa: S311 - a sample, not a secret
        kept = [False] * len(self._asked)
        requests = hits = wrong_hits = audits = served_audits = 0
        first_hit: int | None = None
        worst = 0.0
        for at in range(len(self._asked)) if order is None else order:
            requests += 1
            asked = self._asked[at]
            found = [
                (acceptance.judge(asked, Candidate(self._entries[other], cosine)), other)
                for other, cosine in islice(self._neighbours.of(at, kept), self._judged)
            ]
            if not found:
                kept[at] = True
                continue
            verdict, other = max(found, key=lambda pair: (pair[0].accepted, pair[0].accepted and pair[0].proven))
            same = self._labels[at] == self._labels[other]
            served = verdict.accepted and verdict.proven
            if served:
                hits += 1
                wrong_hits += not same
                first_hit = first_hit or requests
                if hits >= SETTLED:
                    worst = max(worst, wrong_hits / hits)
            else:
                kept[at] = True
            share = audited.share(asked, verdict) if audited is not None else 0.0
            if audited is not None and draws.random() < share:
                audits += 1
                served_audits += served
                kept[at] = kept[at] or same
                audited.learn(Audit(asked, verdict, same, share, served=served))
        return Replay(requests, hits, wrong_hits, audits, served_audits, first_hit, worst)
