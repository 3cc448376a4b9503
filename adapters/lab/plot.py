"""The picture of an acceptance report: what each cut serves, and whether confidence means what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .figure import COLOURS, new_figure, plain, save
from .metrics import curve, reliability

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .report import Measured

_SHOWN_FPR: Final = 0.2


def draw(path: Path, title: str, same: Sequence[bool], measured: Sequence[Measured]) -> None:
    """Draw true against false hits of each policy with its shipped cut, and the reliability of the first.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure()
    left, right = figure.subplots(1, 2)
    positives = max(1, sum(same))
    negatives = max(1, len(same) - sum(same))
    for one, colour in zip(measured, COLOURS, strict=False):
        points = curve(one.scores, same)
        left.plot(
            [0.0, *(point.wrong / negatives for point in points)],
            [0.0, *(point.hits / positives for point in points)],
            color=colour,
            label=one.policy,
            linewidth=1.8,
            drawstyle="steps-post",
        )
        hits = sum(served and label for served, label in zip(one.served, same, strict=True))
        left.plot(
            [(sum(one.served) - hits) / negatives],
            [hits / positives],
            "o",
            color=colour,
            markersize=7,
            clip_on=False,
            zorder=4,
        )
    left.set_xlim(0, _SHOWN_FPR)
    left.set_ylim(0, 1)
    left.set_xlabel("false-hit rate (pairs that must not hit)")
    left.set_ylabel("true-hit rate")
    left.set_title("what a cut serves; dots: as configured", fontsize=10)
    left.legend(loc="lower right", fontsize=8, frameon=False)
    first = measured[0]
    bins = reliability(first.scores, same)
    right.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=1, linestyle="--")
    right.plot([each.confidence for each in bins], [each.share for each in bins], color=COLOURS[0], linewidth=1.8)
    most = max(each.count for each in bins)
    right.scatter(
        [each.confidence for each in bins],
        [each.share for each in bins],
        s=[30 + 220 * each.count / most for each in bins],
        color=COLOURS[0],
        zorder=3,
        clip_on=False,
    )
    for each in bins:
        above = each.share < 0.9  # noqa: PLR2004 - room for the number
        right.annotate(
            str(each.count),
            (each.confidence, each.share),
            xytext=(0, 11 if above else -19),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color="#444444",
        )
    right.set_xlim(0, 1.02)
    right.set_ylim(0, 1.04)
    right.set_xlabel(f"confidence of {first.policy}")
    right.set_ylabel("share that has the same answer")
    right.set_title("is it as sure as it says? (numbers: pairs)", fontsize=10)
    plain((left, right))
    figure.suptitle(title, fontsize=11)
    save(figure, path)
