"""forebay as ASGI middleware: ``vllm serve MODEL --middleware forebay.adapters.asgi.ForebayMiddleware``."""

from __future__ import annotations

from .front import ForebayMiddleware

__all__ = ["ForebayMiddleware"]
