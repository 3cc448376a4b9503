"""Tokenizers of the package ``tokenizers``, which is what most open models come with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tokenizers

from ...middleware.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_Library: Any = tokenizers.Tokenizer  # typed by stubs that leave most of it open


class HuggingFaceTokenizer:
    """Counts with a ``tokenizer.json``, without the limit and the padding that it may hold.

    Args:
        tokenizer: as the library loads it.
    """

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._encode = tokenizer.encode

    @classmethod
    def from_file(cls, file: Path, *, path: str = "tokenizers") -> HuggingFaceTokenizer:
        """Load a file, or ``tokenizer.json`` in a folder.

        Raises:
            ConfigError: there is none, or it is not one.
        """
        file = file.expanduser()
        file = file / "tokenizer.json" if file.is_dir() else file
        if not file.is_file():
            raise ConfigError(f"there is no file {file}", path=path)
        try:
            return cls(_Library.from_file(str(file)))
        except Exception as error:
            raise ConfigError(
                f"{file} is not a tokenizer.json that the installed 'tokenizers' can read ({type(error).__name__})",
                path=path,
            ) from error

    @classmethod
    def from_hub(cls, model: str, *, path: str = "tokenizers") -> HuggingFaceTokenizer:
        """Fetch the tokenizer of a model from its hub, or take it from the hub's folder on this machine.

        Raises:
            ConfigError: it cannot be had.
        """
        try:
            return cls(_Library.from_pretrained(model))
        except Exception as error:
            raise ConfigError(
                f"the tokenizer of {model!r} cannot be fetched ({type(error).__name__}); let this machine reach the model hub"
                " once, or bring its tokenizer.json here and name the file",
                path=path,
            ) from error

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        return len(self._encode(text, add_special_tokens=False).ids)
