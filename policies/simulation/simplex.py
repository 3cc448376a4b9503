"""Nelder and Mead's simplex: no dependency, no randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Point = list[float]


def minimise(loss: Callable[[Point], float], start: Sequence[float], step: float, rounds: int = 250) -> Point:
    """Return the best point found from a start, with steps of one size along each axis."""
    corners = [list(start)]
    for axis in range(len(start)):
        corner = list(start)
        corner[axis] += step
        corners.append(corner)
    simplex = sorted((loss(corner), corner) for corner in corners)
    for _ in range(rounds):
        worst_loss, worst = simplex[-1]
        centre = [sum(values) / len(start) for values in zip(*(corner for _, corner in simplex[:-1]), strict=True)]

        def along(share: float, centre: Point = centre, worst: Point = worst) -> tuple[float, Point]:
            point = [middle + share * (bad - middle) for middle, bad in zip(centre, worst, strict=True)]
            return loss(point), point

        new = along(-1)
        if new[0] < simplex[0][0]:
            new = min(new, along(-2))
        elif new[0] >= simplex[-2][0]:
            new = min(new, along(0.5 if new[0] >= worst_loss else -0.5))
        if new[0] < worst_loss:
            simplex[-1] = new
        else:
            best = simplex[0][1]
            halves = ([(near + far) / 2 for near, far in zip(best, corner, strict=True)] for _, corner in simplex[1:])
            simplex[1:] = [(loss(half), half) for half in halves]
        simplex.sort()
    return simplex[0][1]
