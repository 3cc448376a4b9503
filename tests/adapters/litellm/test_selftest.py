"""The self-test that `forebay doctor` runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_installed_litellm_has_no_problems() -> None:
    """In a process of its own: it sets LiteLLM's global callbacks and cache."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("FOREBAY", "OTEL_"))}
    run = subprocess.run(
        [sys.executable, "-m", "forebay.adapters.litellm.selftest"],
        capture_output=True,
        env=env,
        timeout=120,
        check=True,
        text=True,
    )
    assert json.loads(run.stdout.strip().splitlines()[-1]) == []
