"""The parts of a runtime as the suite needs them: real ones, on a loop and clocks of its own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from forebay.adapters.hot.tier import HotTier
from forebay.adapters.memory.store import MemoryStore
from forebay.middleware.admission.lanes import Lanes, Policies
from forebay.middleware.analysis.goodput import Goodput
from forebay.middleware.analysis.learning import Memory
from forebay.middleware.analysis.stop import Analysis, Parts
from forebay.middleware.analysis.watch import StreamWatch
from forebay.middleware.analyze import AnalyzeStop
from forebay.middleware.audits import Auditor
from forebay.middleware.background import BackgroundCaller
from forebay.middleware.breaker import Breaker
from forebay.middleware.config import AuditConfig, BackgroundConfig, CacheConfig, Config, Rule
from forebay.middleware.coordination import Claimed, Roster, Told
from forebay.middleware.forgotten import Forgotten
from forebay.middleware.keeper import Keeper
from forebay.middleware.keys import Keyring
from forebay.middleware.lookup import LookupStop
from forebay.middleware.modes import Modes
from forebay.middleware.observers import ObserverCaller
from forebay.middleware.pipeline import Pipeline, Stops
from forebay.middleware.records import Mode
from forebay.middleware.refresh import Refresher
from forebay.middleware.refused import RefusedPairs
from forebay.middleware.settle import SettleStop
from forebay.middleware.similar import SemanticTier
from forebay.middleware.telemetry import Telemetry
from forebay.middleware.twins import Twins
from forebay.middleware.workers import Workers
from forebay.policies.answer_checks.clean_end import CleanEnd
from forebay.policies.context.reading import ContextualReading
from forebay.policies.eviction.lru import LRU
from forebay.policies.expiry.fixed import FixedExpiry
from forebay.policies.limit.fixed import FixedLimit
from forebay.policies.ordering.fcfs import FCFS
from forebay.policies.strategy.rules import RuleStrategist
from tests.safety.faults import FaultyStore, HeldEngine
from tests.safety.world import (
    ERROR_GRACE_S,
    GRACE_S,
    SHADOWED,
    TTL_S,
    EverythingAnalyzer,
    OracleAcceptance,
    PlantedEmbedder,
)

if TYPE_CHECKING:
    from collections import Counter

    from forebay.middleware.coordination import Listener
    from forebay.middleware.flight import Flight
    from forebay.middleware.records import Entry, Selector
    from tests.safety.loop import StillLoop

EPOCH_S: Final = 1_700_000_000.0
MAX_ENTRIES: Final = 6
CONFIG: Final = Config(
    cache=CacheConfig(exact=Mode.SERVE, semantic=Mode.SERVE),
    rules=(Rule(model=SHADOWED, mode=Mode.SHADOW),),
)
KEYRING: Final = Keyring.from_secret("a secret for the safety suite")


class Tier(StrEnum):
    """What stands in front of the store: nothing, the hot tier, or the hot tier of a store that others may write to."""

    NONE = "no tier"
    HOT = "hot tier"
    HOT_SHARED = "hot tier, shared store"


class Stack:
    """The parts of a runtime, on a loop and clocks of the suite's own."""

    def __init__(self, loop: StillLoop, tier: Tier, seen: Counter[str]) -> None:
        telemetry = Telemetry(enabled=False)
        self.telemetry = telemetry
        self.engine = HeldEngine()
        self.embedder = PlantedEmbedder()

        def clock() -> float:
            return EPOCH_S + loop.time()

        self.clock = clock
        self.store = FaultyStore(
            MemoryStore(), keyring=KEYRING, engine=self.engine, clock=clock, seen=seen, shared=tier is Tier.HOT_SHARED
        )
        front = self.store if tier is Tier.NONE else HotTier(self.store)
        eviction = LRU(max_entries=MAX_ENTRIES)
        breaker = Breaker("store", telemetry, clock=loop.time)
        self.keeper = Keeper(front, eviction, breaker, round_s=None, clock=clock)
        self.keeper.forgotten = Forgotten(clock=loop.time)
        nothing: Any = None
        auditor = Auditor(
            acceptance=OracleAcceptance(),
            judge=None,
            caller=lambda: None,
            keeper=self.keeper,
            refused=RefusedPairs(),
            state=nothing,
            config=AuditConfig(),
            telemetry=telemetry,
            made_with={"embedder": self.embedder.model_id, "judge": ""},
        )
        similar = SemanticTier(
            keeper=self.keeper,
            embedder=self.embedder,
            acceptance=OracleAcceptance(),
            keyring=KEYRING,
            refused=RefusedPairs(),
            config=CONFIG.cache,
            telemetry=telemetry,
            breaker=Breaker("embedder", telemetry, clock=loop.time),
            covers=self._covers,
            clock=clock,
        )
        twins = Twins(clock=clock)
        lanes = Lanes(lambda: Policies(FCFS(), FixedLimit(max_inflight=6)), max_queue=8, clock=loop.time)
        analysis = Analysis(
            Parts({}, {}, RuleStrategist(), StreamWatch({}, telemetry, 1.0), Goodput({}), Memory({}, nothing)),
            lanes,
            telemetry,
            budget_s=1.0,
            clock=loop.time,
        )
        lookup = LookupStop(
            keeper=self.keeper,
            similar=similar,
            twins=twins,
            config=CONFIG.cache,
            telemetry=telemetry,
            covers=self._covers,
            clock=clock,
        )
        expiry = FixedExpiry(ttl_s=TTL_S, grace_s=GRACE_S, error_grace_s=ERROR_GRACE_S)
        self.refresher = Refresher(
            caller=lambda: self.background,
            remember=lambda request, answer, took_s: self.pipeline.remember(request, answer, took_s=took_s),
            keeper=self.keeper,
            coordination=_Alone(),
            expiry=expiry,
            twins=twins,
            telemetry=telemetry,
            clock=clock,
            timer=loop.time,
        )
        settle = SettleStop(
            refresher=self.refresher,
            keeper=self.keeper,
            similar=similar,
            auditor=auditor,
            analysis=analysis,
            checks=[CleanEnd()],
            expiry=expiry,
            twins=twins,
            keyring=KEYRING,
            config=CONFIG.cache,
            observers=ObserverCaller({}),
            telemetry=telemetry,
            clock=clock,
        )
        modes = Modes(CONFIG, Path("/nonexistent"), clock=loop.time)
        analyze = AnalyzeStop(EverythingAnalyzer(), ContextualReading(), analysis, keyring=KEYRING, telemetry=telemetry)
        stops = Stops(analyze, lookup, lanes, settle, twins, modes, KEYRING, telemetry)
        self.pipeline = Pipeline(stops, CONFIG, clock=loop.time)
        self.workers = Workers(nothing, self.keeper, twins, lanes, epochs=self.keeper.epochs)
        self.background = BackgroundCaller(
            self.pipeline, self.engine, BackgroundConfig(max_concurrent=2, calls_per_minute=1_000), clock=loop.time
        )

    def _covers(self, flight: Flight, entry: Entry) -> bool:
        return self.refresher.covers(flight, entry)


class _Alone:
    """The coordination of one process: it grants every claim, and there is nobody to tell."""

    def roster(self) -> Roster:
        return Roster()

    def hear(self, listener: Listener) -> None:
        pass

    async def tell(self, selector: Selector, wait_s: float) -> Told:
        return Told()

    async def claim(self, name: str, member: str, places: int, wait_s: float) -> Claimed:
        return Claimed(granted=True)

    async def release(self, name: str, member: str, left: str | None = None) -> None:
        pass
