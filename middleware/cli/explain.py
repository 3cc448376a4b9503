"""``forebay explain``: why a request was answered the way it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from ..errors import ForebayError
from ..state import StateStore
from .session import console, say_json, session_of, table
from .store import state_dir_of

if TYPE_CHECKING:
    from ..config import Config

_KNOWN: Final = ("stop", "choice", "reason")
_STYLES: Final = {"exact": "green", "inflight": "green", "semantic": "cyan", "shed": "red", "miss": "yellow"}


def explain(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The response header x-forebay-id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every decision about a request."""
    data = explanation(session_of(context).config, request_id)
    if as_json:
        say_json(data)
        return
    out = console()
    status = str(data.get("status", ""))
    out.print(
        Text.assemble(
            (status, f"bold {_STYLES.get(status, '')}".strip()),
            f"  {data.get('model', '')}  {data.get('ending', '')} after {float(data.get('duration_s', 0)) * 1000:.0f} ms",
            f"  {data.get('input_tokens', 0)} tokens in, {data.get('output_tokens', 0)} out",
        )
    )
    rows = table("stop", "choice", "reason", "detail")
    for decision in data.get("decisions", ()):
        detail = ", ".join(f"{k} {_shown(v)}" for k, v in decision.items() if k not in _KNOWN and v is not None)
        rows.add_row(*(str(decision.get(name, "")) for name in _KNOWN), Text(detail, style="dim"))
    out.print(rows)


def explanation(config: Config, request_id: str) -> dict[str, Any]:
    """Return what was kept about a request.

    Raises:
        ForebayError: nothing was.
    """
    path = state_dir_of(config) / "state.db"
    data = None
    if path.is_file():
        state = StateStore(path)
        try:
            data = state.explanation(request_id)
        finally:
            state.close()
    if data is None:
        raise ForebayError(
            f"nothing is known about request {request_id!r} in {path}; take the id from the response header "
            "x-forebay-id, and the config of the process that answered (the newest 10,000 requests are kept)"
        )
    return dict(data)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
