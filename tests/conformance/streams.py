"""What two streams of one answer must have in common, wherever their texts are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tests.conformance.wire import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KINDS: Final = ("role", "reasoning_content", "content", "refusal", "tool_calls", "finish_reason")
"""Parts of a chunk, in the order in which they may share one."""


def frame(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return all of a stream of typed events that must not depend on where its text is cut.

    That is every event that adds nothing to a text, what the others add up to, and whether all are numbered, upwards.
    Pings are left out, and the usage of messages: some of it comes first and the rest last, and it is compared in sum.
    """
    out: list[dict[str, Any]] = []
    added: dict[str, str] = {}
    numbers: list[int] = []
    for event in events:
        kind = str(event.get("type", "ping"))
        if isinstance(event.get("sequence_number"), int):
            numbers.append(event["sequence_number"])
        if kind.endswith(".delta"):
            added[kind] = added.get(kind, "") + str(event["delta"])
        elif kind not in ("ping", "content_block_delta"):
            kept = {name: value for name, value in event.items() if name not in ("sequence_number", "usage")}
            if kind == "message_start":
                kept["message"] = {name: value for name, value in kept["message"].items() if name != "usage"}
            out.append(kept)
    numbered = len(numbers) == len(events) and all(one < two for one, two in pairwise(numbers))
    return {"events": out, "added": added, "numbered": numbered}


def shape(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the kinds of events in order, each run of one kind once; the choices of chunks one after the other.

    Pings are left out: they carry nothing.
    """
    choices: dict[int, list[str]] = {}
    rest: list[str] = []
    for event in events:
        of_event: list[dict[str, Any]] = event.get("choices") or []
        for choice in of_event:
            _extend(choices.setdefault(choice["index"], []), _kinds(choice))
        if event.get("usage"):
            _extend(rest, ["usage" if of_event else "usage without choices"])
        elif "choices" not in event and event.get("type") != "ping":
            _extend(rest, [str(event.get("type", "[DONE]"))])
    return [kind for _, kinds in sorted(choices.items()) for kind in kinds] + rest


def flaw(events: Sequence[Mapping[str, Any]]) -> str:
    """Return what is wrong with the events of a response by themselves: they must begin empty and be numbered."""
    for event in events:
        item: dict[str, Any] = event.get("item") or {}
        part: dict[str, Any] = event.get("part") or {}
        begun = [
            *(item.get(name) for name in ("content", "summary", "arguments")),
            part.get("text"),
            part.get("refusal"),
        ]
        if str(event.get("type")).endswith(".added") and any(begun):
            return f"{event['type']} comes with what is added later once more"
        if str(event.get("type")).startswith("response.") and not isinstance(event.get("sequence_number"), int):
            return f"{event['type']} has no number"
    return ""


def _extend(kinds: list[str], more: Iterable[str]) -> None:
    for kind in more:
        if kinds[-1:] != [kind]:
            kinds.append(kind)


def _kinds(choice: Mapping[str, Any]) -> list[str]:
    delta: dict[str, Any] = choice.get("delta") or {"content": choice.get("text")}
    said = {**delta, "refusal": refusal(delta), "finish_reason": choice.get("finish_reason")}
    return [name for name in KINDS if said.get(name)]
