"""``forebay lab scheduling --calibrate``: a profile fitted to a real engine's log."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.markup import escape
from rich.table import Table

from .report import write_json
from .scheduling_logs import read_log
from .scheduling_profile import dump_profile

if TYPE_CHECKING:
    from rich.console import Console

    from .scheduling_profile import Profile
    from .scheduling_tools import Calibrated, SchedulingTools

_SHOWN: Final = ("step_s", "prefill_s", "decode_s", "kv_s", "max_num_seqs", "kv_tokens")


def calibrate(tools: SchedulingTools, log: Path, shape: str, target: Path | None, console: Console) -> Profile:
    """Fit a profile to a log, print how well one half of it tells the other, write it and return it.

    Args:
        shape: what the log does not say of the engine.
        target: the file to write, None for one named after the log in the current folder.

    Raises:
        ProfileError: the log cannot be read, or says too little.
    """
    found = read_log(log, shape)
    for guess in found.guessed:
        console.print(f"not in {log.name}: {guess}; --shape says otherwise", markup=False, soft_wrap=True)
    console.print("fitting: each half by itself, then the whole; a minute or two", style="dim")
    fitted = tools.calibrate(found.stays, found.engine)
    _show(console, log.name, len(found.stays), fitted)
    path = target or Path(f"{fitted.profile.name}.profile.json")
    write_json(path, dump_profile(fitted.profile, log.name))
    console.print(f"written: {path}", markup=False, soft_wrap=True)
    console.print()
    return fitted.profile


def _show(console: Console, log: str, count: int, fitted: Calibrated) -> None:
    table = Table(
        title=escape(f"{log}, {count} requests"), title_justify="left", header_style="bold", pad_edge=False, box=None
    )
    for head in ("fitted on → told", "metric", "mean, s", "simulated", "off by", "median error", "p90"):
        table.add_column(head, justify="left" if head in ("fitted on → told", "metric") else "right", no_wrap=True)
    for name, every in fitted.halves:
        for at, told in enumerate(every):
            median, p90 = np.quantile(told.errors, (0.5, 0.9)).tolist()
            table.add_row(
                "" if at else name,
                told.metric.upper(),
                f"{told.was_s:.4g}",
                f"{told.said_s:.4g}",
                f"{told.said_s / told.was_s - 1:+.1%}",
                f"{median:.1%}",
                f"{p90:.1%}",
            )
    console.print(table)
    values = asdict(fitted.profile)
    console.print(
        "profile: "
        + ", ".join(
            f"{name} {values[name]:.4g}" if isinstance(values[name], float) else f"{name} {values[name]}"
            for name in _SHOWN
        ),
        markup=False,
    )
