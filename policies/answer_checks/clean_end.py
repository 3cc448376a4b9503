"""The write gate that every answer passes: whole, well formed, and ended because the model was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from .chat import refuse_chat
from .others import refuse_completions, refuse_embeddings, refuse_messages, refuse_responses

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...middleware.records import Answer, Request

_BY_ENDPOINT: Final[Mapping[str, Callable[[Request, Mapping[str, Any]], str | None]]] = {
    "chat": refuse_chat,
    "tokens": refuse_chat,
    "completions": refuse_completions,
    "responses": refuse_responses,
    "messages": refuse_messages,
    "embeddings": refuse_embeddings,
}


class CleanEnd:
    """Refuses answers that are incomplete, empty, malformed, refusals or errors, in any endpoint's format.

    Labels: not_an_object, error_body, no_choices, wrong_choice_count, finish_reason_length,
    finish_reason_content_filter, finish_reason_null, finish_reason_other, refusal, empty, invalid_tool_arguments,
    logprobs_missing, unknown_endpoint. Clean ends are ``stop``, ``tool_calls`` and ``function_call`` of chat and text
    completions, the status ``completed`` of the Responses API, and ``end_turn``, ``stop_sequence`` and ``tool_use`` of
    Anthropic's Messages API.
    """

    def refuse(self, request: Request, answer: Answer) -> str | None:
        """Return None, or the label of the first thing that is wrong with the answer's body."""
        body: Any = answer.body
        if not isinstance(body, Mapping):
            return "not_an_object"
        fields = cast("Mapping[str, Any]", body)
        if fields.get("error") is not None:
            return "error_body"
        check = _BY_ENDPOINT.get(request.endpoint)
        return "unknown_endpoint" if check is None else check(request, fields)
