"""``forebay demo``: a model behind LiteLLM behind forebay, asked some questions, in one command."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...middleware import semconv
from .asking import Asker
from .children import ChildDiedError
from .model_server import MODEL
from .report import as_json, judge, summarize
from .sample import load
from .screen import Screen
from .stack import Stack

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..otlp.receiver import Receiver
    from ..otlp.spans import Span
    from .asking import Reply
    from .report import Judged
    from .sample import Ask

MODEL_LIMIT_S: Final = 120.0
PROXY_LIMIT_S: Final = 240.0
WARM_UP_LIMIT_S: Final = 60.0
SPANS_LIMIT_S: Final = 10.0
INTERRUPTED: Final = 130
ABOUT: Final = (
    "A language model of 135 million parameters runs behind a LiteLLM proxy with forebay in it, all on this machine. "
    "The model is small and often wrong; that is not the point. Watch who answers: the model, or forebay."
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay demo``."""
    made = argparse.ArgumentParser(
        prog="forebay demo",
        description="Run a small model behind a LiteLLM proxy with forebay in it, ask questions, show who answered.",
    )
    made.add_argument("--serve", action="store_true", help="leave everything up until Ctrl-C, and show how to ask")
    made.add_argument("--port", type=int, default=0, metavar="N", help="port of the proxy (a free one by default)")
    made.add_argument("--json", type=Path, metavar="FILE", dest="json_file", help="write all results as JSON")
    made.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and leave configs and logs there")
    made.add_argument("--requests", type=Path, metavar="FILE", help="ask these questions (JSON lines) instead")
    return made


def run(args: Sequence[str], screen: Screen | None = None) -> int:
    """Run the demo and return its exit status: 0 if every request was answered.

    Raises:
        ForebayError: the model is not installed, or a file cannot be read or written.
    """
    try:
        options = parser().parse_args(list(args))
    except SystemExit as end:
        return int(end.code or 0)
    show = screen or Screen()
    asks = load(options.requests)
    try:
        with _ended_by_sigterm(), ExitStack() as cleanup:
            if options.keep is not None:
                folder: Path = options.keep.resolve()
                folder.mkdir(parents=True, exist_ok=True)
            else:
                made = tempfile.TemporaryDirectory(prefix="forebay-demo-", ignore_cleanup_errors=True)
                folder = Path(cleanup.enter_context(made))
            return _demo(show, folder, asks, options)
    except ChildDiedError as error:
        show.say(error.tail, "dim")
        show.say(f"error: {error}", "red")
        return 1
    except KeyboardInterrupt:
        show.say("stopped")
        return INTERRUPTED


def _demo(show: Screen, folder: Path, asks: Sequence[Ask], options: argparse.Namespace) -> int:
    from ..otlp.receiver import Receiver

    show.say(ABOUT)
    show.out.print()
    with Receiver() as receiver, Stack(folder, collector=receiver.endpoint, port=options.port) as stack:
        _wait(show, stack)
        replies, engine_tokens = asyncio.run(_ask_all(show, stack, asks))
        judged = judge(replies)
        spans = _spans(show, receiver, replies)
        summary = {
            **summarize(judged, engine_tokens=engine_tokens),
            "engine_calls": engine_calls(spans, {reply.request_id for reply in replies}),
        }
        show.heading("What it comes to")
        show.summary(summary, judged)
        _show_trace(show, spans, judged)
        if options.json_file is not None:
            report = json.dumps(as_json(judged, summary), indent=1, ensure_ascii=False)
            options.json_file.write_text(report + "\n", encoding="utf-8")
        if options.keep is not None:
            show.say(f"\nConfigs, logs and the cache are in {folder}.")
        if options.serve:
            _serve(show, stack)
    return 0 if all(reply.ok for reply in replies) else 1


def _wait(show: Screen, stack: Stack) -> None:
    for child, ready, limit_s in (
        (stack.children[0], stack.model_ready, MODEL_LIMIT_S),
        (stack.children[1], stack.proxy_ready, PROXY_LIMIT_S),
    ):
        if not show.wait(child.name, ready, stack.check, limit_s):
            raise ChildDiedError(child.name, None, child.tail())


async def _ask_all(show: Screen, stack: Stack, asks: Sequence[Ask]) -> tuple[list[Reply], int | None]:
    asker = Asker(stack.urls.proxy, stack.key)
    replies: list[Reply] = []
    try:
        with show.busy("waiting for forebay inside the proxy"):
            await asker.warm_up(WARM_UP_LIMIT_S)
        before = await asyncio.to_thread(stack.engine_tokens)
        show.heading(f"{len(asks)} questions")
        show.header()
        with show.busy("asking", logged=False) as update:
            async for batch in asker.all(asks):
                replies.extend(batch)
                for each in judge(replies)[-len(batch) :]:
                    show.row(each)
                update(f"asked {len(replies)} of {len(asks)}")
        after = await asyncio.to_thread(stack.engine_tokens)
    finally:
        await asker.close()
    return replies, after - before if after is not None and before is not None else None


def _spans(show: Screen, receiver: Receiver, replies: Sequence[Reply]) -> tuple[Span, ...]:
    """Return all spans, once those of every request have arrived or the time is up."""
    wanted = {reply.request_id for reply in replies if reply.request_id}

    def complete(spans: Sequence[Span]) -> bool:
        done = {span.trace_id for span in spans if span.name == semconv.SPAN_SETTLE}
        roots = {str(span.attributes.get(semconv.REQUEST_ID)): span.trace_id for span in spans}
        served = {span.trace_id for span in spans if span.kind == "server" and not span.parent_id}
        return all(roots.get(each) in done & served for each in wanted)

    with show.busy("waiting for the last spans"):
        try:
            return receiver.wait_for(complete, SPANS_LIMIT_S)
        except TimeoutError:
            return receiver.spans()


def engine_calls(spans: Sequence[Span], request_ids: set[str]) -> int:
    """Return how often the engine was asked for these requests, by the spans that were received."""
    roots = {span.span_id for span in spans if span.attributes.get(semconv.REQUEST_ID) in request_ids}
    return sum(span.parent_id in roots and span.name == f"chat {MODEL}" for span in spans)


def _show_trace(show: Screen, spans: Sequence[Span], judged: Sequence[Judged]) -> None:
    """Show the miss whose nearest neighbour was nearest: found, weighed and refused."""
    best: tuple[float, Judged, str] | None = None
    similarity_of = {
        span.trace_id: float(str(span.attributes[semconv.CACHE_SIMILARITY]))
        for span in spans
        if span.name == semconv.SPAN_LOOKUP and semconv.CACHE_SIMILARITY in span.attributes
    }
    trace_of = {str(span.attributes.get(semconv.REQUEST_ID)): span.trace_id for span in spans}
    for each in judged:
        trace_id = trace_of.get(each.reply.request_id)
        if trace_id is None or each.hit or each.reply.ask.stream:
            continue
        near = similarity_of.get(trace_id, -1.0)
        if best is None or near > best[0]:
            best = near, each, trace_id
    if best is None:
        show.say("\nNo trace has arrived.", "yellow")
        return
    _, each, trace_id = best
    show.trace([span for span in spans if span.trace_id == trace_id], f'The trace of "{each.reply.ask.shown}"')


def _serve(show: Screen, stack: Stack) -> None:
    body = json.dumps(
        {
            "model": MODEL,
            "temperature": 0,
            "max_tokens": 48,
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
        }
    )
    show.heading("Ask it yourself, twice")
    show.out.print(
        f"curl -i {stack.urls.proxy}/v1/chat/completions -H 'Authorization: Bearer {stack.key}' "
        f"-H 'Content-Type: application/json' -d '{body}'",
        soft_wrap=True,
    )
    show.say("\nand then, with the id from the header x-forebay-id:")
    show.out.print(f"forebay -c {stack.forebay_yaml} explain ID", soft_wrap=True)
    show.say("\nCtrl-C stops everything.")
    while True:
        stack.check()
        time.sleep(0.5)


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """Let SIGTERM clean up as Ctrl-C does."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
