"""Sends the demo's questions with the OpenAI client and notes what came back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import openai

from ...middleware.errors import ForebayError
from .model_server import MODEL
from .sample import batches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .sample import Ask

MAX_TOKENS: Final = 48
STOP: Final = (". ", "\n")
"""One sentence: the model would go on, and an answer cut off at MAX_TOKENS is not kept."""
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """One question's answer.

    Attributes:
        status: HTTP status, 0 where there was no answer.
        cache: the header ``x-forebay-cache``, "" where it is missing.
        request_id: the header ``x-forebay-id``.
        similarity: the header ``x-forebay-similarity``.
        completion_id: the completion's id; a hit repeats the id of the answer it hands out.
        latency_ms: until the answer was whole.
        first_ms: until its first token, None for an answer that came in one piece.
    """

    ask: Ask
    status: int
    cache: str = ""
    request_id: str = ""
    similarity: float | None = None
    completion_id: str = ""
    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: float = 0.0
    first_ms: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return self.status == _OK


class Asker:
    """Asks one proxy.

    Args:
        url: the proxy's base URL, without ``/v1``.
    """

    def __init__(self, url: str, key: str) -> None:
        # environment proxies must not come between two loopback ports; a retry would hide an error
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        self._client: Any = openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key=key, http_client=http, max_retries=0, timeout=120.0
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def all(self, asks: Sequence[Ask]) -> AsyncIterator[list[Reply]]:
        """Ask everything in order and yield the replies of what was sent together."""
        for batch in batches(asks):
            yield list(await asyncio.gather(*(self.one(ask) for ask in batch)))

    async def one(self, ask: Ask) -> Reply:
        """Ask one question; an error is a reply with its status."""
        began = perf_counter()
        try:
            return await self._ask(ask, began)
        except openai.APIStatusError as error:
            return Reply(
                ask,
                error.status_code,
                cache=error.response.headers.get("x-forebay-cache", ""),
                request_id=error.response.headers.get("x-forebay-id", ""),
                latency_ms=_since(began),
            )
        except openai.APIError:
            return Reply(ask, 0, latency_ms=_since(began))

    async def warm_up(self, timeout_s: float) -> None:
        """Ask past the cache until forebay answers with its header: it starts after the proxy does.

        Raises:
            ForebayError: the proxy does not answer, or forebay is not in it.
        """
        seen = ""
        ends = perf_counter() + timeout_s
        while perf_counter() < ends:
            try:
                raw = await self._hello()
                if raw.headers.get("x-forebay-cache"):
                    # LiteLLM loads half of itself with its first stream
                    async for _ in (await self._hello(stream=True)).parse():
                        pass
                    return
                seen = "the proxy answers, but without forebay's header x-forebay-cache"
            except openai.APIError as error:
                seen = f"the proxy answered {getattr(error, 'status_code', 'nothing')}"
            await asyncio.sleep(0.2)
        raise ForebayError(f"{seen or 'the proxy does not answer'}; see litellm.log")

    async def _hello(self, **options: Any) -> Any:
        return await self._client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Hello"}],
            max_tokens=1,
            extra_headers={"x-forebay-bypass": "1"},
            **options,
        )

    async def _ask(self, ask: Ask, began: float) -> Reply:
        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if ask.stream else {}
        raw = await self._client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=list(ask.messages),
            max_tokens=MAX_TOKENS,
            temperature=0,
            stop=list(STOP),
            **options,
        )
        first_ms: float | None = None
        body: Any = raw.parse()
        texts: list[str] = []
        completion_id, usage = "", None
        if ask.stream:
            async for chunk in body:
                completion_id = completion_id or chunk.id
                usage = getattr(chunk, "usage", None) or usage
                for choice in chunk.choices:
                    if choice.delta.content:
                        first_ms = first_ms if first_ms is not None else _since(began)
                        texts.append(choice.delta.content)
        else:
            completion_id, usage = body.id, body.usage
            texts.append(body.choices[0].message.content or "")
        similarity = raw.headers.get("x-forebay-similarity")
        return Reply(
            ask,
            raw.status_code,
            cache=raw.headers.get("x-forebay-cache", ""),
            request_id=raw.headers.get("x-forebay-id", ""),
            similarity=float(similarity) if similarity else None,
            completion_id=completion_id,
            text=" ".join("".join(texts).split()),
            input_tokens=usage.prompt_tokens if usage is not None else 0,
            output_tokens=usage.completion_tokens if usage is not None else 0,
            latency_ms=_since(began),
            first_ms=first_ms,
        )


def _since(began: float) -> float:
    return (perf_counter() - began) * 1000
