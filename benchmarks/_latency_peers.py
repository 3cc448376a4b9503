"""The same searches in what others use: run by cache_latency.py, each in a process of its own.

    PYTHON benchmarks/_latency_peers.py NAME VECTORS.npz

NAME is gptcache (0.1.44, SQLite and faiss), milvus-lite, faiss or usearch. The file holds `vectors` and `asked`; one JSON
object is printed. Nothing of forebay is imported: each peer may live in a Python of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH: Final = 64
_LINKS: Final = 16


def measured(asked: Any, expected: Any, search: Callable[[Any], int]) -> dict[str, float]:
    """Time every search, and count how many find the nearest."""
    seconds: list[float] = []
    cpu: list[float] = []
    right = 0
    search(asked[0])
    before = time.process_time()
    for query, nearest in zip(asked, expected, strict=True):
        began, used = time.perf_counter(), time.thread_time()
        found = search(query)
        seconds.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - used)
        right += found == nearest
    total = time.process_time() - before
    p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return {
        "n": len(asked),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "p99_cpu_ms": float(np.percentile(np.asarray(cpu) * 1000, 99)),
        "cpu_ms_per_request": 1000 * total / len(asked),
        "recall_at_1": right / len(asked),
    }


def gptcache(vectors: Any) -> Callable[[Any], int]:
    """GPTCache as its documentation sets it up: SQLite, faiss, its adapter, a distance evaluation."""
    cache_class: Any = import_module("gptcache").Cache
    adapt: Any = import_module("gptcache.adapter.api")
    manager: Any = import_module("gptcache.manager")
    evaluation: Any = import_module("gptcache.similarity_evaluation.distance")
    folder = Path(tempfile.mkdtemp())
    cache: Any = cache_class()
    data = manager.get_data_manager(
        manager.CacheBase("sqlite", sql_url=f"sqlite:///{folder / 'cache.db'}"),
        manager.VectorBase("faiss", dimension=vectors.shape[1], index_path=str(folder / "faiss.index"), top_k=1),
    )
    table: dict[str, Any] = {f"question {at}": vector for at, vector in enumerate(vectors)}

    def embedding(text: str, **_: Any) -> Any:
        return table[text]

    def question_of(data: dict[str, Any], **_: Any) -> Any:
        return data["prompt"]

    cache.init(
        pre_embedding_func=question_of,
        embedding_func=embedding,
        data_manager=data,
        similarity_evaluation=evaluation.SearchDistanceEvaluation(),
    )
    data.import_data(list(table), [f"answer {at}" for at in range(len(vectors))], list(vectors), [None] * len(vectors))

    def search(query: Any) -> int:
        table["asked"] = query
        found = adapt.get("asked", cache_obj=cache)
        return int(found.removeprefix("answer ")) if found else -1

    return search


def milvus_lite(vectors: Any) -> Callable[[Any], int]:
    """Milvus Lite with HNSW, through its own client."""
    pymilvus: Any = import_module("pymilvus")
    client: Any = pymilvus.MilvusClient(str(Path(tempfile.mkdtemp()) / "cache.db"))
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": _LINKS, "efConstruction": _WIDTH})
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", pymilvus.DataType.INT64, is_primary=True)
    schema.add_field("vector", pymilvus.DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    client.create_collection("peer", schema=schema, index_params=index)
    for start in range(0, len(vectors), 1000):
        part = vectors[start : start + 1000]
        client.insert("peer", [{"id": start + at, "vector": row.tolist()} for at, row in enumerate(part)])
    client.flush("peer")
    client.load_collection("peer")

    def search(query: Any) -> int:
        found = client.search(
            "peer", data=[query.tolist()], limit=5, search_params={"params": {"ef": _WIDTH}}, output_fields=["id"]
        )
        return int(found[0][0]["id"])

    return search


def faiss(vectors: Any) -> Callable[[Any], int]:
    """faiss HNSW alone."""
    library: Any = import_module("faiss")
    library.omp_set_num_threads(1)
    index: Any = library.IndexHNSWFlat(vectors.shape[1], _LINKS, library.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = index.hnsw.efSearch = _WIDTH
    index.add(vectors)

    def search(query: Any) -> int:
        return int(index.search(query[None], 5)[1][0, 0])

    return search


def usearch(vectors: Any) -> Callable[[Any], int]:
    """Search usearch's HNSW alone."""
    library: Any = import_module("usearch.index")
    index: Any = library.Index(
        ndim=vectors.shape[1], metric="ip", connectivity=_LINKS, expansion_add=_WIDTH, expansion_search=_WIDTH
    )
    index.add(np.arange(len(vectors)), vectors, threads=1)

    def search(query: Any) -> int:
        return int(index.search(query, 5, threads=1).keys[0])

    return search


PEERS: Final = {"gptcache": gptcache, "milvus-lite": milvus_lite, "faiss": faiss, "usearch": usearch}


def main() -> None:
    """Print one peer's figures."""
    name, path = sys.argv[1:]
    given = np.load(path)
    vectors, asked = given["vectors"], given["asked"]
    expected = [int(np.argmax(vectors @ query)) for query in asked]
    print(json.dumps(measured(asked, expected, PEERS[name](vectors))))


if __name__ == "__main__":
    main()
