"""One choice of an answer: made of vLLM's ``CompletionOutput``, kept, and made one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .logprobs import Position, is_flat, number, read, sums, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...middleware.records import JsonObject
    from .names import Names

PIECE_TOKENS: Final = 16
"""A stream is kept in pieces of at least so many tokens: each that is sent again costs the server about what a token costs."""


class ChoiceRecorder:
    """Takes note of a choice piece by piece, in all in a time that grows with its length. Copies what it keeps."""

    __slots__ = ("_cuts", "_flat", "_full", "_logprobs", "_texts", "_token_ids")

    def __init__(self) -> None:
        self._token_ids: list[int] = []
        self._texts: list[str] = []
        self._cuts: list[tuple[int, int]] = []
        self._full = PIECE_TOKENS
        self._logprobs: list[Position] | None = None
        self._flat = False

    def add(self, one: Any) -> None:
        """Take note of what it says beyond the pieces before."""
        token_ids = self._token_ids
        token_ids += one.token_ids
        self._texts.append(one.text)
        if one.logprobs is not None:
            self._add_logprobs(one.logprobs)
        if len(token_ids) >= self._full:
            self._cuts.append((len(token_ids), len(self._texts)))
            self._full = len(token_ids) + PIECE_TOKENS

    def whole(self, last: Any) -> dict[str, Any]:
        """Return the choice as JSON, with the end that its last piece has."""
        summed = last.cumulative_logprob
        choice: dict[str, Any] = {
            "index": last.index,
            "message": {"role": "assistant", "content": "".join(self._texts)},
            "finish_reason": last.finish_reason,
            "stop_reason": last.stop_reason,
            "token_ids": self._token_ids,
            "cumulative_logprob": None if summed is None else number(summed),
            "logprobs": self._logprobs,
            "logprobs_flat": self._flat,
        }
        if pieces := self._pieces():
            choice["pieces"] = pieces
        if last.weight_versions is not None:
            choice["weight_versions"] = [[span.version, span.start, span.end] for span in last.weight_versions]
        return choice

    def _add_logprobs(self, logprobs: Any) -> None:
        if self._logprobs is None:
            self._logprobs, self._flat = [], is_flat(logprobs)
        self._logprobs += written(logprobs)

    def _pieces(self) -> list[list[int]]:
        """Return the tokens and characters of each piece but the last."""
        pieces: list[list[int]] = []
        at = said = 0
        for tokens, texts in self._cuts:
            if texts < len(self._texts):  # else this is the last
                pieces.append([tokens - at, sum(map(len, self._texts[said:texts]))])
            at, said = tokens, texts
        return pieces


def completion(names: Names, choice: JsonObject) -> Any:
    """Return a kept choice as one ``CompletionOutput``.

    Raises:
        KeyError, TypeError, ValueError: it is not one that was kept here.
    """
    return _part(names, choice, slice(None), slice(None), choice["cumulative_logprob"], last=True)


def deltas(names: Names, choice: JsonObject) -> Iterator[Any]:
    """Yield a kept choice in pieces; joined they are the whole, and the end comes with the last.

    Raises:
        KeyError, TypeError, ValueError: it is not one that was kept here.
    """
    positions: list[Position] | None = choice["logprobs"]
    running = None if positions is None else sums(positions)
    cuts = choice.get("pieces", ())
    if positions is not None and (running is None or len(positions) != len(choice["token_ids"])):
        cuts = ()  # positions that are not one a token cannot be cut where tokens are
    at = said = 0
    for tokens, chars in cuts:
        at, said, begin, start = at + tokens, said + chars, at, said
        yield _part(names, choice, slice(begin, at), slice(start, said), None if running is None else running[at])
    yield _part(names, choice, slice(at, None), slice(said, None), choice["cumulative_logprob"], last=True)


def _part(names: Names, choice: JsonObject, tokens: slice, chars: slice, summed: Any, *, last: bool = False) -> Any:
    positions = choice["logprobs"]
    spans = choice.get("weight_versions") if last else None
    return names.completion_output(
        index=choice["index"],
        text=choice["message"]["content"][chars],
        token_ids=choice["token_ids"][tokens],
        cumulative_logprob=None if summed is None else float(summed),
        logprobs=None if positions is None else read(names, positions[tokens], flat=choice["logprobs_flat"]),
        finish_reason=choice["finish_reason"] if last else None,
        stop_reason=choice["stop_reason"] if last else None,
        weight_versions=None if spans is None else [names.weight_span(*span) for span in spans],
    )
