"""Whether a kept answer may still be served to a caller: fresh, stale within its grace, or not at all."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .records import Controls, Entry


class Freshness(StrEnum):
    """What a kept answer is worth to a caller: as good as new, old but within its grace, or nothing."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"
    TOO_OLD = "too_old"


def freshness(entry: Entry, controls: Controls, now_s: float) -> Freshness:
    """Return what a kept answer is worth to a caller at this Unix time."""
    if controls.max_age_s is not None and not now_s - entry.created_s <= controls.max_age_s:
        return Freshness.TOO_OLD
    if now_s < entry.expires_s:
        return Freshness.FRESH
    return Freshness.STALE if _within(entry, entry.grace_s, controls, now_s) else Freshness.EXPIRED


def serves_failure(entry: Entry, controls: Controls, now_s: float) -> bool:
    """Return whether a kept answer may be served where computing it anew failed."""
    too_old = controls.max_age_s is not None and not now_s - entry.created_s <= controls.max_age_s
    return not too_old and _within(entry, max(entry.grace_s, entry.error_grace_s), controls, now_s)


def _within(entry: Entry, grace_s: float, controls: Controls, now_s: float) -> bool:
    # a caller who wants no copy kept would have its answer kept by the refresh, so it takes no part
    if controls.no_store or controls.no_cache:
        return False
    allowed = grace_s if controls.max_stale_s is None else min(grace_s, controls.max_stale_s)
    return now_s - entry.expires_s < allowed
