"""What was forgotten lately: an answer whose request began before must not be kept after all."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from .epochs import is_before
from .errors import ForebayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .records import Entry, Selector

MOST: Final = 1024
"""Forgets remembered; a request that is older than the oldest of them counts as forgotten."""


class ForgottenError(ForebayError):
    """An entry was not kept, because something like it was forgotten since its request began."""


class Forgotten:
    """A bounded memory of forgets, by this process's monotonic clock.

    It counts from the moment this process learned of a forget, which is after it was ordered: so it refuses a
    little more than it must, and nothing depends on the clocks of other machines.
    """

    def __init__(self, *, most: int = MOST, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._most = most
        self._known: deque[tuple[float, Selector]] = deque()
        self._blind_s = float("-inf")

    def note(self, selector: Selector) -> None:
        """Something is being forgotten now."""
        self._known.append((self._clock(), selector))
        if len(self._known) > self._most:
            self._blind_s = self._known.popleft()[0]

    def since(self, entry: Entry, moment_s: float) -> bool:
        """Return whether something like this entry was forgotten at this moment or later."""
        if moment_s <= self._blind_s:
            return True
        for heard_s, selector in reversed(self._known):
            if heard_s < moment_s:
                return False
            if matches(selector, entry):
                return True
        return False

    def lately(self, entry: Entry, within_s: float) -> bool:
        """Return whether something like this entry was forgotten within the last so many seconds."""
        return self.since(entry, self._clock() - within_s)


def matches(selector: Selector, entry: Entry) -> bool:
    """Return whether an entry is what a selector is about; at `expired_at_s` itself it counts as expired.

    Of epochs both parts are compared (see `epochs`), so a selector with an epoch names its tenant, or none.
    """
    return (
        selector.id in (None, entry.id)
        and selector.scope in (None, entry.scope)
        and selector.tenant in (None, entry.tenant)
        and selector.model in (None, entry.model)
        and (selector.expired_at_s is None or entry.until_s <= selector.expired_at_s)
        and (selector.tag is None or selector.tag in entry.tags)
        and selector.system in (None, entry.system)
        and (selector.version is None or entry.answer.body.get("model") == selector.version)
        and (selector.created_before_s is None or entry.created_s < selector.created_before_s)
        and (selector.epoch is None or is_before(entry.epoch, selector.epoch))
    )
