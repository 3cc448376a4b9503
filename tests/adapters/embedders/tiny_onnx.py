"""Writes ONNX files of a few lines: a table of token vectors, optionally averaged.

By hand in protobuf's wire format, since nothing else here needs the package ``onnx``.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

VOCABULARY = 30_522
"""Of the tokenizer that lies beside the built-in model."""

_FLOAT, _INT64, _INTS = 1, 7, 7
TYPES = {"int64": 7, "int32": 6}


@cache
def _table(seed: int, count: int) -> bytes:
    values = random.Random(seed)
    return struct.pack(f"<{count}f", *(values.uniform(-1, 1) for _ in range(count)))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _int(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _raw(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _value(name: str, kind: int, shape: Iterable[str | int]) -> bytes:
    dims = b"".join(_raw(1, _raw(2, each) if isinstance(each, str) else _int(1, each)) for each in shape)
    return _raw(1, name) + _raw(2, _raw(1, _int(1, kind) + _raw(2, dims)))


def _node(kind: str, inputs: Iterable[str], output: str, attributes: bytes = b"") -> bytes:
    return b"".join(_raw(1, each) for each in inputs) + _raw(2, output) + _raw(4, kind) + attributes


def write_table(
    path: Path,
    *,
    dimension: int = 8,
    seed: int = 1,
    inputs: Mapping[str, str] | None = None,
    outputs: Iterable[str] = ("last_hidden_state",),
    data: str | None = None,
) -> None:
    """Write a model that looks each token up in a table.

    Args:
        inputs: names and types (int64 or int32).
        outputs: ``last_hidden_state`` (a vector a token), ``sentence_embedding`` (their mean).
        data: name of a file beside it that holds the table.
    """
    table = _table(seed, VOCABULARY * dimension)
    tensor = _int(1, VOCABULARY) + _int(1, dimension) + _int(2, _FLOAT) + _raw(8, "table")
    if data is None:
        tensor += _raw(9, table)
    else:
        (path.parent / data).write_bytes(table)
        tensor += _raw(13, _raw(1, "location") + _raw(2, data)) + _int(14, 1)
    axes = _raw(5, _raw(1, "axes") + _int(8, 1) + _int(20, _INTS))
    keep = _raw(5, _raw(1, "keepdims") + _int(3, 0) + _int(20, 2))
    graph = _raw(1, _node("Gather", ["table", "input_ids"], "last_hidden_state"))
    if "sentence_embedding" in outputs:
        graph += _raw(1, _node("ReduceMean", ["last_hidden_state"], "sentence_embedding", axes + keep))
    graph += _raw(2, "table") + _raw(5, tensor)
    for name, kind in (inputs or {"input_ids": "int64", "attention_mask": "int64"}).items():
        graph += _raw(11, _value(name, TYPES[kind], ["batch", "sequence"]))
    for name in outputs:
        shape: list[str | int] = (
            ["batch", "sequence", dimension] if name == "last_hidden_state" else ["batch", dimension]
        )
        graph += _raw(12, _value(name, _FLOAT, shape))
    path.write_bytes(_int(1, 8) + _raw(7, graph) + _raw(8, _int(2, 13)))
