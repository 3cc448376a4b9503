"""``forebay lab``: measure policies on one's own data before and after trusting them with traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console

from ...middleware.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_USAGE_ERROR: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the lab.

    Attributes:
        help: one line.
        run: with the words after its name and where to print; returns the exit status.
    """

    help: str
    run: Callable[[Sequence[str], Console | None], int]


def usage(parts: Mapping[str, Part]) -> str:
    """Return what ``forebay lab --help`` prints."""
    width = max(map(len, parts))
    lines = "".join(f"  {name:<{width}}   {part.help}\n" for name, part in parts.items())
    return f"usage: forebay lab PART [-h] …\n\nparts:\n{lines}"


def run(parts: Mapping[str, Part], args: Sequence[str], console: Console | None = None) -> int:
    """Run the part of the lab that the first word names; return the exit status."""
    out = console or Console()
    name, rest = (args[0], args[1:]) if args else ("", ())
    if name in parts:
        return parts[name].run(rest, console)
    if name not in ("", "-h", "--help"):
        out.print(f"error: there is no part {name!r} of the lab.{did_you_mean(name, list(parts))}", markup=False)
        return _USAGE_ERROR
    out.print(usage(parts), markup=False, end="")
    return 0
