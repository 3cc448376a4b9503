"""The endpoints whose answers forebay handles; all others pass through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .chat import Chat
from .completions import Completions
from .embeddings import Embeddings
from .messages import Messages
from .responses import Responses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base import Endpoint

ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    endpoint.call_type: endpoint for endpoint in (Chat(), Completions(), Responses(), Messages(), Embeddings())
}
"""By LiteLLM's call type."""

__all__ = ["ENDPOINTS"]
