"""The command line: `collector --help`.

One module a command. A module imports at its top only what its help needs, and the rest inside the command, so that
`collector --help` answers at once. Errors are turned into texts and exit statuses here and nowhere else: 0 done,
1 failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

__all__ = ["app", "main"]

import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from collector import __version__
from collector.cli import (
    audit,
    backfill,
    chart,
    check,
    database,
    demo,
    explain,
    export,
    gaps,
    instruments,
    migrate,
    plan,
    quarantine,
    reload,
    replay,
    run,
    simulate,
    status,
)
from collector.cli.output.screen import say, settle
from collector.cli.parameters.spellings import accept_old_spellings
from collector.cli.shared import show_failure, show_faults
from collector.errors import CollectorError, ConfigError

app = typer.Typer(
    name="collector",
    help="Record market data from FMFW, FMex, MetaAPI and Finam into TimescaleDB, and lose none of it.",
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage or configuration.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run.add_to(app)
demo.add_to(app)
simulate.add_to(app)
migrate.add_to(app)
check.add_to(app)
plan.add_to(app)
reload.add_to(app)
status.add_to(app)
instruments.add_to(app)
backfill.add_to(app)
gaps.add_to(app)
audit.add_to(app)
export.add_to(app)
chart.add_to(app)
quarantine.add_to(app)
explain.add_to(app)
replay.add_to(app)
database.add_to(app)
accept_old_spellings(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"collector {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    _prepare_streams()
    return settle(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        app(args=None if arguments is None else list(arguments), prog_name="collector")
    except ConfigError as error:
        show_faults(error)
        return 1 if error.may_pass else 2
    except CollectorError as error:
        show_failure(error)
        return 1
    except SystemExit as end:  # typer's way to end: a wrong option, --help, a status of our own
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        # Nothing but the output is written without a name.
        say(f"error: the output cannot be written: {error.strerror}", stderr=True)
        return 1
    return 0


def _prepare_streams() -> None:
    """Let no text fail for a sign that the terminal's encoding lacks, and no file take the place of a closed stream."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
