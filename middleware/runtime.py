"""The runtime: builds what the config names, starts it, hands out the pipeline, stops it.

Starting fails only on what the operator can act on before traffic comes: a wrong setting, an unknown plugin,
a missing extra. A store or embedder that is down at start is reported and retried; requests go on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from . import registry as kinds
from .admission.lanes import Lanes, Policies
from .analysis.build import build_analysis
from .analyze import AnalyzeStop
from .audits import Auditor
from .background import BackgroundCaller, BackgroundEngine
from .breaker import Breaker
from .epochs import Epochs
from .errors import ConfigError, PluginError
from .events import Check, Health, Started
from .explain import Explainer
from .invalidation import Disowning
from .keeper import Keeper
from .keys import Keyring
from .lookup import LookupStop
from .modes import Modes
from .narrow import is_array
from .observers import ObserverCaller
from .pipeline import Pipeline, Stops
from .plugin_manager import PluginManager
from .protocols import Audited, Component
from .records import Mode
from .refresh import Refresher
from .refused import RefusedPairs
from .registry import Build
from .savings import Savings
from .settle import SettleStop
from .shared_twins import SharedTwins
from .similar import SemanticTier
from .state import StateStore
from .telemetry import Telemetry
from .twins import Twins
from .version import __version__
from .workers import Workers, findings, keeps_house

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .admission.protocols import Placement
    from .config import Config, Spec
    from .protocols import Embedder, Engine, Exporter, Judge
    from .records import Answer, Request

log = logging.getLogger(__name__)
T = TypeVar("T")
READ_DEADLINE_S: Final = 0.25
CLOSE_DEADLINE_S: Final = 5.0
"""For each part: one that hangs must not hold a shutdown up."""


class Runtime:
    """Everything one process runs.

    Args:
        config: validated settings.
        plugins: loaded plugins; the installed ones that the config names by default.
        serves: False for a command that only looks: it does not count as a worker.

    Raises:
        ConfigError, PluginError: something the config names cannot be built.
    """

    def __init__(self, config: Config, plugins: PluginManager | None = None, *, serves: bool = True) -> None:
        self.config = config
        self.plugins = plugins or PluginManager.from_entry_points(config.plugins)
        self.state_dir = prepare_state_dir(config.state_dir)
        secret = config.secret
        self.keyring = Keyring.from_secret(secret) if secret else Keyring.from_state_dir(self.state_dir)
        self.telemetry = Telemetry(
            enabled=config.telemetry.enabled, trust_inbound=config.telemetry.trust_inbound_traceparent
        )
        self.state = StateStore(self.state_dir / "state.db")
        self.epochs = Epochs(self.state)
        self.plugins.register(Explainer(self.state, self.keyring), "explain")
        self.plugins.register(Savings(self.state), "savings")
        self.observers = ObserverCaller(self.plugins.observers(), telemetry=self.telemetry)
        self.modes = Modes(config, self.state_dir)
        self._build = Build(self.state_dir, self.keyring, self.telemetry, serves=serves)
        self._parts: list[Component] = []
        self.coordination = self._make(kinds.COORDINATION, config.coordination, "coordination")
        self._last_to_stop = list(self._parts)
        self.embedder = self._embedder()
        dimension = self.embedder.dimension if self.embedder is not None else 0
        self._build = Build(self.state_dir, self.keyring, self.telemetry, dimension, serves)
        self.engine: Engine | None = (
            self._make(kinds.ENGINE, config.engine, "engine") if config.engine is not None else None
        )
        hosts = (config.litellm.billed_to, config.front.background_api_key)
        self._calls_behind = self.engine is not None or any(key is not None for key in hosts)
        behind = BackgroundEngine(lambda: self.background)
        self._build = replace(self._build, embedder=self.embedder, engine=behind if self._calls_behind else None)
        self._exporter: Exporter | None = (
            self._make(kinds.EXPORTER, config.telemetry.exporter, "telemetry.exporter")
            if config.telemetry.exporter is not None
            else None
        )
        self.keeper = Keeper(
            self._make(kinds.STORE, config.store, "store"),
            self._make(kinds.EVICTION, config.eviction, "eviction"),
            Breaker("store", self.telemetry),
            state=self.state,
            read_deadline_s=min(READ_DEADLINE_S, config.cache.lookup_deadline_ms / 1000),
            keeps_house=lambda: keeps_house(self.coordination),
            epochs=self.epochs,
        )
        shares = self.coordination.roster().shareable
        self._twins = SharedTwins(self.coordination, self.keyring, self.keeper.forgotten) if shares else Twins()
        self._lanes = Lanes(
            self._policies,
            max_queue=config.admission.max_queue,
            coordination=self.coordination,
            name=lambda lane: f"lane:{self.keyring.digest('lane', lane)[:32]}",
        )
        self.telemetry.observe(self._lanes.readings)
        self.workers = Workers(
            self.coordination, self.keeper, self._twins, self._lanes, store=config.store.type, epochs=self.epochs
        )
        self.coordination.hear(self.workers)
        self.background: BackgroundCaller | None = None
        self.acceptance = self._make(kinds.ACCEPTANCE, config.acceptance, "acceptance")
        self.refused = RefusedPairs(self.state)
        self._checks = [
            self._make(kinds.ANSWER_CHECK, spec, f"answer_checks.{index}")
            for index, spec in enumerate(config.answer_checks)
        ]
        judge = self._judge()
        self.auditor = Auditor(
            acceptance=self.acceptance,
            judge=judge,
            caller=lambda: self.background,
            keeper=self.keeper,
            refused=self.refused,
            state=self.state,
            config=config.audits,
            telemetry=self.telemetry,
            made_with={
                "embedder": self.embedder.model_id if self.embedder is not None else "",
                "judge": config.judge.model_dump_json(),
            },
            checks=self._checks,
        )
        self.analysis = build_analysis(config, self._make, self._lanes, self.state, self.telemetry)
        self._expiry = self._make(kinds.EXPIRY, config.expiry, "expiry")
        self.refresher = Refresher(
            caller=lambda: self.background,
            remember=self._remember,
            keeper=self.keeper,
            coordination=self.coordination,
            expiry=self._expiry,
            twins=self._twins,
            telemetry=self.telemetry,
            judge=judge,
            state=self.state,
        )
        self.pipeline = self._pipeline()
        if self.engine is not None:
            self.call_behind(self.engine)
        self.problems: list[str] = []

    def call_behind(self, engine: Engine) -> None:
        """Let background calls go to an engine: the configured one, or the host's own."""
        self.background = BackgroundCaller(self.pipeline, engine, self.config.background)

    async def start(self) -> None:
        """Open everything inside the running loop. What is down is noted in `problems`."""
        if self._exporter is not None and not Telemetry.host_has_provider():
            self.telemetry.bind(self._exporter.provider())
        for part in self._parts:  # the coordination first: from then on this process is told what to forget
            await self._open(part.start)
        await asyncio.to_thread(self.epochs.refresh)  # what was bumped before anybody told this process
        await self._open(self.keeper.start)
        await asyncio.to_thread(self.analysis.memory.restore)
        components = {name: spec.type for name, spec in self.specs()}
        await self.observers.fire("startup", Started(__version__, str(self.state_dir), components))

    async def stop(self) -> None:
        """Finish background work and close everything, within a bounded time."""
        await self.pipeline.drain(timeout_s=5.0)
        await self.auditor.drain(timeout_s=1.0)
        await self.refresher.drain(timeout_s=1.0)
        self.analysis.memory.save()
        await self.observers.fire("shutdown")
        self._lanes.close()
        # the coordination last: until then it holds what nobody else may do
        last = self._last_to_stop
        others = [part for part in reversed(self._parts) if part not in last]
        for close in (*(part.stop for part in others), self.keeper.stop, *(part.stop for part in last)):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await close()
        await asyncio.to_thread(self.state.close)
        exporter = self._exporter
        if exporter is not None:
            timeout = self.config.telemetry.shutdown_timeout_s
            # abandoned after its time: a collector that hangs must not hold a shutdown up
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout + 0.2):
                    await asyncio.to_thread(exporter.shutdown, timeout)

    async def check_ready(self, *, thorough: bool = False) -> Sequence[Health]:
        """Return the findings of every component and plugin; thorough ones may take a minute."""
        found: list[Health] = []
        for part in (*self._parts, self.keeper.store):
            if isinstance(part, Component):
                try:
                    async with asyncio.timeout(5.0):
                        found.extend(await part.check_ready())
                except Exception as error:
                    found.append(Health(type(part).__name__, ok=False, detail=f"{type(error).__name__}: {error}"))
        found.extend(findings(self.coordination.roster(), self.config, self._lanes.places))
        for more in await self.observers.fire("check_ready", Check(thorough), timeout_s=90.0 if thorough else None):
            found.extend(_healths(more))
        tripped = self.observers.tripped()
        if tripped:
            found.append(
                Health("plugins", ok=False, detail=f"left out for a while: {', '.join(tripped)}", required=False)
            )
        return found

    def specs(self) -> list[tuple[str, Spec]]:
        """Return the configured components by their place in the config."""
        config = self.config
        named = [
            ("analyzer", config.analyzer),
            *((f"classifiers.{spec.type}", spec) for spec in config.classifiers),
            *((f"predictors.{spec.type}", spec) for spec in config.predictors),
            *((f"stream.{spec.type}", spec) for spec in config.stream),
            ("strategy", config.strategy),
            ("embedder", config.embedder),
            ("store", config.store),
            ("context", config.context),
            ("acceptance", config.acceptance),
            ("judge", config.judge),
            ("ordering", config.ordering),
            ("limit", config.limit),
            *((("shedding", config.shedding),) if config.shedding is not None else ()),
            *((("placement", config.placement),) if config.placement is not None else ()),
            ("expiry", config.expiry),
            ("eviction", config.eviction),
            ("coordination", config.coordination),
        ]
        if config.engine is not None:
            named.append(("engine", config.engine))
        return named

    def _pipeline(self) -> Pipeline:
        config, telemetry, twins = self.config, self.telemetry, self._twins
        self.similar = SemanticTier(
            keeper=self.keeper,
            embedder=self.embedder,
            acceptance=self.acceptance,
            keyring=self.keyring,
            refused=self.refused,
            config=config.cache,
            telemetry=telemetry,
            breaker=Breaker("embedder", telemetry),
            hold_out=self.auditor.hold_out,
            covers=self.refresher.covers,
        )
        lookup = LookupStop(
            keeper=self.keeper,
            similar=self.similar,
            twins=twins,
            config=config.cache,
            telemetry=telemetry,
            covers=self.refresher.covers,
            disown=Disowning(self.workers, self.epochs, self.state, self.keyring, self.refused),
        )
        settle = SettleStop(
            keeper=self.keeper,
            similar=self.similar,
            auditor=self.auditor,
            analysis=self.analysis,
            checks=self._checks,
            expiry=self._expiry,
            refresher=self.refresher,
            twins=twins,
            keyring=self.keyring,
            config=config.cache,
            observers=self.observers,
            telemetry=telemetry,
        )
        analyzer = self._make(kinds.ANALYZER, config.analyzer, "analyzer")
        reader = self._make(kinds.CONTEXT, config.context, "context")
        stops = Stops(
            analyze=AnalyzeStop(analyzer, reader, self.analysis, keyring=self.keyring, telemetry=telemetry),
            lookup=lookup,
            gate=self._lanes,
            settle=settle,
            twins=twins,
            modes=self.modes,
            keyring=self.keyring,
            telemetry=telemetry,
        )
        return Pipeline(stops, config, flight_deadline_s=config.litellm.flight_deadline_s)

    def _policies(self) -> Policies:
        """Make the policies of one lane.

        Raises:
            PluginError: one of them has a life of its own; lanes come and go while requests run.
        """
        config = self.config
        shedding = self._of_lane(kinds.SHEDDING, config.shedding, "shedding") if config.shedding is not None else None
        return Policies(
            self._of_lane(kinds.ORDERING, config.ordering, "ordering"),
            self._of_lane(kinds.LIMIT, config.limit, "limit"),
            shedding,
        )

    def placement(self) -> Placement | None:
        """Make what chooses among engines that answer alike, None where nothing does; one is made for each group of them.

        Raises:
            ConfigError, PluginError: it cannot be built.
        """
        spec = self.config.placement
        return self._of_lane(kinds.PLACEMENT, spec, "placement") if spec is not None else None

    def _of_lane(self, kind: kinds.Kind[T], spec: Spec, path: str) -> T:
        made = self.plugins.registry.build(kind, spec.type, spec.settings, self._build, path=path)
        if isinstance(made, Component):
            raise PluginError(spec.type, "one is made for each deployment, so it cannot have start and stop")
        return made

    async def _remember(self, request: Request, answer: Answer, took_s: float) -> str:
        return await self.pipeline.remember(request, answer, took_s=took_s)  # which is made after what refreshes

    def _judge(self) -> Judge | None:
        if self.embedder is None or not self.config.audits.enabled or not isinstance(self.acceptance, Audited):
            return None
        return self._make(kinds.JUDGE, self.config.judge, "judge")

    def _embedder(self) -> Embedder | None:
        if self.config.cache.semantic is Mode.OFF:
            return None
        return self._make(kinds.EMBEDDER, self.config.embedder, "embedder")

    def _make(self, kind: kinds.Kind[T], spec: Spec, path: str) -> T:
        made = self.plugins.registry.build(kind, spec.type, spec.settings, self._build, path=path)
        if isinstance(made, Component) and kind is not kinds.STORE:  # the keeper opens the store
            self._parts.append(made)
        return made

    async def _open(self, start: Callable[[], Awaitable[None]]) -> None:
        try:
            await start()
        except (ConfigError, PluginError):
            raise
        except Exception as error:
            self.problems.append(str(error) or type(error).__name__)
            log.warning("starting without it: %s", self.problems[-1])


def _healths(findings: Any) -> list[Health]:
    many: Sequence[Any] = findings if is_array(findings) else [findings]
    return [item for item in many if isinstance(item, Health)]


def prepare_state_dir(name: str) -> Path:
    """Make the state folder.

    Raises:
        ConfigError: it cannot be made or written to.
    """
    path = Path(name).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)  # a Lite file in it holds prompts and answers
        probe = path / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot be written to ({error.strerror}); point it at a folder this user owns", path="state_dir"
        ) from None
    return path.resolve()
