"""What the engine answers, before an endpoint writes it in its own format."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.integration.upstream.script import Reply

PROMPT_TOKENS = 11
LOGPROB = -0.25
STARTED = 1_700_000_000


@dataclass(slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str

    @property
    def parts(self) -> tuple[str, str]:
        """The arguments as a stream sends them."""
        return self.arguments[:9], self.arguments[9:]


@dataclass(slots=True)
class Output:
    """One choice."""

    text: str | None
    finish_reason: str | None
    reasoning: str | None = None
    refusal: str | None = None
    calls: list[ToolCall] = field(default_factory=list[ToolCall])

    @property
    def words(self) -> int:
        return len((self.text or self.refusal or "").split()) + sum(len(call.arguments.split()) for call in self.calls)

    @property
    def thoughts(self) -> int:
        return len((self.reasoning or "").split())


@dataclass(slots=True)
class Answer:
    """All choices of one computation.

    Attributes:
        digest: of what was asked; equal requests have equal digests and texts.
        mark: ends the ids; another one for each computation, so that a replay is recognised.
    """

    digest: str
    mark: str
    created: int
    model: str
    outputs: list[Output]

    @property
    def words(self) -> int:
        return sum(output.words + output.thoughts for output in self.outputs)

    @property
    def thoughts(self) -> int:
        return sum(output.thoughts for output in self.outputs)


@dataclass(slots=True)
class Question:
    """What an endpoint read from a request.

    Attributes:
        asked: everything the answer depends on.
        prompts: more than one on the completions endpoint alone.
        tools: name and JSON schema of each tool that may be called.
        schema: the JSON the answer must be; {} for any.
        thinks: the request wants to see reasoning.
    """

    asked: Any
    prompts: Sequence[str]
    n: int = 1
    tools: Sequence[tuple[str, Mapping[str, Any]]] = ()
    schema: Mapping[str, Any] | None = None
    thinks: bool = False


def digest_of(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


def compute(question: Question, reply: Reply, model: str, number: int, *, fixed: bool) -> Answer:
    """Make up an answer; `number` counts computations."""
    digest = digest_of(question.asked)
    mark = digest if fixed else f"{digest}-{number}"
    outputs = [
        _output(question, reply, prompt, index * question.n + at, digest=digest, mark=mark)
        for index, prompt in enumerate(question.prompts)
        for at in range(question.n)
    ]
    return Answer(digest, mark, STARTED + (0 if fixed else number), model, outputs)


def _output(question: Question, reply: Reply, prompt: str, index: int, *, digest: str, mark: str) -> Output:
    choice = f", choice {index}" if index else ""
    text = f"answer {digest} to a question of {len(prompt)} characters{choice}"
    reasoning = reply.reasoning
    if reasoning is None and question.thinks:
        reasoning = f"thinking about {digest}{choice}"
    if reply.refusal is not None:
        return Output(None, reply.finish_reason, reasoning, refusal=reply.refusal)
    if question.tools:
        name, parameters = question.tools[0]
        call = ToolCall(f"call_{mark}-{index}", name, json.dumps(example(parameters, "Oslo")))
        finish = "tool_calls" if reply.finish_reason == "stop" else reply.finish_reason
        return Output(None, finish, reasoning, calls=[call])
    if reply.text is not None:
        text = reply.text
    elif question.schema is not None:
        text = json.dumps(example(question.schema, f"{digest}{choice}"))
    return Output(text, reply.finish_reason, reasoning)


def example(schema: Mapping[str, Any], word: str) -> Any:
    """Return something that satisfies a JSON schema of the simple kind."""
    if "enum" in schema:
        return schema["enum"][0]
    simple: dict[str, Any] = {"string": word, "integer": 3, "number": 1.5, "boolean": True, "null": None}
    kind = schema.get("type", "object")
    if kind in simple:
        return simple[kind]
    if kind == "array":
        return [example(schema.get("items") or {"type": "string"}, word)]
    properties: Mapping[str, Any] = schema.get("properties") or {"answer": {"type": "string"}}
    return {name: example(part, word) for name, part in properties.items()}


def text_of(content: Any) -> str:
    """Return the text of a message's content, whose parts may be images, too."""
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = content or []
    return "".join(str(part["text"]) for part in parts if "text" in part)


def pieces(text: str | None) -> list[str]:
    """Cut a text into what counts as tokens here."""
    return [word if index == 0 else f" {word}" for index, word in enumerate((text or "").split(" "))]


def event(data: Any, name: str | None = None) -> bytes:
    """Write one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


DONE = b"data: [DONE]\n\n"
