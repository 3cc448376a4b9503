"""One call of a wrapped engine, as the run stop takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .outputs import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from ...middleware.records import Answer
    from .names import Names


class GenerateSource:
    """A call of ``generate``.

    Twins read it along where they want outputs of the same kind.

    Args:
        begin: makes the call, with the headers that make it our child in a trace.
        sampling_params: vLLM's.
    """

    def __init__(
        self, names: Names, begin: Callable[[Mapping[str, str]], AsyncGenerator[Any, None]], sampling_params: Any
    ) -> None:
        kind = sampling_params.output_kind
        self.form: str | None = kind.name
        self.whole = kind is names.output_kind.FINAL_ONLY
        # of several choices each output brings one
        self.latest = kind is names.output_kind.CUMULATIVE and sampling_params.n == 1
        self._begin = begin
        self._recorder = Recorder(names, kind)

    def open(self, headers: Mapping[str, str]) -> AsyncGenerator[Any, None]:
        """Begin the call."""
        return self._begin(headers)

    def add(self, piece: Any) -> bool:
        """Take note of an output."""
        return self._recorder.add(piece)

    def answer(self) -> Answer | None:
        """Return the answer, in the form in which it is kept."""
        return self._recorder.answer()


class EncodeSource:
    """A call of ``encode``: its tensors are not kept."""

    form: str | None = None
    whole = True
    latest = True

    def __init__(self, begin: Callable[[Mapping[str, str]], AsyncGenerator[Any, None]]) -> None:
        self._begin = begin

    def open(self, headers: Mapping[str, str]) -> AsyncGenerator[Any, None]:
        """Begin the call."""
        return self._begin(headers)

    def add(self, piece: Any) -> bool:  # noqa: ARG002
        """Take note of an output."""
        return True

    def answer(self) -> Answer | None:
        """Return None."""
        return None
