"""The built-in command ``forebay lab``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..middleware.hookspecs import hookimpl
from ..middleware.registry import COMMAND, Build, NoSettings, Registrar
from ..policies.acceptance.calibrated import CalibratedAcceptance
from ..policies.acceptance.features import NAMES, SIGNS, compare
from ..policies.acceptance.model import AcceptanceModel, dump_model
from ..policies.acceptance.threshold import ThresholdAcceptance
from ..policies.acceptance.verified import VerifiedAcceptance
from ..policies.acceptance.words import read
from ..policies.analysis.basic import BasicAnalyzer
from ..policies.context.reading import ContextualReading
from ..policies.fingerprint.predictor import FingerprintPredictor
from ..policies.profile.classifier import ProfileClassifier
from ..policies.work.law import Law, Shape
from .acceptance import lexis, model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from ..adapters.lab.command import Part
    from ..adapters.lab.eviction import EvictionTools
    from ..adapters.lab.length import LengthTools
    from ..adapters.lab.scheduling_profile import Profile, Stayed
    from ..adapters.lab.scheduling_tools import Calibrated, Played, Row, SchedulingTools, Setup
    from ..adapters.lab.tools import Tools
    from ..middleware.protocols import Acceptance, Command, Embedder
    from ..middleware.records import JsonObject


class _Lab:
    @property
    def help(self) -> str:
        return "Measure policies on your own data: shared answers, lengths of answers, load, eviction, scheduling."

    def run(self, args: Sequence[str]) -> int:
        from ..adapters.lab.command import run

        return run(parts(), args)


def parts() -> Mapping[str, Part]:
    """Return the parts of the lab by name; each imports what it needs when it is run."""
    from ..adapters.lab.command import Part

    return {
        "acceptance": Part("which labelled pairs of questions share an answer, and who gets it right", _acceptance),
        "length": Part("how well the length of answers is predicted", _length),
        "forecast": Part("how well the load of the next seconds is predicted", _forecast),
        "eviction": Part("what each eviction policy would save of your own requests", _eviction),
        "scheduling": Part(
            "what each queue policy does for your own traffic, in front of a simulated engine", _scheduling
        ),
    }


def _acceptance(args: Sequence[str], console: Console | None) -> int:
    from ..adapters.lab.acceptance import run

    return run(tools(), args, console)


def _length(args: Sequence[str], console: Console | None) -> int:
    from ..adapters.lab.length import run

    return run(_length_tools(), args, console)


def _length_tools() -> LengthTools:
    from ..adapters.lab.length import LengthTools
    from ..policies.length.predictor import LengthPredictor

    return LengthTools(
        predictor=LengthPredictor,
        embedder=_embedder,
        analyzer=BasicAnalyzer,
        classifiers=lambda: (ProfileClassifier(),),
        fingerprint=lambda: FingerprintPredictor(b"the lab's own"),
    )


def _forecast(args: Sequence[str], console: Console | None) -> int:
    from ..adapters.lab.forecast import run
    from .forecast import tools as forecast_tools

    return run(forecast_tools(), args, console)


def _eviction(args: Sequence[str], console: Console | None) -> int:
    from ..adapters.lab.eviction import run

    return run(eviction_tools(), args, console)


def eviction_tools() -> EvictionTools:
    """Return what ``forebay lab eviction`` works with: every policy that the cache can be told to use, and two of their variants."""
    from ..adapters.lab.eviction import EvictionTools
    from ..policies.eviction.adaptive import CANDIDATES, Adaptive
    from ..policies.eviction.wtinylfu import WTinyLFU

    return EvictionTools(
        {
            "adaptive": Adaptive,
            **{name: make for name, make in CANDIDATES.items() if name != "wtinylfu"},
            "wtinylfu": WTinyLFU,
            "wtinylfu by cost": CANDIDATES["wtinylfu"],
        }
    )


def _scheduling(args: Sequence[str], console: Console | None) -> int:
    from ..adapters.lab.scheduling import run

    return run(scheduling_tools(), args, console)


def scheduling_tools() -> SchedulingTools:
    """Return what ``forebay lab scheduling`` works with: the simulator, and the shipped predictor of lengths."""
    from ..adapters.lab.scheduling_tools import SchedulingTools

    return SchedulingTools(play=_play, calibrate=_calibrate, length=_length_tools())


def _play(rows: Sequence[Row], said: Sequence[tuple[float, float]], profile: Profile, setup: Setup) -> Played:
    from ..policies.simulation.replay import Asked, Front, replay

    asked = [
        Asked(row.at_s, row.prompt, row.output, row.prefix, median, q90, row.tenant, row.priority, row.deadline_s)
        for row, (median, q90) in zip(rows, said, strict=True)
    ]
    front = Front(
        setup.make,
        setup.engines,
        setup.processes,
        setup.max_queue,
        setup.timeout_s,
        objectives=setup.objectives,
    )
    return replay(asked, Law(profile.step_s, profile.prefill_s, profile.decode_s, profile.kv_s), _shape(profile), front)


def _calibrate(stayed: Sequence[Stayed], profile: Profile) -> Calibrated:
    from ..adapters.lab.scheduling_tools import Calibrated
    from ..policies.simulation.calibration import calibrate, halves
    from ..policies.work.ledger import Stay

    stays = [Stay(one.entered_s, one.first_s, one.ended_s, one.prompt, one.output) for one in stayed]
    shape = _shape(profile)
    fitted = calibrate(stays, shape)
    step_s, prefill_s, decode_s, kv_s = fitted.law.coefficients
    made = replace(
        profile,
        step_s=step_s,
        prefill_s=prefill_s,
        decode_s=decode_s,
        kv_s=kv_s,
        kv_tokens=fitted.shape.kv_tokens,
    )
    return Calibrated(made, [(name, told) for name, _, told in halves(stays, shape)])


def _shape(profile: Profile) -> Shape:
    return Shape(
        profile.max_num_seqs,
        profile.kv_tokens,
        profile.max_num_batched_tokens,
        profile.block_size,
        profile.prefix_cache,
        profile.scheduled_ahead,
    )


def tools() -> Tools:
    """Return what the lab works with: the shipped policies, and MiniLM."""
    from ..adapters.lab.tools import Contender, Evidence, Tools

    shipped = model()
    return Tools(
        embedder=_embedder,
        reader=ContextualReading(),
        contenders={
            "calibrated": Contender(CalibratedAcceptance(shipped, lexis()), CalibratedAcceptance(shipped, lexis())),
            "threshold": Contender(ThresholdAcceptance(), ThresholdAcceptance(threshold=-1.0)),
        },
        evidence=Evidence(names=NAMES, signs=SIGNS, compare=_compare, model=_model),
        streamed=_streamed,
    )


def _streamed(delta: float) -> Mapping[str, tuple[float | None, Callable[[], Acceptance]]]:
    shipped = CalibratedAcceptance(model(), lexis())
    return {
        "calibrated": (None, lambda: shipped),
        # labels overlook nothing
        f"verified {delta:g}": (delta, lambda: VerifiedAcceptance(shipped, delta=delta, sensitivity=1.0)),
        "threshold": (None, ThresholdAcceptance),
    }


def _embedder() -> Embedder:
    from ..adapters.embedders.minilm import MiniLMEmbedder

    return MiniLMEmbedder(threads=2, memo=0)


def _compare(left: str, right: str) -> tuple[Sequence[float], str | None]:
    return compare(read(left), read(right), lexis())


def _model(
    *,
    embedder: str,
    bias: float,
    knots: Sequence[float],
    slopes: Sequence[float],
    weights: Sequence[float],
    cut: float,
    vetoed: float,
) -> tuple[JsonObject, Acceptance]:
    made = AcceptanceModel(embedder, bias, tuple(knots), tuple(slopes), tuple(weights), cut, vetoed)
    return dump_model(made, {}), CalibratedAcceptance(made, lexis())


def _make_lab(settings: NoSettings, build: Build) -> Command:  # noqa: ARG001
    return _Lab()


@hookimpl
def register_components(registry: Registrar) -> None:
    """Register "lab"."""
    registry.add(COMMAND, "lab", _make_lab, settings=NoSettings, extra="lab")
