"""Milvus Lite, served to this process alone.

pymilvus can start Milvus Lite itself, but then every user of the machine can read the cache through its
port, a file that another process holds looks like any other failure, filter templates are ignored, and the
asynchronous client cannot make an index. So forebay starts the same server, on a Unix socket in a folder
that only this user can enter, with the missing pieces added.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ...middleware.errors import StoreBusyError, StoreError
from .engine import LiteEngine
from .filters import FilterError, Value, fill

_THREADS: Final = 1
"""Milvus Lite allows one writer at a time, and a reader beside a flush misses the rows being moved."""

_GRACE_S: Final = 2.0
_MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024
_BAD_FILTER: Final = 1100  # what a Milvus server answers to a filter it cannot parse

# none of these packages has types
_grpc: Any = import_module("grpc")
_database: Any = import_module("milvus_lite.db")
_errors: Any = import_module("milvus_lite.exceptions")
_Milvus: Any = import_module("milvus_lite.adapter.grpc.servicer").MilvusServicer
_common: Any = import_module("pymilvus.grpc_gen.common_pb2")
_messages: Any = import_module("pymilvus.grpc_gen.milvus_pb2")
_service: Any = import_module("pymilvus.grpc_gen.milvus_pb2_grpc")

# it logs a traceback for each request that fails, beside the status that tells the client
logging.getLogger("milvus_lite.adapter.grpc.servicer").setLevel(logging.CRITICAL)


class LiteServer:
    """A running Milvus Lite. `open` and `close` block: call them in a thread.

    Attributes:
        uri: where a Milvus client reaches it.
        engine: what is asked so often that it goes without a client.
    """

    def __init__(self, database: Any, server: Any, engine: LiteEngine, folder: Path, uri: str) -> None:
        self._database = database
        self._server = server
        self._folder = folder
        self.engine = engine
        self.uri = uri

    @classmethod
    def open(cls, path: Path) -> LiteServer:
        """Open, or make, the database at a path and serve it.

        Raises:
            StoreBusyError: another process has it open.
            StoreError: it is damaged, not a Milvus Lite 3 database, or cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{path.parent} cannot be made ({type(error).__name__}); set state_dir or store.uri"
            ) from None
        try:
            database: Any = _database.MilvusLite(str(path))
        except _errors.DataDirLockedError:
            raise StoreBusyError(
                f"{path} is in use by another process, and Milvus Lite serves one process only; use a Milvus server "
                "for several (store.uri: http://HOST:19530), or give each process its own state_dir"
            ) from None
        except FileExistsError:
            raise StoreError(f"{path} is not a Milvus Lite 3 database; move it away, or set store.uri") from None
        except Exception as error:  # whatever a damaged database raises, it is unusable
            raise StoreError(
                f"{path} cannot be opened ({type(error).__name__}); check its permissions, or move it away to start "
                "with an empty cache"
            ) from None
        folder = Path(tempfile.mkdtemp(prefix="forebay-"))
        uri = f"unix:{folder / 'milvus.sock'}"
        executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="forebay-milvus-lite")
        engine = LiteEngine(database, executor)
        try:
            server: Any = _grpc.server(
                executor,
                options=[
                    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
                    # pymilvus pings every 10 s; by default two pings without a call in between end the connection,
                    # with a line on stderr, and most calls go past it (engine.py)
                    ("grpc.http2.max_ping_strikes", 0),
                ],
            )
            _service.add_MilvusServiceServicer_to_server(_Servicer(database, engine), server)
            server.add_insecure_port(uri)
            server.start()
        except Exception as error:
            database.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise StoreError(
                f"Milvus Lite cannot listen on a Unix socket in {folder.parent} ({type(error).__name__}); "
                "use a Milvus server instead (store.uri)"
            ) from None
        return cls(database, server, engine, folder, uri)

    def close(self) -> None:
        """End the server and let go of the file; another process, or this one, may open it then."""
        self._server.stop(_GRACE_S).wait()
        self.engine.close()
        # closing twice, or after a failed write, must not keep the rest from being let go
        with suppress(Exception):
            self._database.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Servicer(_Milvus):  # type: ignore[misc]
    """Milvus Lite's service with filter templates, timestamps and early flushes added."""

    def __init__(self, database: Any, engine: LiteEngine) -> None:
        _Milvus.__init__(self, database)
        self._engine = engine

    def AllocTimestamp(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return _messages.AllocTimestampResponse(status=_common.Status(code=0), timestamp=1)

    def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        problem = _fill_template(request, "expr")
        return _messages.QueryResults(status=problem) if problem else _Milvus.Query(self, request, context)

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        problem = _fill_template(request, "dsl")
        return _messages.SearchResults(status=problem) if problem else _Milvus.Search(self, request, context)

    def HybridSearch(self, request: Any, context: Any) -> Any:  # noqa: N802
        for part in request.requests:
            problem = _fill_template(part, "dsl")
            if problem:
                return _messages.SearchResults(status=problem)
        return _Milvus.HybridSearch(self, request, context)

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        problem = _fill_template(request, "expr")
        return _messages.MutationResult(status=problem) if problem else _Milvus.Delete(self, request, context)

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        done = _Milvus.Upsert(self, request, context)
        if not done.status.code:
            self._engine.wrote(request.collection_name, request.num_rows)
        return done


def _fill_template(request: Any, name: str) -> Any:
    """Write a request's template values into its filter; return a status where that cannot be."""
    try:
        setattr(request, name, fill(getattr(request, name), _values(request.expr_template_values)))
    except FilterError as error:
        return _common.Status(code=_BAD_FILTER, reason=str(error))
    return None


def _values(template: Any) -> dict[str, Value]:
    return {name: _value(name, template[name]) for name in template}


def _value(name: str, found: Any) -> Value:
    kind = found.WhichOneof("val")
    if kind == "array_val" and found.array_val.WhichOneof("data") == "string_data":
        return list(found.array_val.string_data.data)
    if kind in ("bool_val", "int64_val", "float_val", "string_val"):
        value: Value = getattr(found, kind)
        return value
    raise FilterError(f"the value of {name} has an unknown type")
