from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from forebay.adapters.demo.screen import Screen


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(written: io.StringIO) -> Screen:
    """A screen that is no terminal, wide enough for everything."""
    return Screen(Console(file=written, width=140, highlight=False, markup=False))


@pytest.fixture
def shown(written: io.StringIO) -> Callable[[], str]:
    """Returns what was written to the screen so far."""
    return written.getvalue
