"""Several vLLM servers behind one model name: which of them LiteLLM's router is offered.

The router asks before it chooses (``async_filter_deployments``), after those in cooldown or blocked are gone and before its
own last filters: tags, order, those that failed this request. What it is given back it goes on filtering, so a lone
deployment that a later filter leaves out would be an error where there need not be one. Therefore one is named only where the
deployments are alike in all that those filters look at, and none has limits of its own. In every other case, and whenever
something fails, the router gets what it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from ...middleware.admission.tickets import Replica, Ticket
from ...middleware.narrow import is_object
from ...middleware.records import Mode
from ..vllm.scrape import Scraper, Server
from .host import deployment_id, leaves_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...middleware.admission.protocols import Placement
    from ...middleware.flight import Flight
    from ...middleware.records import JsonObject
    from ...middleware.runtime import Runtime

PROVIDERS: Final = frozenset({"openai", "hosted_vllm", "text-completion-openai", "custom_openai", "openai_like"})
WHERE: Final = frozenset({"api_base", "base_url", "api_key"})
"""In which deployments that are alike may differ."""
LIMITS: Final = frozenset({"rpm", "tpm", "max_parallel_requests", "max_budget", "budget_duration"})
TRIED: Final = ("_excluded_deployment_ids", "_retry_skipped_deployment_ids")
"""Where the router says of a call which deployments it leaves out afterwards."""
MOST_GROUPS: Final = 256
MOST_LANES: Final = 1024
UNSEEN: Final = 0.2
"""How much of a prompt counts as still to be read, on average, where nobody sees the first token."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that a server was chosen for; `tokens` of its prompt must be read there."""

    flight: Flight
    tokens: float

    @property
    def over(self) -> bool:
        """Whether it asks no engine (any more)."""
        return self.flight.ending is not None or self.flight.hit is not None

    @property
    def ahead(self) -> float:
        """How many tokens are still to be read."""
        if not self.flight.request.stream:
            return UNSEEN * self.tokens
        return self.tokens if self.flight.first_token_s is None else 0.0


class Lane:
    """What is known of a deployment.

    Attributes:
        url: of its metrics.
        others: requests in it that came past this process, when it was last read.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.others = 0
        self._sent: dict[str, Sent] = {}  # by flight
        self._keys: dict[str, str] = {}  # flights by the key of their answer

    def add(self, sent: Sent) -> None:
        """A request goes there."""
        flight = sent.flight
        self._sent[flight.request.id] = sent
        if flight.key is not None:
            self._keys[flight.key.exact] = flight.request.id

    def drop(self, name: str) -> bool:
        """A request is there no more; return whether it was."""
        sent = self._sent.pop(name, None)
        key = sent.flight.key if sent is not None else None
        if key is not None and self._keys.get(key.exact) == name:
            del self._keys[key.exact]
        return sent is not None

    def computes(self, key: str, name: str) -> bool:
        """Return whether another flight than this one is there for an answer."""
        found = self._sent.get(self._keys.get(key, name))
        return found is not None and found.flight.request.id != name and not found.over

    def load(self) -> tuple[int, float]:
        """Return how many are there, and how many tokens are still to be read for them; forget those that are over."""
        ahead, over = 0.0, list[str]()
        for name, one in self._sent.items():
            if one.over:
                over.append(name)
            else:
                ahead += one.ahead
        for name in over:
            self.drop(name)
        return len(self._sent), ahead


class Replicas:
    """Belongs to one event loop.

    Args:
        runtime: makes the placements, one a model group.
        scraper: made with whom to tell; reads servers.
        may_choose: whether the host lets itself be told.

    Raises:
        ConfigError, PluginError: there can be no placement as the config has it.
    """

    def __init__(
        self,
        runtime: Runtime,
        scraper: Callable[[Callable[[Server], None]], Scraper] = Scraper,
        may_choose: Callable[[], bool] = leaves_choice,
    ) -> None:
        self._runtime = runtime
        self._may_choose = may_choose
        self._scraper = scraper(self._heard)
        self._chooses = runtime.placement() is not None
        self._placements: dict[str, Placement] = {}
        self._lanes: dict[str, Lane] = {}

    def offer(self, model: str, deployments: list[Any], flight: Flight, kwargs: Mapping[str, Any]) -> list[Any]:
        """Return the deployment that shall take a request, alone; all of them where it is not for us to say."""
        if not self._chooses or flight.mode is not Mode.SERVE or flight.hit is not None:
            return deployments
        if kwargs.get("previous_response_id"):  # only one of them knows that response
            return deployments
        urls = metrics_urls(deployments)
        if urls is None or not self._may_choose():
            return deployments
        servers = dict(zip(urls, self._scraper.want(urls.values()), strict=True))
        if any(server.last is None for server in servers.values()):
            return deployments
        lanes = {name: self._lane(name, url) for name, url in urls.items()}
        chosen = self._twin(flight, lanes) or self._place(model, flight, lanes, servers, _tried(kwargs))
        return [one for one in deployments if deployment_id(one) == chosen] or deployments

    def report(self) -> list[JsonObject]:
        """Return a row for each deployment that was chosen from: what is known of it."""
        rows: list[JsonObject] = []
        for name, lane in self._lanes.items():
            server = self._scraper.known(lane.url)
            if server is None or server.last is None:
                continue
            engine = server.last.engine
            rows.append(
                {
                    "deployment": name,
                    "ours": lane.load()[0],
                    "others": lane.others,
                    "running": engine.running,
                    "waiting": engine.waiting,
                    "kv_usage": engine.kv_usage,
                    "kv_tokens": server.last.kv_tokens,
                    "prefix_hits": engine.prefix_hits / max(1, engine.prefix_queries),
                    "fresh": server.fresh(monotonic()),
                }
            )
        return rows

    async def stop(self) -> None:
        """Read no server any more."""
        await self._scraper.stop()

    def _place(
        self, model: str, flight: Flight, lanes: Mapping[str, Lane], servers: Mapping[str, Server], out: set[str]
    ) -> str:
        name = flight.request.id
        for at, lane in self._lanes.items():
            if lane.drop(name):
                out.add(at)  # it failed there
        left = [at for at in lanes if at not in out] or list(lanes)
        there = [at for at in left if not servers[at].gone] or left
        found = [_replica(at, lanes[at], servers[at]) for at in there]
        placed = self._placement(model).place(_ticket(flight), found)
        lanes[placed.replica].add(Sent(flight, placed.tokens))
        flight.decide("place", placed.replica, to_read=round(placed.tokens), of=len(there))
        return placed.replica

    def _twin(self, flight: Flight, lanes: Mapping[str, Lane]) -> str:
        """Return where an equal request is that this one will follow, "" for none: a follower asks no engine."""
        key = flight.key.exact if flight.key is not None else None
        if key is None or flight.alone or not self._runtime.config.cache.twins:
            return ""
        return next((at for at, lane in lanes.items() if lane.computes(key, flight.request.id)), "")

    def _placement(self, model: str) -> Placement:
        found = self._placements.get(model) or self._runtime.placement()
        if found is None:
            raise RuntimeError("nothing chooses among deployments")
        if len(self._placements) >= MOST_GROUPS and model not in self._placements:
            self._placements.clear()
        self._placements[model] = found
        return found

    def _lane(self, name: str, url: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None or lane.url != url:
            if len(self._lanes) >= MOST_LANES:
                self._lanes = {at: one for at, one in self._lanes.items() if one.load()[0]}
            lane = self._lanes[name] = Lane(url)
        return lane

    def _heard(self, server: Server) -> None:
        """A server was read: tell apart what is ours of what it has."""
        if server.last is None:
            return
        lanes = [lane for lane in self._lanes.values() if lane.url == server.url]
        ours = sum(lane.load()[0] for lane in lanes)
        for lane in lanes:
            lane.others = max(0, server.last.engine.running + server.last.engine.waiting - ours)


def metrics_urls(deployments: Sequence[Any]) -> dict[str, str] | None:
    """Return the addresses of the metrics of deployments that are alike, by id; None where they are not."""
    found: dict[str, str] = {}
    first: dict[str, Any] | None = None
    for one in deployments:
        params = one.get("litellm_params") if is_object(one) else None
        name = deployment_id(one) if is_object(one) else ""
        if not is_object(params) or not name or any(params.get(limit) is not None for limit in LIMITS):
            return None
        rest = {key: value for key, value in params.items() if key not in WHERE}
        base = params.get("api_base") or params.get("base_url")
        if not isinstance(base, str) or not base.startswith(("http://", "https://")):
            return None
        if first is not None and rest != first:
            return None
        first = rest
        found[name] = f"{base.rstrip('/').removesuffix('/v1')}/metrics"
    if first is None or len(found) < len(deployments):
        return None
    provider = first.get("custom_llm_provider") or str(first.get("model")).partition("/")[0]
    return found if provider in PROVIDERS else None


def _replica(name: str, lane: Lane, server: Server) -> Replica:
    (inside, ahead), last = lane.load(), server.last
    return Replica(
        name,
        inside=inside + (lane.others if server.fresh(monotonic()) else 0),
        ahead=ahead,
        kv_tokens=last.kv_tokens if last is not None else None,
        started_s=last.started_s if last is not None else 0.0,
    )


def _ticket(flight: Flight) -> Ticket:
    request, facts = flight.request, flight.facts
    prompt = facts.fingerprint if facts is not None else None
    return Ticket(
        request.id,
        request.tenant,
        flight.started_s,
        input_tokens=facts.prompt_tokens if facts is not None else 0,
        stream=request.stream,
        prefix=prompt.prefix if prompt is not None else (),
    )


def _tried(kwargs: Mapping[str, Any]) -> set[str]:
    given: list[Any] = [kwargs.get(name) for name in TRIED]
    return {
        one
        for ids in given
        if isinstance(ids, (list, tuple))
        for one in cast("Sequence[object]", ids)
        if isinstance(one, str)
    }
