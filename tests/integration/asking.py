"""How to ask an endpoint one thing, and how to read the words that come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from forebay.middleware.narrow import is_object
from tests.integration.reading import question


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint that takes messages and answers with choices.

    Attributes:
        name: also of the route that LiteLLM takes from there to the engine.
        model: which of the proxy's models is asked: what is behind it decides the route.
    """

    name: str
    path: str
    model: str = "tiny"

    def body(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """Return a request."""
        more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return {"model": self.model, **question(prompt), **more}

    def prompt(self, body: dict[str, Any]) -> str:
        """Return what a request asks."""
        return str(body["messages"][-1]["content"])

    def text(self, part: Any) -> str:
        """Return the words in an answer or in one event of a stream; none where it is something else."""
        if not is_object(part):
            return ""
        choices: list[dict[str, Any]] = part.get("choices") or []
        said: list[dict[str, Any]] = [choice.get("message") or choice.get("delta") or {} for choice in choices]
        return "".join(one.get("content") or "" for one in said)


class Completions(Endpoint):
    """Text completions."""

    def body(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """Return a request."""
        more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        return {"model": self.model, "prompt": prompt, **more}

    def text(self, part: Any) -> str:
        """Return the words."""
        choices: list[dict[str, Any]] = (part.get("choices") if is_object(part) else None) or []
        return "".join(choice.get("text") or "" for choice in choices)


class Responses(Endpoint):
    """The Responses API."""

    def body(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """Return a request."""
        return {"model": self.model, "input": prompt, **({"stream": True} if stream else {})}

    def text(self, part: Any) -> str:
        """Return the words."""
        if not is_object(part):
            return ""
        if part.get("object") != "response":
            return str(part.get("delta") or "") if part.get("type") == "response.output_text.delta" else ""
        items: list[dict[str, Any]] = part.get("output") or []
        contents: list[list[dict[str, Any]]] = [item.get("content") or [] for item in items]
        parts = [one for content in contents for one in content]
        return "".join(one.get("text") or "" for one in parts)


class Messages(Endpoint):
    """Anthropic's Messages API."""

    def body(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """Return a request."""
        more = {"stream": True} if stream else {}
        return {"model": self.model, "max_tokens": 99, **question(prompt), **more}

    def text(self, part: Any) -> str:
        """Return the words."""
        if not is_object(part):
            return ""
        if part.get("type") == "content_block_delta":
            return str(part["delta"].get("text") or "")
        blocks: list[dict[str, Any]] = part.get("content") or []
        return "".join(block.get("text") or "" for block in blocks)


class Embeddings(Endpoint):
    """Embeddings: each request asks for two."""

    def body(self, prompt: str, *, stream: bool) -> dict[str, Any]:
        """Return a request; there are no streams."""
        assert not stream
        return {"model": self.model, "input": [f"{prompt}#0", f"{prompt}#1"]}

    def text(self, part: Any) -> str:
        """Return the vectors."""
        rows: list[dict[str, Any]] = (part.get("data") if is_object(part) else None) or []
        return " ".join(str(row.get("embedding")) for row in rows if is_object(row))


CHAT: Final = Endpoint("chat", "/v1/chat/completions")
