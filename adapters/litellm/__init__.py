"""forebay as a LiteLLM proxy callback: ``callbacks: forebay.adapters.litellm.handler``.

The handler is made when LiteLLM's config names it, not when this package is imported: importing does no work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .handler import ForebayHandler

    handler: ForebayHandler

__all__ = ["handler"]


def __getattr__(name: str) -> Any:
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .handler import make_handler

    made = make_handler()
    globals()["handler"] = made  # LiteLLM may load its config twice; there must be one handler a process
    return made
