"""What all pictures of the lab have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COLOURS: Final = ("#1b6ca8", "#d1495b", "#6b7a8f", "#b8860b")
INCHES: Final = (11.0, 4.8)
_DPI: Final = 150


def new_figure(inches: tuple[float, float] = INCHES) -> Any:
    """Return an empty figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("lab", module="matplotlib", extra="lab") from error
    made: Any = Figure(figsize=inches)
    return made


def plain(every: Iterable[Any]) -> None:
    """Give axes a pale grid behind what is drawn, and no frame above and to the right."""
    for axes in every:
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG."""
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)
