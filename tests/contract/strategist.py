"""What every strategist must do: subclass `StrategistContract` and give it a fixture `strategist`."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forebay.middleware.admission.tickets import Load
from forebay.middleware.analysis.facts import Priority, Profile, RequestFacts, Staleness, Urgency, Volatility
from forebay.middleware.analysis.protocols import Strategist
from forebay.middleware.analysis.strategies import Choice, Situation
from forebay.middleware.analysis.stream import Forecast, StreamFacts
from forebay.middleware.records import Request

_COUNT = st.integers(0, 10**6)
_SHARE = st.none() | st.floats(0, 1)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Return any situation: every fact may be absent."""
    urgency = draw(st.none() | st.sampled_from(Priority))
    staleness = draw(st.none() | st.sampled_from(Volatility))
    rate = draw(st.none() | st.floats(0, 1e6))
    facts = RequestFacts(
        draw(_COUNT),
        draw(st.integers(0, 100)),
        draw(st.sampled_from(("question", "code", "other"))),
        cacheable=draw(st.booleans()),
        semantic=draw(st.booleans()),
        profile=draw(st.none() | st.builds(Profile, _COUNT)),
        urgency=Urgency(urgency, "drawn") if urgency is not None else None,
        staleness=Staleness(staleness, "drawn") if staleness is not None else None,
        labels=draw(
            st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.booleans(), max_size=3)
        ),
    )
    return Situation(
        request=Request("1", draw(st.text(max_size=8)), [], tenant=draw(st.text(max_size=8))),
        facts=facts,
        load=Load(draw(_COUNT), draw(_COUNT)),
        stream=None if rate is None else StreamFacts(forecasts={10.0: Forecast(10.0, rate, 0.0, rate)}),
        places=draw(st.none() | st.integers(1, 1000)),
        goodput=draw(_SHARE),
    )


class StrategistContract:
    """Facts may be absent, and the same situation always has the same choice."""

    def test_it_is_a_strategist(self, strategist: Strategist) -> None:
        assert isinstance(strategist, Strategist)

    @given(situation=situations())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
    def test_every_situation_has_one_choice_with_a_reason(self, strategist: Strategist, situation: Situation) -> None:
        choice = strategist.choose(situation)
        assert isinstance(choice, Choice)
        assert 0 < len(choice.reason) <= 40
        assert strategist.choose(situation) == choice
