"""Encodings of the package ``tiktoken``: those of OpenAI's models.

LiteLLM brings the files of cl100k_base, o200k_base and p50k_base; others are fetched by tiktoken, into its cache folder.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from hashlib import sha1
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...middleware.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Generator

_FOLDER: Final = "TIKTOKEN_CACHE_DIR"
_URL: Final = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


class TiktokenTokenizer:
    """Counts with one of tiktoken's encodings; text that spells a special token is text.

    Args:
        encoding: for example ``o200k_base``.
        path: of the setting, for messages.

    Raises:
        ConfigError: tiktoken is not installed, knows no such encoding, or cannot get its file.
    """

    def __init__(self, encoding: str, *, path: str = "tokenizers") -> None:
        try:
            library: Any = import_module("tiktoken")
        except ImportError:
            raise ConfigError(
                "needs the package 'tiktoken'; LiteLLM brings it: pip install tiktoken", path=path
            ) from None
        known: list[str] = library.list_encoding_names()
        if encoding not in known:
            raise ConfigError(f"tiktoken knows no encoding {encoding!r}.{did_you_mean(encoding, known)}", path=path)
        try:
            with _files_of_litellm(encoding):
                self._encode: Any = library.get_encoding(encoding).encode_ordinary
        except Exception as error:
            raise ConfigError(
                f"tiktoken cannot get the file of {encoding} ({type(error).__name__}); let this machine fetch it once with"
                f" {_FOLDER} set, or take an encoding whose file LiteLLM brings (o200k_base, cl100k_base)",
                path=path,
            ) from error

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        return len(self._encode(text))


@contextmanager
def _files_of_litellm(encoding: str) -> Generator[None]:
    """Let tiktoken look where LiteLLM keeps its files, if it keeps this one; loading LiteLLM does that for good."""
    spec = find_spec("litellm") if _FOLDER not in os.environ else None
    folder = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers" if spec and spec.origin else None
    # the name under which tiktoken caches what it fetched from there
    name = sha1(_URL.format(encoding).encode(), usedforsecurity=False).hexdigest()
    if folder is None or not (folder / name).is_file():
        yield
        return
    os.environ[_FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[_FOLDER]
