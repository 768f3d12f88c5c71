"""`collector run`: the daemon."""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from collector.cli.shared import ConfigFile, read_config
from collector.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collector.config import Config

EXAMPLES = """
Examples:

    collector run

    collector run --config /etc/collector/collector.toml

    COLLECTOR_LOG__FORMAT=json COLLECTOR_VENUES__FMFW__SYMBOLS=BTCUSDT,ETHUSDT collector run
"""


def add_to(app: typer.Typer) -> None:
    app.command("run", epilog=EXAMPLES)(run)


def run(config: ConfigFile = None) -> None:
    """Record until SIGTERM or Ctrl-C; then write what is left and stop within ten seconds.

    On SIGHUP, or `collector reload`, it reads the configuration again and applies changes of venues.
    """
    from collector.cli.running import run as run_coroutine
    from collector.daemon.daemon import run as run_daemon
    from collector.logs import sink

    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # whoever ends a daemon that stands still wants to know where
    # Warnings, tracebacks and the last error go the log's way, too: none of them may hold the daemon up.
    sys.stderr = sink.of(sys.stderr)
    run_coroutine(run_daemon(_read(config), reread=lambda: _read(config)))


def _read(path: Path | None) -> Config:
    settings = read_config(path)
    if not settings.venues:
        problem = f"none is configured ({settings.origin}), so there is nothing to record"
        raise ConfigError([Fault("venues", problem, "copy collector.example.toml to start with")])
    return settings
