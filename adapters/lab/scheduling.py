"""``forebay lab scheduling``: replay traces through the queue and policies of production, in front of simulated engines."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from ...middleware.admission.tickets import Objective
from ...middleware.analysis.facts import Priority
from ...middleware.config import Config
from ...middleware.errors import ConfigError, did_you_mean
from .report import ALL, as_json, write_json
from .scheduling_calibrate import calibrate
from .scheduling_lengths import TAU, noisy, predicted
from .scheduling_policies import find_policies, objectives_of, shipped
from .scheduling_profile import BUILT_IN, DEFAULT, find_profile, with_shape
from .scheduling_report import Drawn, Scene, collect, draw, rows_of, show, show_legend
from .scheduling_tools import Setup
from .scheduling_traces import read_requests
from .traces import UNITS, TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .scheduling_lengths import Said
    from .scheduling_policies import Contender
    from .scheduling_profile import Profile
    from .scheduling_tools import Course, Played, Requests, Row, SchedulingTools

COMMAND: Final = "lab scheduling"
OWN: Final = "own"
_RHOS: Final = "0.7,0.9"
_OBJECTIVE: Final = Objective(2.0, 0.05)
_LOADS: Final = 100.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay lab scheduling``."""
    made = argparse.ArgumentParser(
        prog="forebay lab scheduling",
        description="Replay traces of requests through forebay's queue and policies, in front of a simulated engine, beside the "
        "same engine without a queue (direct).",
        epilog="A trace is CSV or JSON lines (or .gz) with the time of each request, input_tokens and output_tokens, and perhaps "
        "tenant, model, priority, deadline_s, prompt or messages; Azure's, Mooncake's, VTC's and ServeGen's files are read as "
        "they are.",
    )
    made.add_argument("traces", nargs="*", type=Path, metavar="TRACE")
    made.add_argument(
        "--profile", default=DEFAULT, metavar="NAME|FILE", help=f"the engine: {', '.join(BUILT_IN)}, or a file"
    )
    made.add_argument("--shape", default="", metavar="K=V,K=V", help="other limits of it: max_num_seqs, kv_tokens, …")
    made.add_argument(
        "--rho", default=_RHOS, metavar="R,R", help=f"loads over what the engines can do, or 'own' ({_RHOS})"
    )
    made.add_argument("--rows", default="", metavar="A:B", help="of the trace by arrival, from A to before B")
    made.add_argument(
        "--policy",
        default="",
        metavar="NAME,NAME",
        help="ORDERING+LIMIT[+SHEDDING] with settings as :key=value, or a config file (what ships)",
    )
    made.add_argument(
        "--objective",
        action="append",
        default=[],
        metavar="[CLASS:]K=S,K=S",
        help="ttft, tpot and total in seconds (ttft=2,tpot=.05)",
    )
    made.add_argument(
        "--noise",
        type=float,
        metavar="TAU",
        help=f"predict the true length with noise, 1 for none ({TAU:g} without text)",
    )
    made.add_argument("--engines", type=int, default=1, metavar="N", help="engines behind them (1)")
    made.add_argument("--processes", type=int, default=1, metavar="M", help="forebay processes (1)")
    made.add_argument("--by", choices=("tenant", "class"), default="", help="also a row for each")
    made.add_argument("--unit", choices=sorted(UNITS), default="", help="of times that are numbers")
    made.add_argument("--lengths", type=Path, metavar="FILE", help="of ServeGen's tables, the quantiles of lengths")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of what is drawn (0)")
    made.add_argument("--calibrate", type=Path, metavar="LOG", help="fit a profile to an engine's log, and use it")
    made.add_argument("--save-profile", type=Path, metavar="FILE", help="where to write it (NAME.profile.json)")
    made.add_argument("--json", type=Path, metavar="FILE", dest="json_file", help="write the report as JSON")
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw goodput and waits (PNG)")
    return made


def run(tools: SchedulingTools, args: Sequence[str], console: Console | None = None) -> int:
    """Run the command and return its exit status.

    Raises:
        ForebayError: a trace, a log, a profile or a config cannot be read, or a policy is not known.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    out = console or Console()
    if not options.traces and options.calibrate is None:
        raise ConfigError("name a trace of requests to replay, or a log with --calibrate")
    if options.engines < 1 or options.processes < 1:
        raise ConfigError("--engines and --processes must be at least 1")
    loads = _loads(options.rho)
    chosen = _chosen(options.rows)
    if options.calibrate is not None:
        profile = calibrate(tools, options.calibrate, options.shape, options.save_profile, out)
    else:
        profile = with_shape(find_profile(options.profile), options.shape)
    rows: list[dict[str, Any]] = []
    drawn: list[Drawn] = []
    with tempfile.TemporaryDirectory() as folder:
        contenders = find_policies(options.policy or shipped(), Path(folder)) if options.traces else []
        objectives = _objectives(options.objective, contenders)
        for path in options.traces:
            requests = read_requests(path, unit=options.unit, rows=chosen, lengths=options.lengths, seed=options.seed)
            lab = Replays(tools, requests, profile, options.engines, options.processes)
            if lab.dropped:
                out.print(f"{path.name}: {lab.dropped} requests left out, longer than the KV cache of {profile.name}")
            drawn.append(Drawn(f"{requests.name}, {profile.name}"))
            for at, load in enumerate(loads, start=1):
                scene, made = _measure(lab, load, (contenders, objectives), options, drawn[-1])
                show(out, scene, made)
                rows += made
                if at == len(loads):
                    show_legend(out, scene)
    if drawn and options.plot is not None:
        draw(options.plot, drawn)
        out.print(f"drawn: {options.plot}", soft_wrap=True, markup=False)
    if options.json_file is not None and options.traces:
        write_json(options.json_file, as_json(COMMAND, rows))
    return 0


class Replays:
    """A trace and an engine, and what they give together.

    Args:
        requests: those that could never fit into the engine's KV cache are left out.

    Attributes:
        rows: the others, the first at 0.
        dropped: how many were left out.
        saturation: requests a second that the engines get through when all come at once.

    Raises:
        TraceError: no request fits, or they all come at the same time.
    """

    def __init__(
        self, tools: SchedulingTools, requests: Requests, profile: Profile, engines: int = 1, processes: int = 1
    ) -> None:
        self.tools, self.name, self.engines, self.processes = tools, requests.name, engines, processes
        # the blocks that prompts share are the trace's: the engine's are taken to be as large
        shares = requests.block is not None and profile.prefix_cache
        self.profile = replace(profile, block_size=requests.block) if requests.block and shares else profile
        room = self.profile.kv_tokens
        block = self.profile.block_size
        fits = [row for row in requests.rows if room is None or -(-(row.prompt + row.output) // block) <= room // block]
        self.dropped = len(requests.rows) - len(fits)
        if len(fits) < 2 or fits[-1].at_s <= fits[0].at_s:  # noqa: PLR2004
            raise TraceError(
                f"{self.name}: at least two requests that fit into the engine and come one after the other are needed"
            )
        self.rows = [row if shares else replace(row, prefix=()) for row in fits] if requests.block else fits
        self._span_s = fits[-1].at_s - fits[0].at_s
        at_once = [replace(row, at_s=0.0) for row in self.rows]
        self.saturation = len(fits) / tools.play(at_once, _nothing(at_once), self.profile, self._setup()).seconds

    def rate(self, rho: float | None) -> float:
        """Return the requests a second of a load, of the trace's own for None."""
        return len(self.rows) / self._span_s if rho is None else rho * self.saturation

    def at_rate(self, rate: float) -> list[Row]:
        """Return the requests, their times stretched so that as many come in a second."""
        stretch = len(self.rows) / self._span_s / rate
        start_s = self.rows[0].at_s
        return [replace(row, at_s=(row.at_s - start_s) * stretch) for row in self.rows]

    def direct(self, rows: Sequence[Row]) -> Sequence[Course]:
        """Return what becomes of requests with nothing in front of the engines."""
        return self.tools.play(rows, _nothing(rows), self.profile, self._setup()).courses

    def play(
        self,
        rows: Sequence[Row],
        said: Sequence[Said],
        contender: Contender,
        objectives: Mapping[Priority, Objective],
    ) -> Played:
        """Return what becomes of requests behind some policies."""
        setup = replace(
            self._setup(),
            make=contender.make,
            max_queue=contender.max_queue,
            timeout_s=contender.timeout_s,
            objectives=objectives,
        )
        return self.tools.play(rows, said, self.profile, setup)

    def _setup(self) -> Setup:
        return Setup(engines=self.engines, processes=self.processes)


def _measure(
    lab: Replays,
    load: float | None,
    against: tuple[Sequence[Contender], Mapping[Priority, Objective]],
    options: argparse.Namespace,
    drawn: Drawn,
) -> tuple[Scene, list[dict[str, Any]]]:
    contenders, objectives = against
    rate = lab.rate(load)
    rows = lab.at_rate(rate)
    reads = options.noise is None and any(row.messages for row in rows)
    tau = TAU if options.noise is None else options.noise
    said = predicted(lab.tools.length, rows, lab.direct(rows)) if reads else noisy(rows, tau, options.seed)
    scene = Scene(
        lab.name,
        f"{_chosen(options.rows)[0]}:{_chosen(options.rows)[0] + len(rows) + lab.dropped}",
        rows,
        lab.profile.name,
        rate / lab.saturation,
        rate,
        "the shipped predictor" if reads else f"true with noise, tau {tau:g}" if tau < 1 else "true",
        objectives,
        lab.profile.kv_tokens,
        lab.engines,
        lab.processes,
    )
    made: list[dict[str, Any]] = []
    for contender in contenders:
        played = lab.play(rows, said, contender, objectives)
        found = rows_of(scene, contender.name, played, options.by)
        collect(drawn, scene, contender.name, played, next(row["goodput"] for row in found if row["tenant"] == ALL))
        made += found
    return scene, made


def _nothing(rows: Sequence[Row]) -> list[Said]:
    return [(0.0, 0.0)] * len(rows)


def _loads(words: str) -> list[float | None]:
    try:
        loads = [None if word.strip() == OWN else float(word) for word in words.split(",")]
    except ValueError:
        loads = []
    if not loads or not all(load is None or 0 < load <= _LOADS for load in loads):
        raise ConfigError(
            "--rho must be loads above 0 with commas between them, such as 0.7,0.9, or 'own' for the trace's own times"
        )
    return loads


def _chosen(words: str) -> tuple[int, int | None]:
    if not words:
        return 0, None
    first, colon, last = words.partition(":")
    try:
        chosen = int(first or 0), int(last) if last else None
    except ValueError:
        chosen = -1, None
    if not colon or chosen[0] < 0 or (chosen[1] is not None and chosen[1] <= chosen[0]):
        raise ConfigError("--rows must be A:B, from row A (0 is the first) to before row B, such as 0:4000")
    return chosen


def _objectives(words: Sequence[str], contenders: Sequence[Contender]) -> dict[Priority, Objective]:
    """Return the objectives as given; else a config file's; else one for all streams, and the defaults of batches."""
    files = [contender.objectives for contender in contenders if contender.objectives is not None]
    shipped_ones = objectives_of(Config())
    given = dict.fromkeys((Priority.INTERACTIVE, Priority.STANDARD), _OBJECTIVE)
    found = dict(files[0]) if files and not words else {**shipped_ones, **given}
    for word in words:
        name, colon, rest = word.rpartition(":")
        if colon and name not in list(Priority):
            raise ConfigError(
                f"--objective: there is no class {name!r}.{did_you_mean(name, [each.value for each in Priority])}"
            )
        objective = _objective(rest)
        found.update(dict.fromkeys([Priority(name)] if colon else list(given), objective))
    return found


def _objective(words: str) -> Objective:
    values: dict[str, float] = {}
    for word in words.split(","):
        key, _, value = word.partition("=")
        try:
            values[key] = float(value)
        except ValueError:
            values[key] = 0.0
        if key not in ("ttft", "tpot", "total") or not values[key] > 0:
            raise ConfigError("--objective must be seconds by name, such as ttft=2,tpot=.05 or batch:total=120")
    return Objective(values.get("ttft"), values.get("tpot"), values.get("total"))
