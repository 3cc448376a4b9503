"""Reads a batch file: once to check the whole of it, and once more, line by line, to ask."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ...middleware.errors import ForebayError
from ...middleware.keys import UncacheableError, canonical_json
from .lines import Asked, LineError, line_id, parse, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ...middleware.records import JsonObject, Request

SAMPLED: Final = 2_000
"""Lines that are looked at closely before the run: the vectors of more would take minutes."""
SHOWN_PROBLEMS: Final = 5
_STEP: Final = 1_000
_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """How lines are read.

    Attributes:
        model: asked for instead of the model that a line names.
        endpoints: that the engine answers.
    """

    path: Path
    model: str | None
    tenant: str
    endpoints: frozenset[str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line, as it is asked: `asked`, or the `problem` with it.

    Attributes:
        index: its place among the lines that are not empty, from 0.
        number: its place in the file, from 1.
    """

    index: int
    number: int
    asked: Asked | None = None
    custom_id: str = ""
    problem: str = ""

    def failed(self, digest: str) -> JsonObject:
        """Return what the error file says of a problem."""
        return unreadable(line_id(digest, self.index), self.custom_id, self.number, self.problem)


@dataclass(slots=True)
class Checked:
    """What a file holds.

    Attributes:
        digest: of the whole file.
        lines: that are not empty; `good`: of these, those that can be asked.
        problems: the first few lines that cannot.
        repeats: good lines that ask exactly what an earlier one asks.
        models, urls: how many good lines ask for each.
        again: indexes of lines whose custom_id an earlier line has, and the number of that line.
        sample: the first good lines' requests.
        sampled_repeats: `repeats` of these.
    """

    digest: str = ""
    lines: int = 0
    good: int = 0
    problems: list[Line] = field(default_factory=list[Line])
    repeats: int = 0
    models: dict[str, int] = field(default_factory=dict[str, int])
    urls: dict[str, int] = field(default_factory=dict[str, int])
    again: dict[int, int] = field(default_factory=dict[int, int])
    sample: list[Request] = field(default_factory=list["Request"])

    @property
    def bad(self) -> int:
        """Lines that cannot be asked."""
        return self.lines - self.good


def check(reading: Reading, step: Callable[[int], None]) -> Checked:
    """Read the whole file and say what it holds.

    Memory: some 200 bytes a line, and the sample.

    Args:
        step: called with the number of bytes read, now and then.

    Raises:
        ForebayError: it cannot be read.
    """
    found = Checked()
    digest = hashlib.sha256()
    named: dict[bytes, int] = {}
    asked: set[bytes] = set()
    seen = 0
    for line, raw in _lines(reading, {}, digest.update):
        found.lines += 1
        seen += len(raw)
        if found.lines % _STEP == 0:
            step(seen)
            seen = 0
        if line.custom_id:
            earlier = named.setdefault(_short(line.custom_id), line.number)
            if earlier != line.number:
                found.again[line.index] = earlier
                line = _repeated(line, earlier)  # noqa: PLW2901
        if line.asked is None:
            if len(found.problems) < SHOWN_PROBLEMS:
                found.problems.append(line)
            continue
        request = line.asked.request
        found.good += 1
        found.models[request.model] = found.models.get(request.model, 0) + 1
        found.urls[request.endpoint] = found.urls.get(request.endpoint, 0) + 1
        same = _asked(request)
        found.repeats += same in asked
        asked.add(same)
        if len(found.sample) < SAMPLED:
            found.sample.append(request)
    step(seen)
    found.digest = digest.hexdigest()
    return found


def lines(reading: Reading, checked: Checked) -> Iterator[Line]:
    """Yield the lines of a file that was checked.

    Raises:
        ForebayError: it cannot be read, or it is not the file that was checked.
    """
    digest = hashlib.sha256()
    for line, _ in _lines(reading, checked.again, digest.update, name=checked.digest[:12]):
        yield line
    if digest.hexdigest() != checked.digest:
        raise ForebayError(f"{reading.path} was changed while it was read; the lines that were asked may be another's")


def _lines(
    reading: Reading, again: Mapping[int, int], read: Callable[[bytes], None], *, name: str = ""
) -> Iterator[tuple[Line, bytes]]:
    index = 0
    try:
        with reading.path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                read(raw)
                text = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if not text.strip():
                    continue
                line = _line(reading, index, number, text, f"batch-{name}-{index}")
                yield (_repeated(line, again[index]) if index in again else line), raw
                index += 1
    except OSError as error:
        raise ForebayError(f"{reading.path} cannot be read ({error.strerror})") from None


def _line(reading: Reading, index: int, number: int, raw: bytes, request_id: str) -> Line:
    try:
        asked = parse(
            raw, model=reading.model, tenant=reading.tenant, endpoints=reading.endpoints, request_id=request_id
        )
    except LineError as error:
        return Line(index, number, custom_id=error.custom_id, problem=str(error))
    return Line(index, number, asked, asked.custom_id)


def _repeated(line: Line, earlier: int) -> Line:
    problem = f"has the custom_id of line {earlier}; give each line its own"
    return Line(line.index, line.number, custom_id=line.custom_id, problem=problem)


def _asked(request: Request) -> bytes:
    """Return a digest that is equal for requests that ask the same, as far as their bodies show."""
    try:
        said = canonical_json([request.endpoint, request.model, list(request.messages), dict(request.params)])
    except UncacheableError:
        said = request.id
    return _short(said)


def _short(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
