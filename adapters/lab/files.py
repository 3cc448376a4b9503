"""Reading the files that the lab is given."""

from __future__ import annotations

import gzip
import lzma
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def content_of(path: Path) -> bytes:
    """Return what a file holds, unpacked where its name ends with ``.gz`` or ``.xz``.

    Raises:
        OSError: it cannot be read, or unpacked.
    """
    content = path.read_bytes()
    unpack = {".gz": gzip.decompress, ".xz": lzma.decompress}.get(path.suffix)
    try:
        return content if unpack is None else unpack(content)
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise OSError("it is damaged") from error


def text_of(path: Path) -> str:
    """Return the text of a file, as `content_of` reads it.

    Raises:
        OSError: it cannot be read, or unpacked.
        UnicodeDecodeError: it is not UTF-8.
    """
    return content_of(path).decode("utf-8-sig")
