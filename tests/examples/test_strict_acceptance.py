"""The example plugin, installed and used as anyone's would be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "forebay-strict-acceptance"

pytestmark = pytest.mark.slow

# run in a process of its own, which sees the plugin as an installed distribution
USE = """
import json, sys, tempfile
from pathlib import Path
from forebay import Answer, Build, Candidate, Entry
from forebay.middleware.errors import ForebayError
from forebay.middleware.keys import Keyring
from forebay.middleware.records import Asked, Key
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.registry import ACCEPTANCE
from forebay.middleware.telemetry import Telemetry

wanted, settings, pairs = json.loads(sys.argv[1])
try:
    manager = PluginManager.from_entry_points(wanted)
    build = Build(Path(tempfile.gettempdir()), Keyring.from_secret("of an example test"), Telemetry(enabled=False))
    strict = manager.registry.build(ACCEPTANCE, "strict", settings, build)
except ForebayError as error:
    print(json.dumps({"error": str(error)}))
    raise SystemExit
verdicts = []
for question, kept, similarity in pairs:
    entry = Entry("id", "scope", "", kept, Answer({}), "m", "t", 0.0, 1.0)
    asked = Asked(Key("scope", "", "exact", question))
    verdict = strict.judge(asked, Candidate(entry, similarity))
    verdicts.append([verdict.accepted, round(verdict.confidence, 3), verdict.reason])
loaded = {one.name: [one.distribution, one.version] for one in manager.loaded}
print(json.dumps({"verdicts": verdicts, "loaded": loaded["strict-acceptance"]}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed example, as `pip install` lays it."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source)  # setuptools writes beside what it builds
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-qq",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            target,
            source,
        ],
        check=True,
        cwd=target,
    )
    return target


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def use(site: Path, wanted: list[str], *pairs: tuple[str, str, float], **settings: float) -> dict[str, Any]:
    result = python(site, "-c", USE, json.dumps([wanted, settings, pairs]))
    assert result.returncode == 0, result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def test_it_judges_by_vector_and_by_words(site: Path) -> None:
    said = use(
        site,
        ["strict-acceptance"],
        ("What is the capital of France?", "the capital of France, please", 0.97),
        ("What is the capital of France?", "What is the capital of Norway?", 0.97),
        ("What is the capital of France?", "the capital of France, please", 0.85),
        ("Who?", "Why?", 1.0),
    )
    assert said["loaded"] == ["forebay-strict-acceptance", "0.1.0"]
    assert said["verdicts"] == [
        [True, 0.97, "close"],
        [False, 0.333, "other_words"],
        [False, 0.85, "below_threshold"],
        [False, 0.0, "other_words"],
    ]


def test_its_settings_move_both_bounds(site: Path) -> None:
    pair = ("cheap flights to Oslo in May", "flights to Oslo in May", 0.88)
    assert use(site, ["strict-acceptance"], pair)["verdicts"][0][0] is False
    assert use(site, ["strict-acceptance"], pair, similarity=0.88, overlap=0.75)["verdicts"][0][0] is True


def test_a_mistyped_setting_is_named(site: Path) -> None:
    said = use(site, ["strict-acceptance"], overlpa=0.5)
    assert "unknown key 'overlpa'" in said["error"]
    assert "Did you mean 'overlap'?" in said["error"]


def test_it_is_not_loaded_unless_named(site: Path) -> None:
    assert "there is no acceptance named 'strict'" in use(site, [])["error"]


def test_a_mistyped_plugin_gets_the_nearest_name(site: Path) -> None:
    assert "Did you mean 'strict-acceptance'?" in use(site, ["strict-aceptance"])["error"]


def test_forebay_plugins_lists_it_once_the_config_names_it(site: Path, tmp_path: Path) -> None:
    config = tmp_path / "forebay.yaml"
    config.write_text(f"plugins: [strict-acceptance]\nstate_dir: {tmp_path}/state\n", encoding="utf-8")
    named = python(site, "-m", "forebay", "--config", str(config), "plugins")
    assert named.returncode == 0, named.stderr
    assert "strict" in named.stdout
    config.write_text(f"state_dir: {tmp_path}/state\n", encoding="utf-8")
    unnamed = python(site, "-m", "forebay", "--config", str(config), "plugins")
    assert unnamed.returncode == 0, unnamed.stderr
    assert "strict" not in unnamed.stdout
