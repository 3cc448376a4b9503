"""What the lab of scheduling works with: records, and what a plugin hands in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ...middleware.analysis.facts import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...middleware.admission.protocols import Limit, Ordering, Shedding
    from ...middleware.admission.tickets import Objective
    from ...middleware.records import JsonObject
    from .length import LengthTools
    from .scheduling_profile import Profile, Stayed


@dataclass(frozen=True, slots=True)
class Row:
    """A request of a trace; tokens are at least 1.

    Attributes:
        at_s: when it came; the first of a trace at 0.
        deadline_s: after its arrival, when its caller gives up.
        prefix: names of the prompt's first blocks, each of all that lies before its end.
        messages: the prompt, where the trace has it.
    """

    at_s: float
    prompt: int
    output: int
    tenant: str = ""
    model: str = ""
    priority: Priority = Priority.STANDARD
    deadline_s: float | None = None
    prefix: tuple[int, ...] = ()
    messages: Sequence[JsonObject] = ()


@dataclass(frozen=True, slots=True)
class Requests:
    """A trace to replay.

    Attributes:
        name: of the file, without folders.
        rows: in the order of arrival.
        block: tokens of a block of `Row.prefix`, None where no row has one.
    """

    name: str
    rows: Sequence[Row]
    block: int | None = None


class Course(Protocol):
    """What became of a request; times in seconds, None where it never came to that."""

    @property
    def arrival_s(self) -> float:
        """It came."""
        ...

    @property
    def output(self) -> int:
        """Its tokens."""
        ...

    @property
    def preempted(self) -> int:
        """How often it lost its KV cache."""
        ...

    @property
    def ended_s(self) -> float | None:
        """Its last token."""
        ...

    @property
    def entered_s(self) -> float | None:
        """It was let in."""
        ...

    @property
    def ttft_s(self) -> float | None:
        """From arrival to the first token."""
        ...

    @property
    def tpot_s(self) -> float | None:
        """Time of each token after the first."""
        ...

    @property
    def e2e_s(self) -> float | None:
        """From arrival to the last token."""
        ...


class Played(Protocol):
    """What became of all."""

    @property
    def courses(self) -> Sequence[Course]:
        """One a request."""
        ...

    @property
    def refused(self) -> Mapping[int, str]:
        """Why each that was refused was, by its number."""
        ...

    @property
    def seconds(self) -> float:
        """Simulated."""
        ...

    @property
    def running(self) -> float:
        """Sequences inside the engines over their places, on average."""
        ...

    @property
    def kv_use(self) -> float | None:
        """Share of the KV cache in use, on average; None where it does not bind."""
        ...

    @property
    def starved_s(self) -> float:
        """Engines stood idle while a queue held somebody back."""
        ...

    @property
    def prefix_hit(self) -> float:
        """Share of prompt tokens found in the prefix cache."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What stands in front of the engines.

    Attributes:
        make: makes the policies of one queue; None: nothing stands there.
        max_queue, timeout_s: of each queue; None and infinite for no bound.
    """

    make: Callable[[], tuple[Ordering, Limit, Shedding | None]] | None = None
    engines: int = 1
    processes: int = 1
    max_queue: int | None = None
    timeout_s: float = math.inf
    objectives: Mapping[Priority, Objective] = field(default_factory=dict[Priority, "Objective"])


class Play(Protocol):
    """Simulates."""

    def __call__(
        self, rows: Sequence[Row], said: Sequence[tuple[float, float]], profile: Profile, setup: Setup
    ) -> Played:
        """Run requests until nothing is left to do.

        Args:
            said: of each, the median and 90% quantile of its output tokens as they were predicted.
        """
        ...


class Told(Protocol):
    """What a simulation said of one metric of some requests."""

    @property
    def metric(self) -> str:
        """``ttft``, ``tpot`` or ``e2e``."""
        ...

    @property
    def said_s(self) -> float:
        """The simulated mean."""
        ...

    @property
    def was_s(self) -> float:
        """The measured mean."""
        ...

    @property
    def errors(self) -> Sequence[float]:
        """Relative errors, one a request."""
        ...


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A profile fitted to a log.

    Attributes:
        halves: fitted on one half of the log, what was said of the other: a name and the metrics, for each way round.
    """

    profile: Profile
    halves: Sequence[tuple[str, Sequence[Told]]]


@dataclass(frozen=True, slots=True)
class SchedulingTools:
    """What the lab of scheduling uses.

    Attributes:
        play: simulates.
        calibrate: fits a profile to what became of requests; the given one says what is known of the engine.
        length: predicts answers' lengths from prompts.
    """

    play: Play
    calibrate: Callable[[Sequence[Stayed], Profile], Calibrated]
    length: LengthTools
