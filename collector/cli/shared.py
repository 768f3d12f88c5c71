"""What the commands share: options, reading the configuration, and how results and errors are shown."""

from __future__ import annotations

__all__ = [
    "ConfigFile",
    "Json",
    "print_json",
    "quiet_progress",
    "read_config",
    "settle_log",
    "show_failure",
    "show_faults",
    "wait_for_signal",
]

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.cli.output.screen import Screen, say, styled, write_json
from collector.errors import CollectorError, ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.text import Text

    from collector.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration to read. (default: $COLLECTOR_CONFIG, ./collector.toml, the user's, the system's)",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def read_config(path: Path | None, *, log: bool = True) -> Config:
    """Read the configuration and set the log up as it says; ConfigError tells every fault."""
    from collector.config import load, secret_values
    from collector.logs import configure

    config = load(path)
    if log:
        configure(config.log.level, config.log.format, secrets=secret_values(config))
    _warn_of_old_keys(config, logged=log)
    return config


def _warn_of_old_keys(config: Config, *, logged: bool) -> None:
    import structlog

    _log = structlog.get_logger()
    for renamed in config.renamed:
        if logged:
            _log.warning("setting_renamed", reason=renamed)
        else:
            say(f"warning: {renamed}", "yellow", stderr=True)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, and nothing else beside it."""
    import orjson

    write_json(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def quiet_progress(*, quiet: bool) -> Progress:
    """A progress bar on stderr for people who watch; nothing where nobody does, or for `--json`."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Description(ProgressColumn):
        def render(self, task: Task) -> Text:
            return styled(task.description)

    console = Screen(stderr=True)
    columns = (Description(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal)


def show_faults(error: ConfigError) -> None:
    """List every fault: its key, what is wrong, and below it what would be right."""
    settle_log()
    screen = Screen(stderr=True)
    count = len(error.faults)
    say(f"The configuration has {'a fault' if count == 1 else f'{count} faults'}:", "bold red", stderr=True)
    for fault in error.faults:
        screen.print(styled(f"  {fault.key}", "bold"), styled(f"  {fault.problem}"), sep="", soft_wrap=True)
        if fault.remedy:
            screen.print(styled(f"      {fault.remedy}", "cyan"), soft_wrap=True)


def show_failure(error: CollectorError) -> None:
    """Say what went wrong, without a traceback: the text is made for people."""
    settle_log()
    screen = Screen(stderr=True)
    first, *more = str(error).split("\n")
    screen.print(styled("error: ", "bold red"), styled(first), sep="", soft_wrap=True)
    for line in more:
        screen.print(styled(f"  {line}"), soft_wrap=True)


def settle_log() -> None:
    """Have the log written first, so that what went wrong stands at the end."""
    if logs := sys.modules.get("collector.logs"):
        logs.drain()


async def wait_for_signal() -> None:
    """Wait for Ctrl-C or SIGTERM, and take it."""
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, came.set)
    try:
        await came.wait()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
