"""`collector reload`: the running daemon reads its configuration again."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import typer

from collector.cli.output.screen import Screen
from collector.cli.shared import ConfigFile, read_config
from collector.errors import CollectorError

if TYPE_CHECKING:
    from collector.config import Config

EXAMPLES = """
Examples:

    collector reload

    collector check --offline && collector reload

    systemctl reload collector
"""

# How long the daemon may take to apply new settings before the command gives up waiting.
RESULT_TIMEOUT_SECONDS = 20.0


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(reload)


def reload(config: ConfigFile = None) -> None:
    """Have the running daemon read its configuration again, and print the result.

    Symbols, streams and venues that were added or removed are applied without interrupting the others. A configuration
    with a fault is refused as a whole: every fault is listed, the exit status is 2, and the daemon continues as before.
    """
    settings = read_config(config, log=False)  # its own faults are told at once, as for every command
    before = _status(settings)
    if not before["process"] or not before["configuration"]:
        raise CollectorError("the daemon's state is unknown: see its log, and send SIGHUP to its process")
    pid = before["process"]["pid"]
    try:
        os.kill(pid, signal.SIGHUP)
    except PermissionError as error:
        raise CollectorError(
            f"the daemon (process {pid}) belongs to another user: run this command as that user"
        ) from error
    after = _outcome(settings, before["configuration"]["tried"])
    console = Screen()
    if after["refused"]:
        for fault in after["refused"]:
            console.print(f"refused: {fault}", soft_wrap=True)
        raise typer.Exit(2)
    console.print(f"applied: {after['origin']}", soft_wrap=True)
    if after["needs_restart"]:
        console.print(f"only a restart applies: {', '.join(after['needs_restart'])}", soft_wrap=True)


def _outcome(settings: Config, tried_before: str | None) -> dict[str, Any]:
    end = time.monotonic() + RESULT_TIMEOUT_SECONDS
    while time.monotonic() < end:
        time.sleep(0.2)
        told: dict[str, Any] | None = _status(settings)["configuration"]
        if told is None:
            continue
        done = told["refused"] or (told["tried"] is not None and told["loaded"] >= told["tried"])
        if told["tried"] != tried_before and done:
            return told
    raise CollectorError(f"the daemon has not reported a result within {RESULT_TIMEOUT_SECONDS:.0f} s; see its log")


def _status(settings: Config) -> dict[str, Any]:
    from collector.cli.status import ask

    answer: dict[str, Any] = json.loads(ask(settings))
    return answer
