"""What the words after ``forebay serve`` mean: servers by URL, and models of providers LiteLLM knows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ....middleware.errors import ConfigError

_PROVIDER: Final = re.compile(r"[a-z][a-z0-9_-]*")
_REFERENCE: Final = "os.environ/"
FORMS: Final = "http://HOST:PORT/v1, NAME=http://HOST:PORT/v1#MODEL or PROVIDER/MODEL"


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server.

    Attributes:
        base_url: ends before ``/chat/completions``; without a slash at its end.
        model: its own name of the model, None to ask it.
        name: the name that clients use, None for the server's own.
    """

    base_url: str
    model: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Hosted:
    """A model that LiteLLM reaches by its provider.

    Attributes:
        model: LiteLLM's ``provider/model``.
        name: the name that clients use.
    """

    model: str
    name: str


def parse_upstream(text: str) -> Server | Hosted:
    """Read one UPSTREAM.

    Raises:
        ConfigError: it is none, or holds a secret.
    """
    _refuse_secrets(text)
    if not text or not text.isprintable() or " " in text:
        raise _wrong(text, f"is empty or has a space in it; write {FORMS}")
    name, target = _named(text)
    if name is not None:
        check_name(name, text)
    if "://" in target:
        return _server(text, target, name)
    return _hosted(text, target, name)


def check_name(name: str, source: str) -> None:
    """Return if a model may have this name in LiteLLM's config, where some characters have a meaning.

    Raises:
        ConfigError: it may not.
    """
    if not name or not name.isprintable() or " " in name or "*" in name or name.startswith(_REFERENCE):
        raise _wrong(
            source,
            f"{name!r} cannot be a model's name here (empty, a space, a wildcard or {_REFERENCE}…); "
            "write the config with --write and edit it, if that is what you need",
        )


def _named(text: str) -> tuple[str | None, str]:
    head, found, tail = text.partition("=")
    # an = that belongs to a URL comes after its ://
    return (head, tail) if found and "://" not in head else (None, text)


def _server(text: str, target: str, name: str | None) -> Server:
    try:
        parts = urlsplit(target)
        port_ok = parts.port != 0
    except ValueError:
        raise _wrong(text, f"is not a URL; write {FORMS}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_ok:
        raise _wrong(text, f"is not the URL of an HTTP server; write {FORMS}")
    if target.endswith("#"):
        raise _wrong(text, "names no model after '#'")
    if parts.fragment:
        check_name(parts.fragment, text)
    return Server(_base_url(parts), parts.fragment or None, name)


def _base_url(parts: SplitResult) -> str:
    base = parts._replace(path=parts.path.rstrip("/"), fragment="").geturl()
    for ending in ("/chat/completions", "/completions", "/models"):
        base = base.removesuffix(ending)
    return base


def _hosted(text: str, target: str, name: str | None) -> Hosted:
    provider, found, model = target.partition("/")
    if ":" in provider or provider == "localhost":
        raise _wrong(text, f"is not a URL: it has no http:// or https:// before {provider!r}")
    if not found or not model or not _PROVIDER.fullmatch(provider):
        raise _wrong(text, f"is neither a URL nor a provider's model; write {FORMS}")
    if "#" in model:
        raise _wrong(text, "'#' names a model behind a URL; of a provider write PROVIDER/MODEL")
    public = name if name is not None else model
    check_name(public, text)
    check_name(model, text)
    return Hosted(target, public)


def _refuse_secrets(text: str) -> None:
    """Refuse what may hold a password or a key, without repeating it."""
    url = text.partition("#")[0]
    if "://" in url and ("@" in url or "?" in url):
        raise ConfigError(
            "an upstream's URL has a user, a password or a query in it; write it without, put the key into an "
            "environment variable, and name that with --key-env"
        )


def _wrong(text: str, problem: str) -> ConfigError:
    return ConfigError(problem, source=f"the upstream {text!r}")
