"""What the commands share: options, reading the configuration, and how results and errors are shown."""

from __future__ import annotations

__all__ = [
    "ConfigFile",
    "Json",
    "print_json",
    "quiet_progress",
    "read_config",
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
from rich.console import Console
from rich.text import Text

from collector.errors import CollectorError, ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress

    from collector.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration to read. [default: $COLLECTOR_CONFIG, ./collector.toml, the user's, the system's]",
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
    return config


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, and nothing else beside it."""
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def quiet_progress(*, quiet: bool) -> Progress:
    """A progress bar on stderr for people who watch; nothing where nobody does, or for `--json`."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = _errors()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal)


def show_faults(error: ConfigError) -> None:
    """List every fault: its key, what is wrong, and below it what would be right."""
    text = Text()
    count = len(error.faults)
    text.append(f"The configuration has {'a fault' if count == 1 else f'{count} faults'}:\n", style="bold red")
    for fault in error.faults:
        text.append(f"  {fault.key}", style="bold").append(f"  {fault.problem}\n")
        if fault.remedy:
            text.append(f"      {fault.remedy}\n", style="cyan")
    _errors().print(text, end="", soft_wrap=True)


def show_failure(error: CollectorError) -> None:
    """Say what went wrong, without a traceback: the text is made for people."""
    _errors().print(Text("error: ", style="bold red").append(str(error), style="not bold default"), soft_wrap=True)


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


def _errors() -> Console:
    return Console(stderr=True, highlight=False)
