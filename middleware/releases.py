"""Releases of other people's packages that an operator must be warned of."""

from __future__ import annotations

from typing import Final

COMPROMISED_LITELLM: Final = ("1.82.7", "1.82.8", "1.107.0")
"""LiteLLM releases that carried malicious code; pyproject.toml excludes them, too."""
