"""Labelled pairs of questions or conversations, read from files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ...middleware.errors import AdapterError
from .files import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ...middleware.records import JsonObject

Side: TypeAlias = "str | Sequence[JsonObject]"

_HEADER = ("text_a", "text_b", "label")
_YES = {"1", "true", "yes"}
_NO = {"0", "false", "no"}


class PairsError(AdapterError):
    """A file of labelled pairs cannot be read; names file and line, never what the line says."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two questions and whether one answer serves both.

    Attributes:
        a: what is asked: a question, or the messages of a conversation whose last one it is.
        b: what the kept answer was the answer to.
        same: whether the kept answer would do.
        category: a part of the file that is also reported on its own; "" for none.
    """

    a: Side
    b: Side
    same: bool
    category: str = ""


def read_pairs(path: Path) -> list[LabelledPair]:
    """Read a file of pairs: JSON lines, or tab-separated where the name has ``.tsv`` in it; ``.gz`` is unpacked.

    JSON lines hold ``a``, ``b``, ``same_answer`` and perhaps ``category``; a and b are strings or lists of chat messages.
    Tab-separated files have the header ``text_a``, ``text_b``, ``label``, with 1 for the same answer and 0 for another.

    Raises:
        PairsError: it is something else, or cannot be read.
    """
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PairsError(f"{path} cannot be read ({error.__class__.__name__})") from error
    pairs = list(_from_tsv(path, text) if ".tsv" in path.suffixes else _from_json_lines(path, text))
    if not pairs:
        raise PairsError(f"{path} holds no pairs")
    return pairs


def _from_json_lines(path: Path, text: str) -> Iterator[LabelledPair]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if not line.strip():
            continue
        pair = _pair(line)
        if pair is None:
            raise PairsError(
                f"{path}, line {number}: not a pair; it must be JSON with 'a' and 'b' (a question or a list of messages) "
                "and 'same_answer' (true or false)"
            )
        yield pair


def _pair(line: str) -> LabelledPair | None:
    try:
        row: Any = json.loads(line)
        same, category = row["same_answer"], row.get("category") or ""
        if not isinstance(same, bool | int):
            return None
        return LabelledPair(_side(row["a"]), _side(row["b"]), bool(same), str(category))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _side(value: Any) -> Side:
    if isinstance(value, str):
        return value
    messages = list(value)
    if not messages or not all(isinstance(message, dict) and isinstance(message["role"], str) for message in messages):
        raise ValueError("no messages")
    return messages


def _from_tsv(path: Path, text: str) -> Iterator[LabelledPair]:
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t")
    if not set(_HEADER) <= set(rows.fieldnames or ()):
        raise PairsError(f"{path}: its first line must name the columns {', '.join(_HEADER)}, separated by tabs")
    for row in rows:
        left, right, label = (row[name] for name in _HEADER)
        said = (label or "").strip().lower()
        if left is None or right is None or said not in _YES | _NO:
            raise PairsError(f"{path}, line {rows.line_num}: it must have two texts and a label, 1 or 0")
        yield LabelledPair(left, right, said in _YES)
