"""The command ``forebay``."""

from __future__ import annotations


def main() -> int:
    """Run the command line and return its exit status."""
    from .app import app

    app()  # exits by itself
    return 0
