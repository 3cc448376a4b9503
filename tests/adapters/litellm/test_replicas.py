"""Which deployments the router is offered, without a proxy: servers that say what they are told to, flights made by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import INVALID_SPAN

from forebay.adapters.litellm.host import leaves_choice
from forebay.adapters.litellm.replicas import UNSEEN, Replicas, metrics_urls
from forebay.adapters.vllm.scrape import Scraper, Server, ServerReading
from forebay.middleware.analysis.facts import Fingerprint, Profile, RequestFacts
from forebay.middleware.config import parse_config
from forebay.middleware.engine_feed import EngineReading
from forebay.middleware.errors import ConfigError
from forebay.middleware.flight import Flight
from forebay.middleware.records import Answer, Ending, Entry, Hit, Key, Mode, Request, Tier
from forebay.middleware.runtime import Runtime

MODULES: dict[str, Any] = sys.modules
SETTINGS: dict[str, Any] = {"store": {"type": "memory"}, "cache": {"semantic": "off"}, "telemetry": {"enabled": False}}
CHAIN = tuple(range(100, 120))
IDLE = ServerReading(EngineReading(), 100_000)


class Servers(Scraper):
    """Servers that say what the test lets them."""

    def __init__(self, heard: Callable[[Server], None]) -> None:
        super().__init__(heard)
        self.tell = heard
        self.all: dict[str, Server] = {}

    def want(self, urls: Iterable[str]) -> list[Server]:
        return [self.all.setdefault(url, Server(url, IDLE)) for url in urls]

    def known(self, url: str) -> Server | None:
        return self.all.get(url)

    async def stop(self) -> None:
        self.all.clear()


class Rig:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.runtime = Runtime(parse_config({**SETTINGS, "state_dir": str(folder), **settings}, environ={}))
        self.servers: Servers | None = None
        self.may = True
        self.replicas = Replicas(self.runtime, self.made, lambda: self.may)

    def made(self, heard: Callable[[Server], None]) -> Servers:
        self.servers = Servers(heard)
        return self.servers

    def server(self, name: str) -> Server:
        assert self.servers is not None
        return self.servers.want([f"http://{name}/metrics"])[0]

    def offer(self, flight: Flight, **kwargs: Any) -> list[str]:
        return [one["model_info"]["id"] for one in self.replicas.offer("tiny", two(), flight, kwargs)]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def deployment(name: str, **more: Any) -> dict[str, Any]:
    params = {"model": "hosted_vllm/tiny", "api_base": f"http://{name}/v1", "api_key": name, **more}
    return {"model_name": "tiny", "litellm_params": params, "model_info": {"id": name}}


def two(**more: Any) -> list[Any]:
    return [deployment("a", **more), deployment("b", **more)]


BOTH = ["a", "b"]
COUNT = iter(range(10_000))


def flight(
    prefix: tuple[int, ...] = CHAIN, *, mode: Mode = Mode.SERVE, tokens: int = 1_280, stream: bool = True, key: str = ""
) -> Flight:
    request = Request(f"fb-{next(COUNT)}", "tiny", [{"role": "user", "content": "x"}], {}, "t", stream=stream)
    made = Flight(request, mode, INVALID_SPAN, now_s=0.0)
    facts = RequestFacts(tokens, 1, "other", cacheable=True, semantic=False, profile=Profile(tokens))
    made.analyzed(facts.having(fingerprint=Fingerprint(prefix=prefix)), Key("scope", "", key or request.id, "x"))
    return made


def test_prompts_that_begin_alike_go_to_one_server(rig: Rig) -> None:
    flights = [flight((*CHAIN, 1_000 + number)) for number in range(3)]
    chosen = [(rig.offer(one), one.first_token())[0] for one in flights]
    assert chosen in ([["a"]] * 3, [["b"]] * 3)
    assert {rig.offer(flight(tuple(range(1_000 * n, 1_000 * n + 20))))[0] for n in range(5, 25)} == {"a", "b"}


def test_where_it_is_not_for_us_to_say_the_router_keeps_all(rig: Rig, tmp_path: Path) -> None:
    assert rig.offer(flight(mode=Mode.SHADOW)) == BOTH
    assert rig.offer(flight(), previous_response_id="resp_1") == BOTH
    rig.may = False
    assert rig.offer(flight()) == BOTH
    rig.may = True
    rig.server("b").last = None
    assert rig.offer(flight()) == BOTH, "one of them is no vLLM, or was not read yet"
    off = Rig(tmp_path / "off", placement=None)
    assert off.offer(flight()) == BOTH
    hit = flight()
    entry = Entry("k", "s", "c", "x", Answer({}, 1, 1), "tiny", "", 0.0, 0.0)
    hit.found(Hit(Tier.EXACT, entry, 1.0, 1.0, 0.0))
    assert rig.offer(hit) == BOTH


@pytest.mark.parametrize(
    "given",
    [
        [deployment("a"), deployment("b", weight=2)],
        [deployment("a"), deployment("b", model="hosted_vllm/other")],
        [deployment("a"), deployment("b", order=2)],
        [deployment("a"), deployment("b", tags=["paid"])],
        two(rpm=10),
        two(max_parallel_requests=2),
        two(model="azure/tiny"),
        two(model="hosted_vllm/tiny", custom_llm_provider="anthropic"),
        [deployment("a"), deployment("b", api_base=None)],
        [deployment("a"), deployment("b", api_base="os.environ/BASE")],
        [deployment("a"), deployment("a")],
        [deployment("a"), {"litellm_params": {"model": "hosted_vllm/tiny", "api_base": "http://b/v1"}}],
        [deployment("a"), "b"],
        [],
    ],
)
def test_only_deployments_that_are_alike_are_chosen_among(given: list[Any]) -> None:
    assert metrics_urls(given) is None


def test_the_metrics_are_beside_the_api() -> None:
    given = [deployment("a"), deployment("b", api_base="https://b:8000/x/v1/"), deployment("c", api_base="http://c")]
    assert metrics_urls(given) == {
        "a": "http://a/metrics",
        "b": "https://b:8000/x/metrics",
        "c": "http://c/metrics",
    }


def test_a_retry_goes_elsewhere_and_its_first_place_is_given_up(rig: Rig) -> None:
    one = flight()
    first = rig.offer(one)
    second = rig.offer(one)
    assert {*first, *second} == {"a", "b"}
    assert [row["ours"] for row in sorted(rig.replicas.report(), key=lambda row: row["deployment"] != second[0])] == [
        1,
        0,
    ]


def test_what_the_router_leaves_out_afterwards_is_not_chosen(rig: Rig) -> None:
    for name, out in (("_excluded_deployment_ids", ["a"]), ("_retry_skipped_deployment_ids", ("a",))):
        for _ in range(3):
            assert rig.offer(flight(), **{name: out}) == ["b"]
        assert rig.offer(flight(), **{name: ["a", "b"]}) in (["a"], ["b"])


def test_a_server_that_does_not_listen_is_left_out_while_another_does(rig: Rig) -> None:
    rig.server("a").gone = True
    assert all(rig.offer(flight(tuple(range(n, n + 20)))) == ["b"] for n in range(20))
    rig.server("b").gone = True
    assert len(rig.offer(flight())) == 1


def test_the_load_is_counted_until_it_is_over(rig: Rig) -> None:
    flights = [flight(tuple(range(100 * n, 100 * n + 20))) for n in range(20)]
    chosen = [rig.offer(one)[0] for one in flights]
    assert abs(chosen.count("a") - chosen.count("b")) <= 2
    assert sum(row["ours"] for row in rig.replicas.report()) == 20
    for one in flights:
        one.ended(Ending.COMPLETE)
    assert sum(row["ours"] for row in rig.replicas.report()) == 0


def test_an_unread_prompt_weighs_more_than_one_whose_first_token_came(rig: Rig) -> None:
    long = flight((), tokens=50_000)
    first = rig.offer(long)[0]
    assert all(rig.offer(flight((), tokens=100))[0] != first for _ in range(3))
    long.first_token()
    assert rig.offer(flight((), tokens=100))[0] == first


def test_of_a_whole_answer_a_share_of_the_prompt_counts(rig: Rig) -> None:
    whole = flight((), tokens=1_000, stream=False)
    lane = rig.offer(whole)[0]
    assert vars(rig.replicas)["_lanes"][lane].load() == (1, UNSEEN * 1_000)


def test_others_requests_count_while_the_reading_is_fresh(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = rig.offer(flight())[0]
    other = "b" if mine == "a" else "a"
    now = 50.0
    monkeypatch.setattr("forebay.adapters.litellm.replicas.monotonic", lambda: now)
    assert rig.servers is not None
    for name in BOTH:
        server = rig.server(name)
        server.last = replace(IDLE, engine=EngineReading(running=30 if name == mine else 0, waiting=1, now_s=now))
        rig.servers.tell(server)
    assert {row["deployment"]: row["others"] for row in rig.replicas.report()} == {mine: 30, other: 1}
    assert rig.offer(flight())[0] == other
    now = 60.0
    chosen = [rig.offer(flight((number,)))[0] for number in range(5)]
    assert mine in chosen, "old readings say nothing"


def test_twins_follow_and_are_not_counted(rig: Rig, tmp_path: Path) -> None:
    leader, follower = (flight(key="same") for _ in range(2))
    assert rig.offer(leader) == rig.offer(follower)
    assert sum(row["ours"] for row in rig.replicas.report()) == 1
    leader.ended(Ending.FAILED)
    rig.offer(follower)
    assert sum(row["ours"] for row in rig.replicas.report()) == 1
    alone = Rig(tmp_path / "alone", cache={"semantic": "off", "twins": False})
    for _ in range(2):
        alone.offer(flight(key="same"))
    assert sum(row["ours"] for row in alone.replicas.report()) == 2


def test_it_is_explained(rig: Rig) -> None:
    one = flight()
    chosen = rig.offer(one)
    said = one.decisions[-1]
    assert (said.stop, said.choice, said.detail) == ("place", chosen[0], {"to_read": 1_280, "of": 2})


def test_what_is_remembered_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.adapters.litellm.replicas.MOST_LANES", 4)
    monkeypatch.setattr("forebay.adapters.litellm.replicas.MOST_GROUPS", 2)
    for number in range(20):
        one = flight()
        rig.replicas.offer(f"group-{number}", [deployment(f"x{number}"), deployment(f"y{number}")], one, {})
        one.ended(Ending.COMPLETE)
    kept = vars(rig.replicas)
    assert len(kept["_lanes"]) <= 6
    assert len(kept["_placements"]) <= 2


def test_a_wrong_setting_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="spread"):
        Rig(tmp_path, placement={"spread": 0})


@pytest.mark.parametrize(
    ("router", "may"),
    [
        ({"routing_strategy": "simple-shuffle"}, True),
        ({"routing_strategy": SimpleNamespace(value="least-busy")}, True),
        ({"routing_strategy": "latency-based-routing"}, False),
        ({"routing_strategy": "simple-shuffle", "optional_callbacks": [object()]}, False),
        ({"routing_strategy": "simple-shuffle", "routing_groups": {"x": object()}}, False),
        (None, False),
    ],
)
def test_the_operators_own_strategy_stands(
    monkeypatch: pytest.MonkeyPatch, router: dict[str, Any] | None, may: bool
) -> None:
    server = SimpleNamespace(llm_router=SimpleNamespace(**router) if router is not None else None)
    monkeypatch.setitem(MODULES, "litellm.proxy.proxy_server", server)
    assert leaves_choice() is may
