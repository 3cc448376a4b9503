"""``python -m forebay.adapters.litellm.serve.proxy ARGS``: ``litellm ARGS``, ended when standard input ends.

Whoever starts it holds the other end of standard input: when that process dies, however, no proxy stays behind.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from typing import Any


def end_with_stdin() -> None:
    """End this process when standard input does."""

    def watch() -> None:
        # not sys.stdin.read(): that holds a lock for which Python, when it ends, aborts
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="forebay-watch", daemon=True).start()


def main() -> None:
    """Run LiteLLM's own command line."""
    end_with_stdin()
    litellm: Any = importlib.import_module("litellm")  # half typed
    litellm.run_server()


if __name__ == "__main__":
    main()
