"""Traces to replay: when each request came, and how long prompt and answer were."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ...middleware.analysis.facts import Priority
from ...middleware.narrow import is_array, is_object
from .scheduling_servegen import draw_requests
from .scheduling_tools import Requests, Row
from .traces import TraceError, is_rates, read_rows, times_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ...middleware.records import JsonObject

PROMPTS: Final = ("input_tokens", "prompt_tokens", "ContextTokens", "input_length", "prompt_len", "input_toks")
OUTPUTS: Final = ("output_tokens", "completion_tokens", "GeneratedTokens", "output_length", "output_len", "output_toks")
TENANTS: Final = ("tenant", "adapter_dir", "user", "client")
MODELS: Final = ("model", "model_group")
HASHED: Final = 512
"""Tokens of a block of Mooncake's ``hash_ids``."""


def read_requests(
    path: Path, *, unit: str = "", rows: tuple[int, int | None] = (0, None), lengths: Path | None = None, seed: int = 0
) -> Requests:
    """Read a trace: CSV or JSON lines, gzipped or not.

    Known are Azure's CSV, Mooncake's JSON lines (``hash_ids`` are blocks of 512 tokens that prompts share), the CSV of VTC's
    arena replay (a tenant for each ``adapter_dir``), ServeGen's windows (drawn from, see `draw_requests`), and one's own: a
    time (see `traces.COLUMNS`), ``input_tokens`` and ``output_tokens`` (or as in `PROMPTS` and `OUTPUTS`), and where they are
    known ``tenant``, ``model``, ``priority`` (a class), ``deadline_s`` (after the arrival), ``prompt`` (text) or ``messages``.
    Lines of ``forebay cache warm`` (``request``, ``response``, ``created_s``) are read, too, and LiteLLM's logging payloads.

    Args:
        unit: of times that are numbers, as in `read_trace`.
        rows: from one to before another, by arrival; None for the last.
        lengths: ServeGen's quantiles of lengths; "" for the file that belongs to it by name.
        seed: of what is drawn.

    Raises:
        TraceError: it is something else, or cannot be read.
    """
    told = read_rows(path)
    if is_rates(told[0][1]):
        return draw_requests(path, told, rows, lengths, seed)
    times_s = times_of(path, told, unit)
    order = sorted(range(len(told)), key=times_s.__getitem__)[slice(*rows)]
    if not order:
        raise TraceError(f"{path} has {len(told)} requests; --rows leaves none of them")
    columns = _Columns(path, told[0][1])
    start_s = times_s[order[0]]
    made = [columns.row(*told[at], times_s[at] - start_s) for at in order]
    return Requests(path.name, made, HASHED if "hash_ids" in told[0][1] else None)


class _Columns:
    """Reads lines of one file: which fields it has is told by its first line.

    Raises:
        TraceError: it does not say how long prompts and answers were.
    """

    def __init__(self, path: Path, first: Mapping[str, Any]) -> None:
        self._path = path
        self._logged = "request" in first and "response" in first
        self._hashed = "hash_ids" in first
        self._prompt, self._output, self._tenant, self._model = (
            next((name for name in names if name in first), "") for names in (PROMPTS, OUTPUTS, TENANTS, MODELS)
        )
        if not self._logged and not (self._prompt and self._output):
            raise TraceError(
                f"{path}: no column with the tokens of prompts and answers; they must be one of {', '.join(PROMPTS)}, and one of "
                f"{', '.join(OUTPUTS)}"
            )

    def row(self, number: int, line: Mapping[str, Any], at_s: float) -> Row:
        """Return what a line says."""
        if self._logged:
            return self._of_log(number, line, at_s)
        return Row(
            at_s,
            self._tokens(number, self._prompt, line.get(self._prompt)),
            self._tokens(number, self._output, line.get(self._output)),
            str(line.get(self._tenant) or ""),
            str(line.get(self._model) or ""),
            self._priority(number, line.get("priority")),
            self._deadline(number, line.get("deadline_s")),
            self._prefix(number, line) if self._hashed else (),
            _messages(line),
        )

    def _of_log(self, number: int, line: Mapping[str, Any], at_s: float) -> Row:
        """Return what a line of ``forebay cache warm`` says."""
        request, response = line.get("request"), line.get("response")
        usage = response.get("usage") if is_object(response) else None
        if not (is_object(request) and is_object(usage)):
            raise TraceError(f"{self._path}, line {number}: no 'request' with the 'usage' of its 'response'")
        return Row(
            at_s,
            self._tokens(number, "prompt_tokens", usage.get("prompt_tokens")),
            self._tokens(number, "completion_tokens", usage.get("completion_tokens")),
            str(line.get("tenant") or ""),
            str(line.get("model") or request.get("model") or ""),
            messages=_messages(request),
        )

    def _tokens(self, number: int, column: str, value: object) -> int:
        """Return a number of tokens; where none were counted, there was at least one."""
        tokens = _number(value)
        if not 0 <= tokens < math.inf:
            raise TraceError(f"{self._path}, line {number}: {column} is not a number of tokens")
        return max(1, int(tokens))

    def _deadline(self, number: int, value: object) -> float | None:
        if value in (None, ""):
            return None
        seconds = _number(value)
        if not 0 < seconds < math.inf:
            raise TraceError(f"{self._path}, line {number}: deadline_s must be seconds above 0")
        return seconds

    def _priority(self, number: int, value: object) -> Priority:
        if value in (None, ""):
            return Priority.STANDARD
        try:
            return Priority(str(value))
        except ValueError:
            raise TraceError(f"{self._path}, line {number}: priority must be one of {', '.join(Priority)}") from None

    def _prefix(self, number: int, line: Mapping[str, Any]) -> tuple[int, ...]:
        names: Any = line.get("hash_ids", ())
        if not is_array(names) or not all(isinstance(name, int) for name in names):
            raise TraceError(f"{self._path}, line {number}: hash_ids must be a list of whole numbers")
        return tuple(names)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _messages(line: Mapping[str, Any]) -> Sequence[JsonObject]:
    prompt, messages = line.get("prompt"), line.get("messages")
    if isinstance(prompt, str) and prompt:
        return ({"role": "user", "content": prompt},)
    if is_array(messages) and messages and all(map(is_object, messages)):
        return tuple(messages)
    return ()
