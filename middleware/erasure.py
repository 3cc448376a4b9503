"""Erasure: what the state store holds of one tenant, beside its answers.

Found by the tenant's keyed digest, by the ids of its answers, and by the labels its savings are accounted to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .refused import RefusedPairs

if TYPE_CHECKING:
    from collections.abc import Collection

    from .records import JsonObject
    from .state import StateStore

KEY_CHARS: Final = 12
"""Of a key's digest, in the labels of savings."""
_LITELLM_KEY: Final = re.compile(r"(?:^|\|)key=([0-9a-f]{64})(?=\||$)")
_OF_CREDENTIALS: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ErasedState:
    """How many rows of the state store were removed."""

    explanations: int
    refused_pairs: int
    savings: int


def erase_state(state: StateStore, tenant: str, entries: Collection[str], keys: Collection[str]) -> ErasedState:
    """Remove what the state store holds of a tenant.

    Args:
        tenant: its keyed digest.
        entries: ids of its answers: explanations from before they named their tenant are found by them.
        keys: labels of savings that are its own.

    Raises:
        AdapterError: the state store cannot be written.
    """

    def of_tenant(explained: JsonObject) -> bool:
        if explained.get("tenant") is not None:
            return bool(explained["tenant"] == tenant)
        return any(decision.get("entry") in entries for decision in explained.get("decisions", ()))

    explanations, savings = state.erase(of_tenant, keys)
    pairs = RefusedPairs(state).drop(entries)
    state.flush()
    return ErasedState(explanations, pairs, savings)


def keys_of(tenant: str) -> frozenset[str]:
    """Return the labels under which the savings of this tenant, and of no other, are counted, as far as its name tells."""
    found = {key[:KEY_CHARS] for key in _LITELLM_KEY.findall(tenant)}
    if _OF_CREDENTIALS.fullmatch(tenant):  # as the front makes it of a caller's credentials
        found.add(tenant[:KEY_CHARS])
    return frozenset(found)
