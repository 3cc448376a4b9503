"""What a test tells the engine, and what the engine tells the test."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIDDLE = 3
"""Events that are sent before a `Reply` holds or breaks off in the middle, unless it says otherwise."""


class Hold:
    """Makes the engine wait until the test lets it go on."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def release(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        # a thread each would outlive a cancelled handler, so look instead
        while not self._event.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@dataclass(slots=True)
class Reply:
    """How the engine answers one request, on any endpoint.

    Attributes:
        text: in place of the text the engine makes up.
        reasoning: what it thought; by default it thinks only where the request asks for it.
        refusal: in place of a text.
        finish_reason: in the words of chat completions; each endpoint has its own for the same. None: the answer has
            no end.
        raw: a body in place of the answer.
        hold: waits before anything is sent.
        hold_middle: waits in the middle of a stream.
        cut: closes the connection in the middle of a stream.
        middle: how many events the middle comes after.
        takes_s: how long computing takes, and once more in the middle of a stream.
        pace_s: pause before each event of a stream.
        edit: changes what a stream sends: gets the events as bytes, returns others.
    """

    text: str | None = None
    finish_reason: str | None = "stop"
    status: int = 200
    raw: str | None = None
    hold: Hold | None = None
    hold_middle: Hold | None = None
    cut: bool = False
    takes_s: float = 0.0
    reasoning: str | None = None
    refusal: str | None = None
    middle: int = MIDDLE
    pace_s: float = 0.0
    edit: Callable[[list[bytes]], Sequence[bytes]] | None = None


@dataclass(slots=True)
class Call:
    """One request the engine got.

    Attributes:
        prompt: text of the last turn, without its images; of several inputs, their JSON.
        done: answered to the end.
        left: the client closed the connection before that.
        id: of the answer, where it has one.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    prompt: str
    done: bool = False
    left: bool = False
    id: str = ""


@dataclass(slots=True)
class Script:
    """Replies to one prompt; the last one is repeated."""

    replies: list[Reply] = field(default_factory=list[Reply])

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
