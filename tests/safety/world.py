"""What can be asked in the suite, what may answer it, and by whom that is known.

Everything is in small tables, so that requests often differ in one thing alone. The oracle says what may answer what from
these tables, without any code of forebay's.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from forebay.middleware.analysis.facts import RequestFacts
from forebay.middleware.errors import StoreError
from forebay.middleware.records import Controls, Request, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.middleware.records import Asked, Candidate, JsonObject, Vector

TTL_S: Final = 100.0
GRACE_S: Final = 40.0
ERROR_GRACE_S: Final = 80.0
SHADOWED: Final = "shadowed"
"""A model for which the cache decides but never acts."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question; those of one group may be answered alike, those of one axis only look alike.

    Attributes:
        leans: on earlier turns; the others mean the same after any.
    """

    text: str
    group: str
    axis: int
    leans: bool = False


QUESTIONS: Final = (
    Question("How do I reset a forgotten Gmail password?", "reset", 0),
    Question("How can I reset a forgotten Gmail password?", "reset", 0),
    Question("How do I renew a stolen Norwegian passport?", "passport", 0),
    Question("And for two people?", "two", 1, leans=True),
    Question("And for a couple?", "two", 1, leans=True),
    Question("And for three people?", "three", 1, leans=True),
    Question("Which currency do shops in Lima accept?", "lima", 2),
    Question("What currency do shops in Lima accept?", "lima", 2),
)
UNPROVEN: Final = frozenset({"lima"})
"""Groups for which the policy accepts, but has no proof."""

PLACES: Final = {"a room in Oslo": "oslo", "a hotel room in Oslo": "oslo", "a room in Rome": "rome"}
"""What earlier turns come to, and the group of each; all look alike."""
READINGS: Final = {f"offer: Found.\nuser: Find: {said}.": place for said, place in PLACES.items()}
"""What the reader makes of them."""
HISTORIES: Final = {
    "none": "",
    "oslo": "a room in Oslo",
    "oslo, other words": "a hotel room in Oslo",
    "rome": "a room in Rome",
    "riddle": "?",
    "another riddle": "? ?",
}
"""Earlier turns and what they come to; a riddle is an image, which cannot be read."""

TOOLS: Final = (None, "search", "book")
SYSTEMS: Final = (None, "Be brief.", "Be kind.")
CONTROLS: Final = (
    Controls(),
    Controls(no_cache=True),
    Controls(no_store=True),
    Controls(bypass=True),
    Controls(ttl_s=5.0),
    Controls(ttl_s=5.0),
    Controls(max_age_s=3.0),
    Controls(max_stale_s=0.0),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as indexes into the tables."""

    question: int = 0
    history: str = "none"
    tenant: str = "ann"
    model: str = "m1"
    system: str | None = None
    tool: str | None = None
    temperature: float | None = None
    as_json: bool = False
    controls: Controls = CONTROLS[0]
    stream: bool = False

    def request(self, number: int) -> Request:
        messages: list[JsonObject] = [] if self.system is None else [{"role": "system", "content": self.system}]
        if self.history != "none":
            said = HISTORIES[self.history]
            image = [{"type": "image_url", "image_url": {"url": f"data:,{said}"}}]
            messages += [
                {"role": "user", "content": f"Find: {said}" if said in PLACES else image},
                {"role": "assistant", "content": "Found."},
            ]
        messages.append({"role": "user", "content": QUESTIONS[self.question].text})
        params: dict[str, Any] = {}
        if self.tool is not None:
            params["tools"] = [{"type": "function", "function": {"name": self.tool}}]
        if self.temperature is not None:
            params["temperature"] = self.temperature
        if self.as_json:
            params["response_format"] = {"type": "json_object"}
        return Request(
            id=f"r{number}",
            model=self.model,
            messages=messages,
            params=params,
            tenant=self.tenant,
            stream=self.stream,
            controls=self.controls,
        )

    @property
    def scope(self) -> tuple[object, ...]:
        """What must be equal before two requests may share an answer."""
        return self.tenant, self.model, self.system, self.tool, self.temperature, self.as_json

    @property
    def context(self) -> str:
        """What the question means beside its words."""
        return HISTORIES[self.history] if QUESTIONS[self.question].leans else ""


CHANGES: Final[dict[str, tuple[Any, ...]]] = {
    "question": tuple(range(len(QUESTIONS))),
    "history": tuple(HISTORIES),
    "tenant": ("ann", "bob"),
    "model": ("m1", "m2", SHADOWED),
    "system": SYSTEMS,
    "tool": TOOLS,
    "temperature": (None, 0, 0.5),
    "as_json": (False, True),
    "controls": CONTROLS,
    "stream": (False, True),
}


def why_not_equal(asked: Ask, other: Ask) -> str:
    """Return why the answer to one request is not one to another with the same words; "" where it is."""
    if asked.scope != other.scope:
        return "another scope"
    if asked.question != other.question or asked.context != other.context:
        return "another question"
    return ""


def why_not_similar(asked: Ask, other: Ask) -> str:
    """Return why the answer to one request may not answer another in other words; "" where it may."""
    if not why_not_equal(asked, other):
        return ""
    if asked.scope != other.scope:
        return "another scope"
    one, two = QUESTIONS[asked.question], QUESTIONS[other.question]
    if one.group != two.group:
        return "another question"
    if one.group in UNPROVEN:
        return "what is not proven"
    if asked.context == other.context:
        return ""
    same = PLACES.get(asked.context) == PLACES.get(other.context)
    return "" if same and asked.context in PLACES else "another context"


SLOW_S: Final = 3.0
"""Too long for a read, not for a write."""


async def strike(fault: str) -> None:
    """Do what a dependency does: "raise", "timeout" or "hang"; "slow" takes long and works; else nothing."""
    if fault == "slow":
        await asyncio.sleep(SLOW_S)
    if fault == "raise":
        raise StoreError("struck")
    if fault == "timeout":
        raise TimeoutError
    if fault == "hang":
        await asyncio.Event().wait()


class PlantedEmbedder:
    """Texts of one axis are at a cosine of about 0.98 of each other, all others at right angles.

    Attributes:
        fault: what happens to it: what `strike` knows.
    """

    model_id = "planted/1"
    dimension = 16

    def __init__(self) -> None:
        axes = {question.text: question.axis for question in QUESTIONS}
        self._axes = axes | dict.fromkeys(READINGS, 3)
        self._places = {text: at for at, text in enumerate(self._axes)}
        self.fault = ""

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        await strike(self.fault)
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> Vector:
        vector = [0.0] * self.dimension
        vector[self._axes.get(text, 15)] = 1.0
        vector[4 + self._places.get(text, 0) % 11] += 0.15
        norm = math.hypot(*vector)
        return [value / norm for value in vector]


class OracleAcceptance:
    """Accepts what the tables allow."""

    _groups: Final = {question.text: question.group for question in QUESTIONS}

    def judge(self, asked: Asked, candidate: Candidate) -> Verdict:
        entry, key = candidate.entry, asked.key
        group = self._groups[key.text]
        near = candidate.similarity > 0.9 and candidate.context_similarity > 0.9
        alike = group == self._groups[entry.question] and READINGS.get(key.reading) == READINGS.get(entry.reading)
        accepted = near and alike
        return Verdict(accepted, 0.9 if accepted else 0.1, "table", proven=group not in UNPROVEN)


class EverythingAnalyzer:
    """Finds everything cacheable."""

    def analyze(self, request: Request) -> RequestFacts:
        return RequestFacts(10, len(request.messages), "question", cacheable=True, semantic=True)


@dataclass(slots=True)
class Computation:
    """One call of the engine.

    Attributes:
        number: stands in the answer's body.
        order: when its request began, among all that happened; of a call that nobody waits for, when that began.
        behind: nobody waits for it.
        ending: how it ended: "ok" for a clean end, "" while it goes on.
        cancelled: its client left before the end.
    """

    number: int
    ask: Ask
    order: int
    ending: str = ""
    cancelled: bool = False
    behind: bool = False

    def stamp(self) -> str:
        """Return the answer's text: who and what it was computed for."""
        return json.dumps({"number": self.number, "for": repr(self.ask)})


def number_in(body: JsonObject) -> int | None:
    """Return the number of the computation that made an answer."""
    try:
        return int(json.loads(body["choices"][0]["message"]["content"])["number"])
    except (KeyError, TypeError, ValueError, IndexError):
        return None
