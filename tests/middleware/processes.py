"""Several Python processes that do the same thing at the same moment."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STARTING_LINE = "import sys\n{imports}\nprint('up', flush=True)\nsys.stdin.readline()\n{program}"


def together(imports: str, program: str, each: Iterable[Sequence[str]]) -> list[tuple[int, str, str]]:
    """Start a process for each list of arguments, let all run the program once all have imported what it needs.

    Returns:
        Exit status, output and error output of each.
    """
    code = _STARTING_LINE.format(imports=imports, program=program)
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", code, *words], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for words in each
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate() for process in processes]
    return [(process.returncode, out, err) for process, (out, err) in zip(processes, said, strict=True)]
