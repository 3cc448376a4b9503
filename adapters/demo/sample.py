"""The demo's questions, labelled so that a wrong hit can be told from a right one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import ForebayError
from ...middleware.narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ...middleware.records import JsonObject

SYSTEM: Final = "Answer in a few words."
KINDS: Final = frozenset(
    {
        "new",
        "repeat",
        "paraphrase",
        "trap_number",
        "trap_negation",
        "trap_entity",
        "trap_scope",
        "stream",
        "concurrent",
        "multi_turn",
    }
)
_KEYS: Final = frozenset({"id", "group", "kind", "prompt", "messages", "stream", "expect"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One labelled question.

    Attributes:
        group: questions of one group may share an answer, no others may.
        kind: what it tests; ``trap_…`` is close to an earlier question and must not get that one's answer.
        messages: OpenAI chat messages.
        expect: values of ``x-forebay-cache`` that are as they should be.
    """

    id: str
    group: str
    kind: str
    messages: Sequence[JsonObject]
    stream: bool
    expect: tuple[str, ...]

    @property
    def trap(self) -> bool:
        """Whether it must not get an earlier question's answer, however close that one is."""
        return self.kind.startswith("trap_")

    @property
    def shown(self) -> str:
        """The question."""
        return " ".join(str(self.messages[-1].get("content", "")).split())


def load(path: Path | None = None) -> list[Ask]:
    """Read questions, the shipped ones by default: JSON lines with id, group, kind, and prompt or messages.

    Raises:
        ForebayError: a line is not as it must be.
    """
    name = str(path) if path is not None else "sample.jsonl"
    try:
        if path is not None:
            text = path.read_text(encoding="utf-8")
        else:
            text = files(__package__ or "").joinpath("sample.jsonl").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ForebayError(f"{name} cannot be read: {error}") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    asks = [_ask(line, f"{name}, line {number}") for number, line in lines]
    ids = {ask.id for ask in asks}
    if not asks or len(ids) != len(asks):
        raise ForebayError(f"{name} must hold at least one question, each with an id of its own")
    return asks


def batches(asks: Sequence[Ask]) -> Iterator[list[Ask]]:
    """Yield what is sent together: neighbours of kind ``concurrent`` and one group, all else alone."""
    for key, found in groupby(asks, key=lambda ask: ask.group if ask.kind == "concurrent" else ""):
        if key:
            yield list(found)
        else:
            yield from ([ask] for ask in found)


def _ask(line: str, where: str) -> Ask:
    try:
        raw: Any = json.loads(line)
    except ValueError:
        raise ForebayError(f"{where}: not JSON") from None
    if not is_object(raw) or not _KEYS.issuperset(raw):
        raise ForebayError(f"{where}: must be an object with keys out of {', '.join(sorted(_KEYS))}")
    if raw.get("kind") not in KINDS:
        raise ForebayError(f"{where}: kind must be one of {', '.join(sorted(KINDS))}")
    messages = raw.get("messages")
    if isinstance(raw.get("prompt"), str):
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": raw["prompt"]}]
    if not is_array(messages) or not messages or not all(is_object(message) for message in messages):
        raise ForebayError(f"{where}: needs a prompt, or messages as a list of objects")
    expect = raw.get("expect", [])
    if not (raw.get("id") and raw.get("group") and is_array(expect)):
        raise ForebayError(f"{where}: needs an id, a group, and expect as a list")
    return Ask(
        id=str(raw["id"]),
        group=str(raw["group"]),
        kind=str(raw["kind"]),
        messages=messages,
        stream=raw.get("stream") is True,
        expect=tuple(str(value) for value in expect),
    )
