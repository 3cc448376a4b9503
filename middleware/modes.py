"""Which mode holds for a request: the configured one, the first matching rule, and the kill switch."""

from __future__ import annotations

import contextlib
from fnmatch import fnmatchcase
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Final

from .records import Mode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .config import Config
    from .records import Request

_RANK: Final = {Mode.OFF: 0, Mode.SHADOW: 1, Mode.SERVE: 2}
KILL_FILE: Final = "off"


def narrower(one: Mode, other: Mode) -> Mode:
    """Return the mode that allows less."""
    return one if _RANK[one] <= _RANK[other] else other


class Modes:
    """Answers which mode a request is in.

    The kill switch is a file named ``off`` in the state folder (`forebay off` makes it, `forebay on` removes
    it); every process sees it within a second, without a restart.
    """

    def __init__(self, config: Config, state_dir: Path, *, clock: Callable[[], float] = monotonic) -> None:
        self._config = config
        self._file = state_dir / KILL_FILE
        self._clock = clock
        self._looked_s = float("-inf")
        self._killed = False

    def killed(self) -> bool:
        """Return whether the kill switch is on; looks at most once a second."""
        now = self._clock()
        if now - self._looked_s >= 1.0:
            self._looked_s = now
            with contextlib.suppress(OSError):  # a folder that can no longer be read changes nothing
                self._killed = self._file.exists()
        return self._killed

    def of(self, request: Request) -> Mode:
        """Return the mode of a request."""
        if request.controls.bypass or self.killed():
            return Mode.OFF
        for rule in self._config.rules:
            if (
                fnmatchcase(request.model, rule.model)
                and fnmatchcase(request.tenant, rule.tenant)
                and fnmatchcase(request.endpoint, rule.endpoint)
            ):
                if rule.percent < 100 and _share(request.tenant) >= rule.percent:  # noqa: PLR2004
                    return narrower(rule.mode, Mode.SHADOW)
                return rule.mode
        return self._config.mode


def _share(tenant: str) -> float:
    """Return a stable number in [0, 100) for a tenant."""
    digest = sha256(tenant.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 * 100
