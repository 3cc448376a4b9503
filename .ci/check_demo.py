"""Reads the report of `make demo` and fails unless it shows misses, exact hits, semantic hits and no wrong one.

Each row is one request: ``status`` is its HTTP status, ``cache`` what the header x-forebay-cache said, ``wrong``
whether the answer was another question's.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path


def main(file: str) -> int:
    """Return the exit status."""
    report = json.loads(Path(file).read_text(encoding="utf-8"))
    answered = Counter(row["cache"] for row in report["rows"])
    problems = [f"no {kind}" for kind in ("miss", "exact", "semantic") if not answered[kind]]
    problems += [f"{row['id']}: status {row['status']}" for row in report["rows"] if row["status"] != 200]
    problems += [f"{row['id']}: another question's answer" for row in report["rows"] if row["wrong"]]
    print(f"demo: {dict(answered)}", *problems, sep="\ndemo: ")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
