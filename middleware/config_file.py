"""Reading settings: YAML text, ``${NAME}`` in its values, and the environment on top."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from .errors import ConfigError
from .narrow import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX = "FOREBAY__"
_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key that is given twice; YAML would silently take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} is given twice; keep one", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path, env: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in a file, with ``${NAME}`` replaced by the environment's text.

    Raises:
        ConfigError: it cannot be read, is not YAML, holds no settings, or names a variable that is not set.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("no such file; check FOREBAY_CONFIG or the path", source=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read as UTF-8 text: {error}", source=str(path)) from None
    try:
        loaded: Any = yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "malformed"
        raise ConfigError(f"not YAML{at}: {problem}", source=str(path)) from None
    except ValueError as error:  # PyYAML: a date that does not exist, a number with too many digits
        raise ConfigError(f"holds a value that cannot be read ({error}); quote it", source=str(path)) from None
    if loaded is None:
        return {}
    if not is_object(loaded):
        raise ConfigError("must hold settings as 'key: value' lines", source=str(path))
    return {str(key): _expand(value, env, str(key), str(path)) for key, value in loaded.items()}


def _expand(value: Any, env: Mapping[str, str], path: str, source: str) -> Any:
    if is_object(value):
        return {str(key): _expand(item, env, f"{path}.{key}", source) for key, item in value.items()}
    if is_array(value):
        return [_expand(item, env, f"{path}.{index}", source) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name is None:
            return "${"
        found = env.get(name)
        if not found and default is not None:
            return default
        if found is None:
            raise ConfigError(
                f"environment variable {name} is not set; set it or write ${{{name}:-default}}",
                path=path,
                source=source,
            )
        return found

    # stays text: numbers and booleans are read where a setting wants one, and a secret is not to be read at all
    return _VARIABLE.sub(replace, value)


def overridden(data: dict[str, Any], env: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Return the settings with those of ``FOREBAY__…`` variables on top, and which variable set which path.

    Raises:
        ConfigError: a value is not YAML.
    """
    used: dict[str, tuple[str, ...]] = {}
    for name in sorted(env):
        if not name.startswith(PREFIX):
            continue
        keys = tuple(part.lower() for part in name[len(PREFIX) :].split("__"))
        try:
            value = yaml.safe_load(env[name])
        except (yaml.YAMLError, ValueError):
            raise ConfigError("value is not YAML; quote it", source=name) from None
        node = data
        for key in keys[:-1]:
            below = node.get(key)
            node[key] = dict(below) if is_object(below) else {}
            node = node[key]
        node[keys[-1]] = value
        used[name] = keys
    return data, used
