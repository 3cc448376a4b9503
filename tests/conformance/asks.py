"""What is asked: every endpoint, every feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.integration.upstream import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE: Final = f"data:image/png;base64,{PIXEL}"
PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "sure": {"type": "boolean"}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}
WEATHER: Final = {"name": "get_weather", "description": "The weather of some days.", "parameters": PARAMETERS}
ARGUMENTS: Final = '{"city": "Oslo", "days": 3}'


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing asked of an endpoint.

    Attributes:
        body: without model and stream.
        reply: what the engine is told to answer.
        first: a body sent before; the id of its answer becomes `previous_response_id`.
    """

    body: Mapping[str, Any]
    reply: Reply | None = None
    first: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the table shows it.

    Attributes:
        model: of the proxies' models the one that leads there.
        features: each makes what is asked from a text, or says why there is no such thing.
        streams: whether the endpoint can stream.
    """

    title: str
    path: str
    model: str
    features: Mapping[str, Callable[[str], Ask] | str]
    streams: bool = True


def _chat(text: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def _turns(text: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "I like geography."},
        {"role": "assistant", "content": "Ask me anything about it."},
        {"role": "user", "content": text},
    ]


def _chat_result(text: str) -> Ask:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
    messages = [
        {"role": "user", "content": "Which city do I mean?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": text},
    ]
    return Ask({"messages": messages, "tools": [{"type": "function", "function": WEATHER}]})


CHAT: Final[dict[str, Callable[[str], Ask] | str]] = {
    "plain": lambda text: Ask(_chat(text)),
    "tools": lambda text: Ask(_chat(text, tools=[{"type": "function", "function": WEATHER}], tool_choice="auto")),
    "tool result": _chat_result,
    "logprobs": lambda text: Ask(_chat(text, logprobs=True, top_logprobs=2)),
    "n=2": lambda text: Ask(_chat(text, n=2)),
    "JSON schema": lambda text: Ask(
        _chat(
            text,
            response_format={"type": "json_schema", "json_schema": {"name": "r", "strict": True, "schema": SCHEMA}},
        )
    ),
    "image": lambda text: Ask(
        _chat([{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": PICTURE}}])
    ),
    "multi-turn": lambda text: Ask({"messages": [{"role": "system", "content": "Be brief."}, *_turns(text)]}),
    "reasoning": lambda text: Ask(_chat(text), Reply(reasoning="Let me think about that.")),
    "refusal": lambda text: Ask(_chat(text), Reply(refusal="I would rather not say that.")),
}

COMPLETIONS: Final[dict[str, Callable[[str], Ask] | str]] = {
    "plain": lambda text: Ask({"prompt": text}),
    "tools": "the endpoint has no tools",
    "logprobs": lambda text: Ask({"prompt": text, "logprobs": 2}),
    "n=2": lambda text: Ask({"prompt": text, "n": 2}),
    "JSON schema": "the endpoint has no response format",
    "image": "the endpoint takes text only",
    "multi-turn": "a prompt has no turns",
    "echo": lambda text: Ask({"prompt": text, "echo": True}),
    "several prompts": lambda text: Ask({"prompt": [text, f"{text} And why?"]}),
}


def _response_result(text: str) -> Ask:
    call = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": ARGUMENTS}
    result = {"type": "function_call_output", "call_id": "call_1", "output": text}
    items = [{"role": "user", "content": text}, call, result]
    return Ask({"input": items, "tools": [{"type": "function", "strict": True, **WEATHER}]})


RESPONSES: Final[dict[str, Callable[[str], Ask] | str]] = {
    "plain": lambda text: Ask({"input": text}),
    "tools": lambda text: Ask({"input": text, "tools": [{"type": "function", "strict": True, **WEATHER}]}),
    "tool result": _response_result,
    "logprobs": lambda text: Ask({"input": text, "include": ["message.output_text.logprobs"], "top_logprobs": 2}),
    "n=2": "the endpoint gives one answer",
    "JSON schema": lambda text: Ask(
        {"input": text, "text": {"format": {"type": "json_schema", "name": "r", "strict": True, "schema": SCHEMA}}}
    ),
    "image": lambda text: Ask(
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": text},
                        {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
                    ],
                }
            ]
        }
    ),
    "multi-turn": lambda text: Ask({"instructions": "Be brief.", "input": _turns(text)}),
    "previous response": lambda text: Ask({"input": text}, first={"input": f"First of all: {text}"}),
    "reasoning": lambda text: Ask({"input": text}, Reply(reasoning="Let me think.")),
    "refusal": lambda text: Ask({"input": text}, Reply(refusal="I would rather not say that.")),
}

_TOOL: Final = {"name": "get_weather", "description": "The weather of some days.", "input_schema": PARAMETERS}


def _message(text: Any, **more: Any) -> dict[str, Any]:
    return {"max_tokens": 2048, **_chat(text), **more}


def _message_result(text: str) -> Ask:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo", "days": 3}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain."}
    messages = [
        {"role": "user", "content": "Which city do I mean?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result, {"type": "text", "text": text}]},
    ]
    return Ask({"max_tokens": 2048, "messages": messages, "tools": [_TOOL]})


MESSAGES: Final[dict[str, Callable[[str], Ask] | str]] = {
    "plain": lambda text: Ask(_message(text)),
    "tools": lambda text: Ask(_message(text, tools=[_TOOL])),
    "tool result": _message_result,
    "logprobs": "the endpoint has no log probabilities",
    "n=2": "the endpoint gives one answer",
    "JSON schema": lambda text: Ask(_message(text, output_format={"type": "json_schema", "schema": SCHEMA})),
    "image": lambda text: Ask(
        _message(
            [
                {"type": "text", "text": text},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            ]
        )
    ),
    "multi-turn": lambda text: Ask({"max_tokens": 2048, "system": "Be brief.", "messages": _turns(text)}),
    "reasoning": lambda text: Ask(_message(text), Reply(reasoning="Let me think.")),
}

EMBEDDINGS: Final[dict[str, Callable[[str], Ask] | str]] = {
    "plain": lambda text: Ask({"input": text}),
    **dict.fromkeys(
        ("tools", "logprobs", "n=2", "JSON schema", "image", "multi-turn"), "the endpoint takes texts only"
    ),
    "several texts": lambda text: Ask({"input": [text, f"{text} And why?"]}),
    "token ids": lambda text: Ask({"input": [[len(text), 2, 3], [len(text), 5]]}),
    "base64": lambda text: Ask({"input": [text], "encoding_format": "base64"}),
    "dimensions": lambda text: Ask({"input": [text], "dimensions": 4}),
}

ENDPOINTS: Final = (
    Endpoint("/v1/chat/completions", "/v1/chat/completions", "tiny", CHAT),
    Endpoint("/v1/completions", "/v1/completions", "text", COMPLETIONS),
    Endpoint("/v1/responses", "/v1/responses", "tiny", RESPONSES),
    Endpoint("/v1/messages, OpenAI backend", "/v1/messages", "tiny", MESSAGES),
    Endpoint("/v1/messages, Anthropic backend", "/v1/messages", "claude", MESSAGES),
    Endpoint("/v1/embeddings", "/v1/embeddings", "vectors", EMBEDDINGS, streams=False),
)
