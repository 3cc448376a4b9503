from __future__ import annotations

import gzip
import lzma
from typing import TYPE_CHECKING

import pytest

from forebay.adapters.lab.eviction_traces import read_requests
from forebay.adapters.lab.files import content_of, text_of
from forebay.adapters.lab.length_rows import LengthsError, read_lengths
from forebay.adapters.lab.pairs import PairsError, read_pairs
from forebay.adapters.lab.traces import TraceError, read_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("suffix", PACKS)
def test_what_is_packed_is_unpacked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACKS[suffix]("\ufeffgrün".encode()))
    assert text_of(path) == "grün"
    assert content_of(path) == "\ufeffgrün".encode()


def damaged(suffix: str) -> list[bytes]:
    whole = PACKS[suffix](bytes(range(256)) * 40)
    return [whole[: len(whole) // 2], whole[:10] + b"\xff" * 9 + whole[19:], b"not packed"]


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("suffix", PACKS)
@pytest.mark.parametrize(
    ("read", "error"),
    [(read_trace, TraceError), (read_requests, TraceError), (read_lengths, LengthsError), (read_pairs, PairsError)],
)
def test_a_damaged_file_is_named_by_every_reader(
    tmp_path: Path, read: Callable[[Path], object], error: type[Exception], suffix: str, which: int
) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(damaged(suffix)[which])
    with pytest.raises(error, match=f"mine{suffix} cannot be read"):
        read(path)
