"""How well an engine was used: requests and tokens inside over time, and time it stood idle while somebody waited."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Usage:
    """Integrals over the time since the first request, in seconds times what they are of.

    Attributes:
        seconds: since the first request.
        busy_s: somebody was inside.
        starved_s: nobody was inside and somebody waited: the gate held an idle engine back. Should be 0.
        inside: requests inside, times seconds; `waiting`: in front; `tokens`: reserved, prompts and predicted outputs.
    """

    seconds: float = 0.0
    busy_s: float = 0.0
    starved_s: float = 0.0
    inside: float = 0.0
    waiting: float = 0.0
    tokens: float = 0.0
    last_s: float | None = None

    def moved(self, now_s: float, inside: int, waiting: int, tokens: float) -> None:
        """Note what was so until now, just before it changes."""
        since, self.last_s = self.last_s, now_s
        if since is None or now_s <= since:
            return
        span_s = now_s - since
        self.seconds += span_s
        if inside:
            self.busy_s += span_s
        elif waiting:
            self.starved_s += span_s
        self.inside += inside * span_s
        self.waiting += waiting * span_s
        self.tokens += tokens * span_s
