"""Questions of many kinds whose answers a program can check, for `difficulty`: our own text, most of it made by templates."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the kind it is of, its answer, how an answer is compared with it, and whether a small model failed."""

    family: str
    text: str
    answer: str
    compare: str
    failed: bool


def read(path: Path) -> list[Question]:
    """Return the questions of a file."""
    return [Question(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, questions: Sequence[Question]) -> None:
    """Write questions, one a line."""
    lines = [json.dumps(asdict(question), ensure_ascii=False) + "\n" for question in questions]
    path.write_text("".join(lines), encoding="utf-8")


def right(question: Question, given: str) -> bool:
    """Return whether a model's answer is right; one that names the wrong thing first is not."""
    answer = question.answer.lower()
    text = given.strip().lower()
    numbers = re.findall(r"-?\d+", text.replace(",", ""))
    words = re.findall(r"[^\W_]+", text)
    if question.compare == "same":
        return words == answer.split()
    if question.compare == "number":
        # the working may be shown, before it or after it
        return bool(numbers) and answer in (numbers[0], numbers[-1]) and len(set(numbers) - {answer}) <= 2
    if question.compare == "first":
        return words[:1] == [answer]
    if question.compare == "only":
        offered = set(re.findall(r"[^\W_]+", question.text.lower().rpartition(":")[2]))
        return offered.intersection(re.findall(r"[^\W_]+", re.split(r"[.\n]", text)[0])) == {answer}
    if question.compare == "either":
        return {word for word in words if word in ("positive", "negative")} == {answer}
    if question.compare == "sequence":
        wanted = answer.split()
        last = next((line for line in reversed(text.split("\n")) if line.strip()), "")
        return wanted in (re.findall(r"[^\W_]+", last)[-len(wanted) :], words[-len(wanted) :])
    return answer in words
