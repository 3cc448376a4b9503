"""What the demo shows: one line a question as it is answered, then a summary and a trace."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.cells import set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..otlp.tree import draw_trace
from .report import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ..otlp.spans import Span
    from .report import Judged

PLAIN_WIDTH: Final = 140
WIDE: Final = 110
STYLES: Final = {"exact": "bold green", "semantic": "bold cyan", "inflight": "bold magenta", "miss": "yellow"}
MEANINGS: Final = {
    "exact": "the same question again",
    "semantic": "the same question in other words",
    "inflight": "waited for the answer to a twin",
    "miss": "asked the model",
}
KINDS: Final = {
    "trap_number": "trap: number",
    "trap_negation": "trap: opposite",
    "trap_entity": "trap: subject",
    "trap_scope": "trap: system",
    "multi_turn": "follow-up",
}
_POLL_S: Final = 0.1


class Screen:
    """Writes to a terminal, or plain lines to what is none."""

    def __init__(self, console: Console | None = None) -> None:
        self.out = console or Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False)

    @property
    def wide(self) -> bool:
        """Whether there is room for everything."""
        return self.out.width >= WIDE

    def heading(self, title: str) -> None:
        """Write a heading."""
        self.out.print()
        self.out.print(Text(title, style="bold"))

    def say(self, text: str, style: str = "") -> None:
        """Write a paragraph."""
        self.out.print(Text(text, style=style))

    def wait(self, name: str, ready: Callable[[], bool], check: Callable[[], None], timeout_s: float) -> bool:
        """Wait with a spinner, and say how long it took.

        Args:
            ready: asked until it says yes.
            check: called before each asking; may raise to end the wait.

        Returns:
            Whether it got ready in time.
        """
        began = time.monotonic()
        with self.busy(f"waiting for the {name}") as update:
            while True:
                check()
                took = time.monotonic() - began
                if ready():
                    break
                if took > timeout_s:
                    return False
                update(f"waiting for the {name}, {took:.0f} s")
                time.sleep(_POLL_S)
        self.out.print(Text.assemble(("ready", "green"), f"  the {name}, after {time.monotonic() - began:.1f} s"))
        return True

    @contextmanager
    def busy(self, text: str, *, logged: bool = True) -> Generator[Callable[[str], None]]:
        """Show a spinner meanwhile; a log gets one line, unless it says nothing new there."""
        if not self.out.is_terminal:
            if logged:
                self.say(text)
            yield lambda _text: None
            return
        with self.out.status(Text(text)) as status:
            yield lambda new: status.update(Text(new))

    def header(self) -> None:
        """Write the head of the table of answers."""
        self.say(
            "similar: cosine of this question and the one answered before; saved: tokens not computed again", "dim"
        )
        self.out.print(self._line("answered", "ms", "similar", "saved", "", "question", "answer", style="dim"))

    def row(self, each: Judged) -> None:
        """Write one answer."""
        reply = each.reply
        how = reply.cache or "no header"
        how_style = STYLES.get(reply.cache, "")
        if not reply.ok:
            how, how_style = f"error {reply.status or 'none'}", "bold red"
        elif each.wrong:
            how, how_style = "WRONG HIT", "bold white on red"
        self.out.print(
            self._line(
                how,
                f"{reply.latency_ms:,.0f}",
                f"{reply.similarity:.3f}" if reply.similarity is not None else "",
                str(each.tokens_saved or ""),
                KINDS.get(reply.ask.kind, reply.ask.kind) if reply.ask.kind != "new" else "",
                reply.ask.shown,
                reply.text,
                how_style=how_style,
            )
        )

    def summary(self, summary: dict[str, Any], judged: Sequence[Judged]) -> None:
        """Write what it comes to."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("answered")
        for name in ("requests", "share", "p50 ms", "p95 ms"):
            table.add_column(name, justify="right")
        table.add_column("")
        for status, meaning in MEANINGS.items():
            took = [each.reply.latency_ms for each in judged if each.reply.ok and each.reply.cache == status]
            table.add_row(
                Text(status, style=STYLES[status]),
                str(len(took)),
                f"{len(took) / max(1, summary['answered']):.0%}",
                _ms(percentile(took, 0.5)),
                _ms(percentile(took, 0.95)),
                meaning,
            )
        self.out.print(table)
        self.out.print()
        claims = Table.grid(padding=(0, 2, 0, 0))
        for good, text in _claims(summary):
            mark = Text("ok" if good else "no", style="green" if good else "bold red") if good is not None else ""
            claims.add_row(mark, text)
        self.out.print(claims)

    def trace(self, spans: Sequence[Span], about: str) -> None:
        """Write one request's trace."""
        self.heading(about)
        kept = _beside_forebay(spans)
        drawing, hidden = draw_trace(spans, shown=lambda span: span.span_id in kept, bars=self.wide)
        self.out.print(drawing)
        self.say(
            f"forebay.settle runs after the answer was sent. {hidden} of LiteLLM's own spans are not shown.", "dim"
        )

    def _line(self, *cells: str, style: str = "", how_style: str = "") -> Text:
        how, took, alike, saved, kind, question, answer = cells
        fixed = [set_cell_size(how, 9), took.rjust(7), alike.rjust(7), saved.rjust(5)]
        if self.wide:
            fixed.append(set_cell_size(kind, 14))
        gaps = 2 * (len(fixed) + 1)
        left = max(20, self.out.width - sum(len(cell) for cell in fixed) - gaps - 1)
        if self.wide:
            width = left * 11 // 20
            rest = [*fixed[1:], _fit(question, width), _fit(answer, left - width).rstrip()]
        else:
            rest = [*fixed[1:], _fit(question, left).rstrip()]
        line = Text("  ".join(["", *rest]), style=style, no_wrap=True, overflow="crop")
        return Text.assemble((fixed[0], how_style or style), line)


def _claims(summary: dict[str, Any]) -> list[tuple[bool | None, str]]:
    """Return what is to be seen in the numbers: whether it is as it should be, and in words."""
    hits, wrong, ratio = summary["hits"], summary["wrong_hits"], summary["miss_over_hit_p50"]
    claims: list[tuple[bool | None, str]] = [
        (
            summary["answered"] == summary["requests"],
            f"{summary['answered']} of {summary['requests']} requests were answered",
        ),
        (
            wrong == 0,
            f"{wrong} of {hits} hits were wrong (given an answer that was made for a question of another meaning)",
        ),
        (
            summary["traps_right"] == summary["traps"],
            (
                f"{summary['traps_right']} of {summary['traps']} traps (another number, subject, opposite, system prompt) "
                "did not get the near question's answer"
            ),
        ),
        (
            None,
            (
                f"{summary['paraphrases_served']} of {summary['paraphrases']} questions in other words "
                "were answered from the cache"
            ),
        ),
        (None, f"{summary['tokens_saved']:,} tokens were not computed again"),
    ]
    if ratio is not None:
        claims.append(
            (
                None,
                f"an exact or semantic hit took {summary['hit_p50_ms']:,.0f} ms, a miss {ratio:,.0f} times as long (medians)",
            )
        )
    calls, engine, missed = summary["engine_calls"], summary["engine_tokens"], summary["missed_tokens"]
    if engine is not None:
        claims.append(
            (
                engine == missed,
                (
                    f"the model was asked {calls} {'time' if calls == 1 else 'times'} for {summary['answered']} answers; it counted {engine:,} "
                    f"generated tokens, and the misses have {missed:,}"
                ),
            )
        )
    return claims


def _beside_forebay(spans: Sequence[Span]) -> set[str]:
    """Return the ids of forebay's spans, of what is below them, and of the server spans above."""
    by_id = {span.span_id: span for span in spans}
    kept = {span.span_id for span in spans if span.kind == "server"}
    for span in spans:
        at: Span | None = span
        path: set[str] = set()
        while at is not None and at.span_id not in path:
            path.add(at.span_id)
            if at.name == "forebay.request":
                kept.add(span.span_id)
                break
            at = by_id.get(at.parent_id)
    return kept


def _fit(text: str, width: int) -> str:
    """Return text in exactly this many cells."""
    fitted = Text(text, no_wrap=True)
    fitted.truncate(max(1, width), overflow="ellipsis", pad=True)
    return fitted.plain


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
