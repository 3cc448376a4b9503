"""The words after ``forebay vllm serve``: vLLM's own, read by vLLM's own parser, and one of ours."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ....middleware.errors import ConfigError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

CONFIG: Final = "--forebay-config"
_SOURCE: Final = "forebay vllm serve"


def parsed(words: Sequence[str]) -> Namespace:
    """Read the words as ``vllm serve`` would, and check them as it does.

    Raises:
        SystemExit: help was asked for, or a word is wrong; vLLM has said so.
        ConfigError: vLLM refuses the words for what they say together.
    """
    arguments, serve = import_module("vllm.utils.argparse_utils"), import_module("vllm.entrypoints.cli.serve")
    parser: Any = arguments.FlexibleArgumentParser(prog="forebay vllm")
    command = serve.ServeSubcommand()
    made = command.subparser_init(parser.add_subparsers(dest="subparser"))
    made.usage = f"{_SOURCE} [model_tag] [options]"
    made.epilog = str(made.epilog).replace("vllm serve", _SOURCE)
    ours = made.add_argument_group("forebay", "forebay's own options; all others are vLLM's.")
    ours.add_argument(CONFIG, metavar="FILE", help="forebay's YAML file (FOREBAY_CONFIG, else ./forebay.yaml)")
    try:
        options: Namespace = parser.parse_args(["serve", *words])
        if options.model_tag is not None:
            options.model = options.model_tag
        import_module("vllm.logger").configure_logging_from_args(options)
        command.validate(options)
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error), source=_SOURCE) from None
    return options


def check_one_process(options: Namespace, environ: Mapping[str, str]) -> None:
    """Check that the server is this process and no other.

    forebay's queue, its twins and its accounts are in the memory of the process that serves. vLLM starts further ones itself, and
    has no place where each could be given a wrapped engine. Several of these commands, each with its engine, do share what must
    be shared, through Redis and a Milvus server.

    Raises:
        ConfigError: it would not be.
    """
    if options.headless:
        raise _refused("--headless", "starts engines without a server: run `vllm serve --headless` on that machine")
    if options.grpc:
        raise _refused("--grpc", "serves no HTTP, and forebay is in front of the HTTP server: leave it out")
    if environ.get("VLLM_USE_RUST_FRONTEND", "0").lower() not in ("", "0", "false"):
        raise _refused("VLLM_USE_RUST_FRONTEND", "serves from a program that is not Python: unset it")
    if (options.api_server_count or 1) > 1 or options.api_server_count == 0:
        raise _refused(
            "--api-server-count",
            "must be 1: vLLM's further API processes would each be without forebay. For more than one process can take, start "
            "several servers (with --data-parallel-external-lb, or one a GPU) and let them share: coordination: {type: redis, url: …} "
            "and store: {uri: http://milvus:19530} in forebay's config",
        )
    if getattr(options, "data_parallel_multi_port_external_lb", False):
        raise _refused(
            "--data-parallel-multi-port-external-lb",
            "starts a server for each rank itself, without forebay; start one `forebay vllm serve` for each, with "
            "--data-parallel-rank",
        )
    options.api_server_count = None  # as vLLM itself says that the server is this process


def _refused(flag: str, why: str) -> ConfigError:
    return ConfigError(why, source=f"{_SOURCE}: {flag}")
