"""The chain of digests over a prompt's beginning, as engines keep it in their prefix caches: block by block."""

from __future__ import annotations

from hashlib import blake2b
from struct import unpack
from typing import Final

BLOCK_BYTES: Final = 256
"""About 64 tokens of English."""
MAX_BLOCKS: Final = 512


def prefix_chain(prompt: bytes, seed: bytes) -> tuple[int, ...]:
    """Return one 64-bit digest a whole block, each of all bytes up to its end.

    Args:
        prompt: as it is rendered; what lies beyond 512 blocks is left out.
        seed: equal for prompts that can share anything; at most 64 bytes.
    """
    end = min(len(prompt) // BLOCK_BYTES, MAX_BLOCKS) * BLOCK_BYTES
    hasher = blake2b(key=seed, digest_size=8)
    chain: list[bytes] = []
    update, digest = hasher.update, hasher.digest
    for at in range(0, end, BLOCK_BYTES):
        update(prompt[at : at + BLOCK_BYTES])
        chain.append(digest())
    return unpack(f"<{len(chain)}Q", b"".join(chain))
