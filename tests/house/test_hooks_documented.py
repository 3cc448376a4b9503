"""docs/hooks.md and docs/write-a-plugin.md say what the code says."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from forebay.middleware import hookspecs
from forebay.middleware.plugin_manager import PluginManager
from forebay.middleware.registry import KINDS

ROOT = Path(__file__).parents[2]
HOOKS = (hookspecs.REGISTRATION, *hookspecs.OBSERVERS)
SECTIONS = {
    section.split("(", 1)[0]: section
    for section in re.split(r"^## `", (ROOT / "docs/hooks.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
}


def signature(hook: str) -> str:
    spec = inspect.signature(getattr(hookspecs, hook))
    arguments = ", ".join(f"{name}: {argument.annotation}" for name, argument in spec.parameters.items())
    return f"{hook}({arguments}) -> {spec.return_annotation}"


def test_the_hooks_named_in_the_module_are_the_hookspecs() -> None:
    marked = {name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")}
    assert marked == set(HOOKS)


def test_every_section_is_a_hook_and_every_hook_a_section() -> None:
    assert list(SECTIONS) == list(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_heading_is_the_signature(hook: str) -> None:
    assert SECTIONS[hook].splitlines()[0] == f"{signature(hook)}`"


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_is_a_plugin_with_that_hook(hook: str) -> None:
    code = re.findall(r"```python\n(.*?)```", SECTIONS[hook], flags=re.DOTALL)
    assert len(code) == 1
    module = ModuleType(f"example_{hook}")
    exec(compile(code[0], f"docs/hooks.md: {hook}", "exec"), vars(module))
    manager = PluginManager()
    manager.register(getattr(module, "plugin", module), "example")
    if hook == hookspecs.REGISTRATION:
        assert [item.plugin for item in manager.registry] == ["example"]
    else:
        assert [plugin for plugin, _ in manager.observers()[hook]] == ["example"]


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_has_a_test_named_after_it(hook: str) -> None:
    names = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert [name for name in names if name.startswith(f"test_{hook}")], f"write a test named test_{hook}…"


def test_the_table_of_kinds_is_the_registrys() -> None:
    text = (ROOT / "docs/write-a-plugin.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(\w+)` \|", text, flags=re.MULTILINE)
    assert rows == [(name.upper(), kind.protocol.__name__) for name, kind in KINDS.items()]


def test_the_walk_through_shows_the_example_as_it_is() -> None:
    source = (ROOT / "examples/forebay-strict-acceptance/src/forebay_strict_acceptance.py").read_text(encoding="utf-8")
    bare = re.sub(r'\n? *""".*?"""\n', "\n", source, flags=re.DOTALL).replace("\n\n", "\n")
    text = (ROOT / "docs/write-a-plugin.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[:3]
    for block in shown:
        lines = [line for line in block.splitlines() if line.strip()]
        assert "\n".join(lines) in "\n".join(line for line in bare.splitlines() if line.strip())
