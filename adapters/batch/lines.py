"""Lines of batch files, in the format of OpenAI's batch API as ``vllm run-batch`` reads and writes it.

A line asks ``{"custom_id": …, "method": "POST", "url": …, "body": …}``. It is answered with ``{"id": …, "custom_id": …,
"response": {"status_code": …, "request_id": …, "body": …}, "error": null}``, or with an ``error`` of code and message.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...middleware.batch_checks import RefusedAnswerError, reason_of
from ...middleware.bodies import changes_the_answer
from ...middleware.errors import EngineError, did_you_mean
from ...middleware.narrow import is_array, is_object
from ...middleware.records import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...middleware.records import Answer, JsonObject

ENDPOINTS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
}
"""`Request.endpoint` by the url of a line."""
CONTENT: Final[Mapping[str, str]] = {"chat": "messages", "completions": "prompt", "embeddings": "input"}
"""The field of the body that holds what is asked."""
LONGEST_ID: Final = 512
_SHOWN: Final = 64


class LineError(ValueError):
    """A line that cannot be asked; the text says what to change in it and holds none of its body."""

    def __init__(self, problem: str, custom_id: str = "") -> None:
        self.custom_id = custom_id
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a line asks.

    Attributes:
        custom_id: the caller's name for it.
        request: with an id that a caller of `parse` replaces.
    """

    custom_id: str
    request: Request


def parse(raw: bytes, *, model: str | None, tenant: str, endpoints: frozenset[str], request_id: str = "") -> Asked:
    """Read a line.

    Args:
        model: asked for instead of the model that the line names.
        endpoints: names, as in `ENDPOINTS`, of those that the engine answers.

    Raises:
        LineError: it is no line of a batch file, or asks for what the engine does not answer.
    """
    line = _line(raw)
    custom_id: Any = line.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= LONGEST_ID:
        raise LineError(f'has no "custom_id"; give it a text of 1 to {LONGEST_ID} characters that no other line has')
    try:
        return Asked(custom_id, _request(line, model, tenant, endpoints, request_id))
    except LineError as error:
        raise LineError(str(error), custom_id) from None


def line_id(digest: str, index: int) -> str:
    """Return the id of an answered line: the same each time the same file is run."""
    return f"batch_req_{hashlib.sha256(f'{digest}:{index}'.encode()).hexdigest()[:24]}"


def answered(name: str, custom_id: str, request: Request, request_id: str, answer: Answer) -> JsonObject:
    """Return a line of the output file."""
    response = {"status_code": 200, "request_id": request_id, "body": body_of(request, answer)}
    return {"id": name, "custom_id": custom_id, "response": response, "error": None}


def failed(name: str, custom_id: str, request: Request, error: Exception) -> JsonObject:
    """Return a line of the error file. Its code is `reason_of` the error. An answer that a check refused is in it."""
    code = reason_of(error)
    told = {"code": code, "message": str(error) or code}
    response: JsonObject | None = None
    if isinstance(error, RefusedAnswerError):
        response = {"status_code": 200, "request_id": request.id, "body": body_of(request, error.answer)}
    elif isinstance(error, EngineError) and error.status is not None:
        body = {"error": {"message": str(error), "type": "engine_error", "code": code}}
        response = {"status_code": error.status, "request_id": request.id, "body": body}
    return {"id": name, "custom_id": custom_id, "response": response, "error": told}


def unreadable(name: str, custom_id: str, number: int, problem: str) -> JsonObject:
    """Return a line of the error file for a line that could not be asked."""
    error = {"code": "invalid_line", "message": f"line {number} {problem}", "line": number}
    return {"id": name, "custom_id": custom_id, "response": None, "error": error}


def body_of(request: Request, answer: Answer) -> JsonObject:
    """Return an answer as its endpoint writes it: vectors are kept one by one."""
    if request.endpoint != "embeddings" or "data" in answer.body:
        return answer.body
    parts: Any = answer.body.get("parts")
    rows: list[Any] = parts if is_array(parts) else [answer.body]
    usage = {"prompt_tokens": answer.input_tokens, "total_tokens": answer.input_tokens}
    data = [{"object": "embedding", "index": at, "embedding": row.get("embedding")} for at, row in enumerate(rows)]
    return {"object": "list", "data": data, "model": rows[0].get("model") or request.model, "usage": usage}


def prompt_of(request: Request) -> Any:
    """Return the prompt of a text completion, as the line had it."""
    content: Any = request.messages[0].get("content")
    return [part["prompt"] for part in content] if is_array(content) else content


def inputs_of(request: Request) -> list[Any]:
    """Return the inputs of an embedding request."""
    contents = [message.get("content") for message in request.messages]
    return [content[0]["item"] if is_array(content) else content for content in contents]


def _line(raw: bytes) -> dict[str, Any]:
    try:
        line: Any = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise LineError("is not UTF-8; write the file in that encoding") from None
    except (ValueError, RecursionError):
        raise LineError("is not JSON; write one JSON object a line, without line breaks in it") from None
    if not is_object(line):
        raise LineError("is not a JSON object; write {custom_id, method, url, body}")
    return line


def _request(
    line: dict[str, Any], model: str | None, tenant: str, endpoints: frozenset[str], request_id: str
) -> Request:
    if line.get("method", "POST") != "POST":
        raise LineError('has another "method" than "POST"')
    url, body = line.get("url"), line.get("body")
    endpoint = ENDPOINTS.get(url) if isinstance(url, str) else None
    if endpoint is None:
        hint = did_you_mean(url[:_SHOWN] if isinstance(url, str) else "", list(ENDPOINTS))
        raise LineError(f'has a "url" that is not answered.{hint}')
    if endpoint not in endpoints:
        raise LineError(f"asks {url}, which the configured engine does not answer; give --url")
    if not is_object(body):
        raise LineError('has no "body"; put the request there, as a JSON object')
    named = model or body.get("model")
    if not isinstance(named, str) or not named:
        raise LineError('has no "model" in its body; name one there, or for all lines with --model')
    field = CONTENT[endpoint]
    return Request(
        id=request_id,
        model=named,
        messages=_MESSAGES[endpoint](body.get(field)),
        params={
            name: value
            for name, value in body.items()
            if value is not None and name != field and changes_the_answer(name)
        },
        tenant=tenant,
        endpoint=endpoint,
        batch=endpoint == "embeddings" and is_array(body[field]) and len(_items(body[field])) > 1,
    )


def _chat(given: Any) -> Sequence[JsonObject]:
    if not (is_array(given) and given and all(is_object(message) and "role" in message for message in given)):
        raise LineError('has no "messages" in its body; write a list of objects, each with a role')
    return given


def _prompt(given: Any) -> Sequence[JsonObject]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not is_array(given) or not given:
        raise LineError('has no "prompt" in its body; write a text, or a list of texts')
    # as adapters.litellm keeps them, so that the proxy's answers are found
    prompts = [given] if all(isinstance(token, int) for token in given) else given
    return [{"role": "user", "content": [{"type": "prompt", "prompt": one} for one in prompts]}]


def _inputs(given: Any) -> Sequence[JsonObject]:
    items = _items(given)
    if not items:
        raise LineError('has no "input" in its body; write a text, or a list of texts')
    return [
        {"role": "user", "content": item if isinstance(item, str) else [{"type": "item", "item": item}]}
        for item in items
    ]


def _items(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if not is_array(given):
        return []
    return [given] if given and all(isinstance(token, int) for token in given) else given


_MESSAGES: Final = {"chat": _chat, "completions": _prompt, "embeddings": _inputs}
