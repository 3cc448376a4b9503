"""Locked files in a folder: which processes live, and which of them holds what.

A lock ends with its process, however that ends, so nothing here is ever left over.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ...middleware.coordination import Worker
from ...middleware.narrow import is_object

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".worker"


class WorkerFiles:
    """One locked file for each worker.

    Args:
        folder: shared by the workers; it exists.
        name: of this process, unique.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._descriptor: int | None = None
        self._about = ""

    def join(self) -> None:
        """Be one of the workers.

        Raises:
            OSError: the folder cannot be written, or its file system has no locks.
        """
        # locked under another name first: a file that the others see is either locked or left over
        draft = self._folder / f".{self._name}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(descriptor, "")
            draft.rename(self._folder / f"{self._name}{SUFFIX}")
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor

    def say(self, about: str) -> None:
        """Tell the others where this process keeps its answers, where that is new."""
        if self._descriptor is not None and about != self._about:
            self._about = about
            self._write(self._descriptor, about)

    def leave(self) -> None:
        """Be one no longer."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                (self._folder / f"{self._name}{SUFFIX}").unlink()
            os.close(descriptor)

    def live(self) -> tuple[Worker, ...]:
        """Return the workers that live, in an order that is the same for all; drop what others left over.

        Raises:
            OSError: the folder cannot be read.
        """
        found: list[Worker] = []
        with os.scandir(self._folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(SUFFIX))
        for file in names:
            name = file.removesuffix(SUFFIX)
            if name == self._name:
                found.append(Worker(name, os.getpid(), self._about))
                continue
            worker = self._seen(name)
            if worker is not None:
                found.append(worker)
        return tuple(found)

    def _seen(self, name: str) -> Worker | None:
        path = self._folder / f"{name}{SUFFIX}"
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None  # it has just left
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _worker(name, os.read(descriptor, 65_536))
        else:
            path.unlink(missing_ok=True)  # its process ended without a word
            return None
        finally:
            os.close(descriptor)

    @staticmethod
    def _write(descriptor: int, about: str) -> None:
        text = json.dumps({"pid": os.getpid(), "about": about}).encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))


class ClaimFiles:
    """One locked file for each claim that a process of this machine holds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[tuple[str, str], int] = {}

    def claim(self, name: str, member: str) -> bool:
        """Take the one place under a name, or find that it is held here already; return whether it is.

        Raises:
            OSError: the folder cannot be written, or its file system has no locks.
        """
        if (name, member) in self._held:
            return True
        descriptor = os.open(self._folder / f"{quote(name, safe='')}.claim", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._held[name, member] = descriptor
        return True

    def release(self, name: str, member: str) -> None:
        """Give a place back; the file stays, since another process may be about to lock it."""
        descriptor = self._held.pop((name, member), None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Give everything back."""
        for name, member in list(self._held):
            self.release(name, member)


def _worker(name: str, text: bytes) -> Worker:
    try:
        said: Any = json.loads(text)
    except ValueError:  # read while it was being written
        said = None
    if not is_object(said):
        return Worker(name, 0)
    pid = said.get("pid")
    return Worker(name, pid if isinstance(pid, int) else 0, str(said.get("about", "")))
