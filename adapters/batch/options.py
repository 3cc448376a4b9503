"""The words after ``forebay batch``, and the configuration they make of the operator's."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ...middleware.batch import MAX_PARALLEL
from ...middleware.config import Spec
from ...middleware.errors import ConfigError
from ...middleware.records import Mode
from .journal import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...middleware.config import Config

RETRIES: Final = 3
TIMEOUT_S: Final = 600.0
DAY_S: Final = 86_400.0
LOOKUP_MS: Final = 5_000.0
"""Nobody waits for a single line, so a lookup may take long before it is given up."""
CHECKS: Final = ("clean_end", "asked_format", "asked_language", "declined")
OPENAI: Final = "openai"
_EPILOG: Final = """\
The file holds a request a line, as for OpenAI's batch API and `vllm run-batch`:
  {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": […]}}

What is done is kept in OUT.journal until OUT is written. After a stop, however it came, give the same command again.

exit status: 0 every line is answered; 1 done, some lines are in the error file; 2 not done
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Attributes:
        accept: which other wordings may be answered with a kept answer; None as configured.
        expect: only say what would be saved.
    """

    source: Path
    out: Path
    errors: Path
    config: str | None = None
    url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    tenant: str = "default"
    max_parallel: int = MAX_PARALLEL
    retries: int = RETRIES
    timeout_s: float = TIMEOUT_S
    accept: str | None = None
    expect: bool = False

    @property
    def journal(self) -> Path:
        """Where the journal is."""
        return self.out.with_name(self.out.name + SUFFIX)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the words after ``forebay batch``."""
    made = argparse.ArgumentParser(
        prog="forebay batch",
        description="Answer a file of requests with as few computations as it needs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("source", type=Path, metavar="IN.jsonl", help="requests, one a line")
    made.add_argument("out", type=Path, metavar="OUT.jsonl", help="answers, in the order of the requests")
    made.add_argument("--errors", type=Path, metavar="FILE", help="lines without an answer (OUT.errors.jsonl)")
    made.add_argument("--config", metavar="FILE", help="forebay's YAML file (FOREBAY_CONFIG, else ./forebay.yaml)")
    made.add_argument("--url", metavar="URL", help="an OpenAI-compatible server, instead of the config's engine")
    made.add_argument("--api-key-env", metavar="NAME", help="environment variable with the key that the server wants")
    made.add_argument("--model", metavar="NAME", help="ask for this model, whatever the lines name")
    made.add_argument("--max-parallel", type=_count, default=MAX_PARALLEL, metavar="N", help=f"({MAX_PARALLEL})")
    made.add_argument(
        "--retries", type=_many, default=RETRIES, metavar="N", help=f"more attempts for a line, at most ({RETRIES})"
    )
    made.add_argument(
        "--timeout", type=_seconds, default=TIMEOUT_S, metavar="S", help=f"longest answer, with --url ({TIMEOUT_S:g})"
    )
    made.add_argument("--tenant", default="default", metavar="NAME", help="who may share answers with the file")
    made.add_argument(
        "--accept",
        choices=("exact", "proven", "similar"),
        help="take answers to equal lines only; also to other wordings that audits have proven (what a config does "
        "unless it says otherwise); or to all that the acceptance policy accepts",
    )
    made.add_argument("--expect", action="store_true", help="only check the file and say what would be saved")
    return made


def parse(args: Sequence[str]) -> Options:
    """Return the options.

    Raises:
        SystemExit: as argparse does.
    """
    found = parser().parse_args(list(args))
    out: Path = found.out
    return Options(
        source=found.source,
        out=out,
        errors=found.errors or out.with_name(f"{out.stem}.errors{out.suffix}"),
        config=found.config,
        url=found.url,
        api_key_env=found.api_key_env,
        model=found.model,
        tenant=found.tenant,
        max_parallel=found.max_parallel,
        retries=found.retries,
        timeout_s=found.timeout,
        accept=found.accept,
        expect=found.expect,
    )


def check_paths(options: Options) -> None:
    """Refuse to write over what is there.

    Raises:
        ConfigError: an output file exists and no journal says that it is ours, or two files are one.
    """
    paths = [options.source, options.out, options.errors, options.journal]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("is named twice; input, output and error file must differ", source=str(options.out))
    if not options.out.parent.is_dir():
        raise ConfigError("the folder does not exist; make it", source=str(options.out.parent))
    if options.expect or options.journal.exists():
        return
    for path in (options.out, options.errors):
        if path.exists():
            raise ConfigError("exists; name another, or remove it", source=str(path))


def config_for(config: Config, options: Options, environ: Mapping[str, str]) -> Config:
    """Return the operator's config as a batch runs it: the engine that is asked, all answer checks, no hurry.

    Raises:
        ConfigError: there is no engine, or a key is not set.
    """
    cache = config.cache.model_copy(
        update={
            "lookup_deadline_ms": max(LOOKUP_MS, config.cache.lookup_deadline_ms),
            "twin_wait_s": DAY_S,
            **({"semantic": Mode.OFF} if options.accept == "exact" else {}),
        }
    )
    # the queue holds this file's lines alone, and those can wait
    admission = config.admission.model_copy(update={"max_queue": 1_000_000, "queue_timeout_s": DAY_S})
    return config.model_copy(
        update={
            "engine": _engine(config, options, environ),
            "acceptance": _acceptance(config.acceptance, options.accept),
            "answer_checks": _checks(config.answer_checks),
            "cache": cache,
            "admission": admission,
            "shedding": None,
        }
    )


def proven_only(config: Config) -> bool:
    """Return whether other wordings are only answered where audits have proven that."""
    acceptance = config.acceptance
    audited = acceptance.type == "verified" and acceptance.settings.get("trust", "audited") == "audited"
    return audited and config.cache.semantic is Mode.SERVE


def _engine(config: Config, options: Options, environ: Mapping[str, str]) -> Spec:
    if options.url is None:
        if config.engine is None:
            raise ConfigError("no engine is configured; name one there, or give --url", path="engine")
        if options.api_key_env is not None:
            raise ConfigError("is for --url; the config's engine has its own api_key", source="--api-key-env")
        return config.engine
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError("is no address of a server; write http://HOST:PORT/v1", source="--url")
    base_url = options.url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")
    given: dict[str, Any] = {"type": OPENAI, "base_url": base_url, "timeout_s": options.timeout_s}
    if options.api_key_env is not None:
        key = environ.get(options.api_key_env)
        if not key:
            raise ConfigError("is not set; put the server's key there", source=options.api_key_env)
        given["api_key"] = key
    return Spec.model_validate(given)


def _acceptance(spec: Spec, accept: str | None) -> Spec:
    if accept not in ("proven", "similar"):
        return spec
    settings = dict(spec.settings) if spec.type == "verified" else {}
    trust = "audited" if accept == "proven" else "calibrated"
    if spec.type != "verified" and accept == "similar":
        return spec  # it serves all it accepts
    return Spec.model_validate({**settings, "type": "verified", "trust": trust})


def _checks(specs: Sequence[Spec]) -> tuple[Spec, ...]:
    named = {spec.type for spec in specs}
    schemas = find_spec("jsonschema") is not None
    added = [
        Spec.model_validate({"type": name, **({"schemas": schemas} if name == "asked_format" else {})})
        for name in CHECKS
        if name not in named
    ]
    return (*specs, *added)


def _count(text: str) -> int:
    return _whole(text, 1)


def _many(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least}")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= DAY_S:
        raise argparse.ArgumentTypeError(f"must be seconds, above 0 and at most {DAY_S:,.0f}")
    return seconds
