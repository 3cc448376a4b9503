"""Which tokenizer counts a model's tokens."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from ...middleware.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_REMEMBERED: Final = 1_024
_NAMED: Final = ("tiktoken:", "hub:")


class Tokenizer(Protocol):
    """Counts the tokens that a model reads a text as."""

    def count(self, text: str) -> int:
        """Return the number of tokens, special ones of a prompt's frame left out."""
        ...


class Tokenizers:
    """Tokenizers by model, all of them loaded now: none is looked for while a request waits.

    Args:
        sources: shell-style pattern of models (``llama-3*``) → a ``tokenizer.json`` or the folder it lies in,
            ``tiktoken:ENCODING``, or ``hub:ORGANISATION/MODEL`` for one that is fetched from the model hub. The first pattern
            that matches holds.

    Raises:
        ConfigError: one cannot be had; says which and what to do.
        ImportError: the package ``tokenizers`` is not installed.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        loaded: dict[str, Tokenizer] = {}
        for pattern, source in sources.items():
            if source not in loaded:
                loaded[source] = _load(source, f"classifiers.profile.tokenizers.{pattern}")
        self._patterns = [(pattern, loaded[source]) for pattern, source in sources.items()]
        self._known: dict[str, Callable[[str], int] | None] = {}

    def counter_of(self, model: str) -> Callable[[str], int] | None:
        """Return what counts a model's tokens, None where no pattern matches."""
        if model not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()  # names are the callers'
            found = (each.count for pattern, each in self._patterns if fnmatchcase(model, pattern))
            self._known[model] = next(found, None)
        return self._known[model]


def _load(source: str, path: str) -> Tokenizer:
    if source.startswith("tiktoken:"):
        from .tiktoken import TiktokenTokenizer

        return TiktokenTokenizer(source.removeprefix("tiktoken:"), path=path)
    from .huggingface import HuggingFaceTokenizer

    if source.startswith("hub:"):
        return HuggingFaceTokenizer.from_hub(source.removeprefix("hub:"), path=path)
    if ":" in source and not Path(source).exists():
        raise ConfigError(
            f"{source!r} is no file, and names none of {', '.join(_NAMED)}; write /folder/tokenizer.json,"
            " tiktoken:o200k_base or hub:organisation/model",
            path=path,
        )
    return HuggingFaceTokenizer.from_file(Path(source), path=path)
