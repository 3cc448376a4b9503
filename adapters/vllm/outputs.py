"""vLLM's outputs as a kept answer, and a kept answer as vLLM's outputs.

The answer's body has the form of a chat's, so that whatever reads answers can read it, with what only vLLM's callers know
beside it::

    {"object": "forebay.tokens",
     "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT},
                  "finish_reason": "stop", "stop_reason": int | str | null, "token_ids": [...],
                  "cumulative_logprob": float | null, "logprobs": [position, ...] | null, "logprobs_flat": bool,
                  "pieces": [[tokens, characters], ...],  # as it was streamed; the rest is the last piece
                  "weight_versions": [[version, start, end], ...]}],
     "prompt_logprobs": [position, ...], "prompt_logprobs_flat": bool,
     "usage": {"prompt_tokens": int, "completion_tokens": int}}

``pieces``, ``weight_versions`` and the prompt's are absent where there are none; `logprobs` says what a position is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import PayloadError
from ...middleware.records import Answer
from .choices import ChoiceRecorder, completion, deltas
from .logprobs import is_flat, read, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...middleware.records import JsonObject
    from .names import Names

OBJECT: Final = "forebay.tokens"
ENDS: Final = frozenset({"stop", "length", "repetition"})
"""The ends of a whole output. vLLM's others are ``abort`` and ``error``."""

_KNOWN: Final = frozenset(
    "index text token_ids cumulative_logprob logprobs finish_reason stop_reason weight_versions "
    "prompt_token_ids prompt_logprobs outputs finished "
    "request_id prompt lora_request metrics num_cached_tokens num_cache_creation_tokens spec_decode_metrics".split()
)
"""What of an output is kept, and, on the last line, what is of the call and not of the answer."""


class Recorder:
    """Makes an answer of a call's outputs. Copies what it keeps: others read, and change, the same outputs.

    Args:
        kind: the call's ``RequestOutputKind``.
    """

    def __init__(self, names: Names, kind: Any) -> None:
        self._delta = kind is names.output_kind.DELTA
        self._open: dict[int, ChoiceRecorder] = {}
        self._done: dict[int, JsonObject] = {}
        self._prompt: dict[str, Any] = {}
        self._prompt_tokens = 0
        self._over = self._lost = False

    def add(self, output: Any) -> bool:
        """Take note of a ``RequestOutput``; return whether it brings tokens or text."""
        brings = False
        for one in output.outputs:
            choice = self._open.get(one.index)
            if choice is None or one.finish_reason is not None:
                self._at_an_end(output, one)
            elif self._delta:
                choice.add(one)
            if one.token_ids or one.text:
                brings = True
        if output.finished:
            self._over = True
        return brings

    def answer(self) -> Answer | None:
        """Return the answer; None where a choice has no end of its own, or had something that the body cannot hold."""
        count = len(self._done)
        if self._lost or self._open or not self._over or not count or set(self._done) != set(range(count)):
            return None
        choices = [self._done[index] for index in range(count)]
        tokens = sum(len(choice["token_ids"]) for choice in choices)
        usage = {"prompt_tokens": self._prompt_tokens, "completion_tokens": tokens}
        body = {"object": OBJECT, "choices": choices, **self._prompt, "usage": usage}
        return Answer(body, self._prompt_tokens, tokens)

    def _at_an_end(self, output: Any, one: Any) -> None:
        """Take note of the first piece of a choice, or of its last; only these have what is said once."""
        self._prompt_tokens = len(output.prompt_token_ids or ())
        logprobs = output.prompt_logprobs
        if logprobs and not self._prompt:
            self._prompt = {"prompt_logprobs": written(logprobs), "prompt_logprobs_flat": is_flat(logprobs)}
        if _holds_more(output) or _holds_more(one):
            self._lost = True
        if one.index in self._done:
            self._lost = True  # it goes on after its end, since its prompt comes in parts
        choice = self._open.setdefault(one.index, ChoiceRecorder())
        ended = one.finish_reason is not None
        if self._delta or ended:
            choice.add(one)
        if ended:
            self._done[one.index] = self._open.pop(one.index).whole(one)
            if one.finish_reason not in ENDS:
                self._lost = True


def replay(
    names: Names,
    answer: Answer,
    kind: Any,
    *,
    request_id: str,
    prompt: str | None,
    prompt_token_ids: Sequence[int],
    lora_request: Any = None,
) -> list[Any]:
    """Return a kept answer as outputs of a call, made anew each time since callers change them.

    As DELTA, a choice comes in the pieces it was kept in, and after it the next. As another kind there is one output with all
    choices: vLLM gives it to a reader who was slow, too. What is of the call is this call's: its whole prompt counts as cached
    (``num_cached_tokens``), since none of it was computed, and there are no metrics.

    Args:
        kind: the call's ``RequestOutputKind``.

    Raises:
        PayloadError: the answer is not one that a `Recorder` made.
    """
    body, token_ids = answer.body, list(prompt_token_ids)

    def output(outputs: list[Any], *, first: bool, finished: bool) -> Any:
        return names.request_output(
            request_id=request_id,
            prompt=prompt,
            prompt_token_ids=token_ids,
            prompt_logprobs=_of_prompt(names, body, first=first),
            outputs=outputs,
            finished=finished,
            lora_request=lora_request,
            num_cached_tokens=len(token_ids),
            num_cache_creation_tokens=0,
        )

    try:
        if body["object"] != OBJECT or not body["choices"]:
            raise ValueError
        choices: list[JsonObject] = body["choices"]
        if kind is not names.output_kind.DELTA:
            return [output([completion(names, choice) for choice in choices], first=True, finished=True)]
        outputs = [
            output([piece], first=at == 0, finished=False)
            for choice in choices
            for at, piece in enumerate(deltas(names, choice))
        ]
        outputs[-1].finished = True
    except (KeyError, IndexError, TypeError, ValueError):
        raise PayloadError("a kept answer is not one of vLLM's outputs") from None
    return outputs


def _holds_more(record: object) -> bool:
    """Return whether vLLM, in this version or a later one, says what the body has no place for."""
    return any(value is not None and name not in _KNOWN for name, value in vars(record).items())


def _of_prompt(names: Names, body: JsonObject, *, first: bool) -> Any:
    """Return the prompt's log probabilities; vLLM gives an empty list with all pieces but the first."""
    positions = body.get("prompt_logprobs")
    if positions is None:
        return None
    return read(names, positions, flat=body["prompt_logprobs_flat"]) if first else []
