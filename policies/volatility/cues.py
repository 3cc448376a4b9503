"""All cues, in the order they are tried: the first that fits decides.

First what is asked of a given text or of the imagination and what is to be done, then the asker's own affairs, then what
changes within minutes, within a day, within weeks. The dearer mistake is to call an answer lasting that is not, so a
doubtful question falls to the shorter-lived kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .lasting import LASTING
from .own import OWN
from .soon import SOON

if TYPE_CHECKING:
    from .cue import Cue

CUES: Final[tuple[Cue, ...]] = (*OWN, *SOON, *LASTING)
