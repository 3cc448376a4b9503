"""What a request looks like: size, modalities, tools, form, language, code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ...middleware.analysis.facts import Profile
from .code import split_code
from .form import JsonFields, fields_of, is_structured, items_of, max_tokens_of, params_of, stops_of, tools_of
from .language import UNKNOWN, language_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...middleware.analysis.facts import RequestFacts
    from ...middleware.records import Request

    Count = Callable[[str], int]

COUNTED_CHARS: Final = 4_000
LOOKED_AT: Final = 8_000
"""Of a longer turn the first characters stand for the rest."""
_LANGUAGE_CHARS: Final = 600
_CHARS_A_TOKEN: Final = 4
"""Of JSON schemas; what they take more in quotes they save in words that recur."""
_TOKENS_A_MESSAGE: Final = 4
_GIVEN: Final = frozenset({"instructions", "system", "tools", "functions"})
_TEXT: Final = ("text",)
_MODALITIES: Final = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "input_audio": "audio",
    "audio_url": "audio",
    "audio": "audio",
    "file": "file",
    "input_file": "file",
    "document": "file",
}


class ProfileClassifier:
    """Fills `RequestFacts.profile`.

    Texts are those of chat messages, of Anthropic's ``system`` and of the Responses API's ``instructions``; the definitions of
    tools count as input, too; images, audio and files do not. Code is looked for in the last user turn: fenced in its first
    8,000 characters, in lines in the first 600 outside of fences; its language in the first 600 that are not code. No JSON value makes it raise.

    Args:
        counter_of: returns what counts a model's tokens, None where its tokenizer is not known.
        counted_chars: how much of a prompt is counted; the rest is taken to be like it. A counter that raises, or counts
            what cannot be, leaves the estimate.
    """

    def __init__(
        self, counter_of: Callable[[str], Count | None] | None = None, *, counted_chars: int = COUNTED_CHARS
    ) -> None:
        self._counter_of = counter_of
        self._counted_chars = counted_chars

    def classify(self, request: Request, facts: RequestFacts) -> RequestFacts:
        """Return the facts with the request's profile."""
        params = params_of(request.params)
        messages = [fields_of(message) for message in items_of(request.messages)]
        modalities = {kind for message in messages for kind in _modalities(message.get("content"))}
        language, code_share = _last_turn(messages)
        given = _given(params)
        tokens, counted = self._tokens(request, messages, given), True
        if tokens is None:
            tokens, counted = facts.input_tokens + len(given) // _CHARS_A_TOKEN, False
        return facts.having(
            profile=Profile(
                input_tokens=tokens,
                counted=counted,
                modalities=tuple(sorted(modalities)) or _TEXT,
                tools=tools_of(params),
                structured=is_structured(params),
                language=language,
                code_share=code_share,
                max_tokens=max_tokens_of(params),
                stops=stops_of(params),
            ),
        )

    def _tokens(self, request: Request, messages: Sequence[JsonFields], given: str) -> int | None:
        if request.token_ids:
            return len(request.token_ids)
        if self._counter_of is None:
            return None
        try:
            count = self._counter_of(request.model)
            if count is None:
                return None
            texts = [given] if given else []
            texts += [_text(message.get("content")) for message in messages]
            whole = "\n".join(texts)
            part = whole[: self._counted_chars]
            tokens = count(part)
            if len(part) < len(whole):
                tokens = tokens * len(whole) // len(part)
            return tokens + _TOKENS_A_MESSAGE * len(messages) if tokens >= 0 else None
        except Exception:
            return None  # fails open: the estimate is there


def _last_turn(messages: Sequence[JsonFields]) -> tuple[str, float]:
    """Return the language and the share of code of the last user turn."""
    for message in reversed(messages):
        if message.get("role") == "user":
            text = _text(message.get("content"))[:LOOKED_AT]
            code, prose = split_code(text)
            return language_of(prose[:_LANGUAGE_CHARS]), min(1.0, code / len(text)) if text else 0.0
    return UNKNOWN, 0.0


def _modalities(content: Any) -> Sequence[str]:
    if isinstance(content, str):
        return _TEXT
    kinds = [fields_of(part).get("type") for part in items_of(content)]
    return [_MODALITIES[kind] for kind in kinds if isinstance(kind, str) and kind in _MODALITIES]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = [fields_of(part).get("text") for part in items_of(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _given(params: JsonFields) -> str:
    """Return what stands in the prompt beside the messages."""
    if _GIVEN.isdisjoint(params):
        return ""
    texts = [_text(params.get(name)) for name in ("instructions", "system")]
    texts += [_json(params[name]) for name in ("tools", "functions") if params.get(name)]
    return "\n".join(text for text in texts if text)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return ""
