"""``forebay lab``: measure policies on one's own data before and after trusting them with traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console

from ...middleware.errors import did_you_mean
from . import acceptance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .tools import Tools

USAGE: Final = """usage: forebay lab PART [-h] …

parts:
  acceptance   which labelled pairs of questions share an answer, and who gets it right
"""
_USAGE_ERROR: Final = 2


def run(tools: Callable[[], Tools], args: Sequence[str], console: Console | None = None) -> int:
    """Run the part of the lab that the first word names; return the exit status.

    Args:
        tools: made only where they are needed.
    """
    out = console or Console()
    name, rest = (args[0], args[1:]) if args else ("", ())
    if name == "acceptance":
        return acceptance.run(tools(), rest, console)
    if name not in ("", "-h", "--help"):
        out.print(f"error: there is no part {name!r} of the lab.{did_you_mean(name, ['acceptance'])}", markup=False)
        return _USAGE_ERROR
    out.print(USAGE, markup=False, end="")
    return 0
