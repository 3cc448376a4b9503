"""Fills the table: each cell is asked of LiteLLM alone and, three times, of LiteLLM with forebay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from forebay.middleware.narrow import is_array, is_object
from tests.conformance.asks import ENDPOINTS, Ask, Endpoint
from tests.conformance.streams import flaw, frame, shape
from tests.conformance.wire import Got, answer, comparable, filled, read, timeless

if TYPE_CHECKING:
    import httpx

    from tests.integration.proxy import Proxy
    from tests.integration.upstream import Upstream

HITS: Final = frozenset({"exact", "semantic", "inflight"})
SAME: Final = "same"
AS_MISS: Final = "as miss"


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one feature of one endpoint, whole or streamed.

    Attributes:
        miss: the first answer beside that of LiteLLM alone.
        hit: the second beside the first.
        other: the answer in the other form, whole for streamed and streamed for whole, beside the first.
    """

    endpoint: str
    feature: str
    stream: bool
    miss: str
    hit: str
    other: str

    @property
    def name(self) -> str:
        return f"{self.endpoint} | {self.feature} | {'stream' if self.stream else 'whole'}"

    @property
    def differences(self) -> dict[str, str]:
        """What is neither the same nor passed through, by column."""
        columns = {"miss": self.miss, "hit": self.hit, "other": self.other}
        return {name: text for name, text in columns.items() if text.startswith("differs")}


async def fill(alone: Proxy, forebay: Proxy, engine: Upstream) -> list[Cell]:
    """Ask everything there is to ask."""
    cells: list[Cell] = []
    async with alone.http() as one, forebay.http() as other:
        table = Table(Side(one, alone.key), Side(other, forebay.key), forebay, engine)
        for endpoint in ENDPOINTS:
            for feature, make in endpoint.features.items():
                for stream in (False, True) if endpoint.streams else (False,):
                    if isinstance(make, str):
                        cells.append(Cell(endpoint.title, feature, stream, *[f"not applicable: {make}"] * 3))
                        continue
                    text = f"Say {feature} of {endpoint.title} {'in pieces' if stream else 'at once'}."
                    cells.append(await table.cell(endpoint, feature, make(text), text, stream=stream))
    return cells


@dataclass(frozen=True, slots=True)
class Side:
    """One of the proxies, and its key."""

    client: httpx.AsyncClient
    key: str


class Table:
    """Two proxies in front of one engine."""

    def __init__(self, alone: Side, forebay: Side, proxy: Proxy, engine: Upstream) -> None:
        self._alone = alone
        self._forebay = forebay
        self._proxy = proxy
        self._engine = engine

    async def cell(self, endpoint: Endpoint, feature: str, ask: Ask, text: str, *, stream: bool) -> Cell:
        if ask.reply is not None:
            self._engine.on(text, ask.reply)
        plain = await self._ask(self._alone, endpoint, await self._body(self._alone, endpoint, ask), stream=stream)
        body = await self._body(self._forebay, endpoint, ask)
        miss = await self._ask(self._forebay, endpoint, body, stream=stream)
        await self._proxy.settled()
        hit = await self._ask(self._forebay, endpoint, body, stream=stream)
        await self._proxy.settled()
        other = "not applicable: the endpoint does not stream"
        if endpoint.streams:
            turned = await self._ask(self._forebay, endpoint, body, stream=not stream)
            other = await self._judge_hit(miss, turned)
        return Cell(
            endpoint.title, feature, stream, self._judge_miss(plain, miss), await self._judge_hit(miss, hit), other
        )

    async def _body(self, side: Side, endpoint: Endpoint, ask: Ask) -> dict[str, Any]:
        if ask.first is None:
            return dict(ask.body)
        sent = {"model": endpoint.model, **ask.first}
        before = (await side.client.post(endpoint.path, json=sent)).json()
        await self._proxy.settled()
        return {**ask.body, "previous_response_id": before["id"]}

    async def _ask(self, side: Side, endpoint: Endpoint, body: Any, *, stream: bool) -> Got:
        sent: dict[str, Any] = {"model": endpoint.model, **body}
        if stream:
            sent["stream"] = True
            if endpoint.path.endswith("completions"):
                sent["stream_options"] = {"include_usage": True}
        before = len(self._engine.calls)
        got = read(await side.client.post(endpoint.path, json=sent), side.key)
        got.upstream = len(self._engine.calls) - before
        return got

    def _judge_miss(self, plain: Got, miss: Got) -> str:
        if (plain.status, plain.kind) != (miss.status, miss.kind):
            return f"differs: {miss.status} {miss.kind}, not {plain.status} {plain.kind}"
        if comparable(plain.sent) != comparable(miss.sent):
            return f"differs: {difference(comparable(plain.sent), comparable(miss.sent))}"
        return SAME if plain.status == 200 else f"{SAME}: LiteLLM alone answers {plain.status}"

    async def _judge_hit(self, miss: Got, hit: Got) -> str:
        if hit.forebay not in HITS:
            return f"passed through: {await self._why(miss)}"
        if hit.upstream:
            return f"differs: called a hit, but the engine was asked {hit.upstream} times"
        if (hit.status, hit.kind == miss.kind) != (200, bool(hit.events) is bool(miss.events)):
            return f"differs: {hit.status} {hit.kind}"
        return beside(miss, hit)

    async def _why(self, got: Got) -> str:
        """Return why forebay did not keep an answer."""
        if got.status != 200:
            return f"the answer is an error, {got.status}"
        if "x-forebay-id" not in got.headers:
            return "not handled"
        found = await self._proxy.ask("explain", request=got.headers["x-forebay-id"])
        decisions: list[dict[str, Any]] = found["decisions"] if found else []
        reasons = [decision["reason"] for decision in decisions if decision["stop"] == "settle"]
        return reasons[0] if reasons else "no reason given"


def beside(first: Got, second: Got) -> str:
    """Judge a repeated answer beside the first; the times of streams are LiteLLM's own."""
    if first.body is not None and second.body is not None:
        return AS_MISS if second.body == first.body else f"differs: {difference(first.body, second.body)}"
    one, two = timeless(answer(first)), timeless(answer(second))
    if first.events and second.events:
        for view in (shape, frame):
            expected, got = timeless(view(first.events)), timeless(view(second.events))
            if got != expected:
                return f"differs: {difference(expected, got)}"
    else:
        if flaw(second.events):
            return f"differs: {flaw(second.events)}"
        # what is null in one form may be left out in the other; into streams LiteLLM writes a cost
        one, two = filled(one), filled(two)
    return AS_MISS if one == two else f"differs: {difference(one, two)}"


def difference(expected: Any, got: Any, at: str = "") -> str:
    """Return the first place where two JSON values differ, and how."""
    if is_object(expected) and is_object(got):
        for name in [*expected, *(name for name in got if name not in expected)]:
            if name not in got:
                return f"{at}.{name} is gone, was {expected[name]!r}"
            if name not in expected:
                return f"{at}.{name} is new, {got[name]!r}"
            if expected[name] != got[name]:
                return difference(expected[name], got[name], f"{at}.{name}")
    if is_array(expected) and is_array(got):
        for index, (left, right) in enumerate(zip(expected, got, strict=False)):
            if left != right:
                return difference(left, right, f"{at}[{index}]")
        return f"{at} has {len(got)} items, not {len(expected)}"
    return f"{at} is {got!r}, not {expected!r}"
