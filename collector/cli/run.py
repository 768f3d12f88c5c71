"""`collector run`: the daemon."""

from __future__ import annotations

import faulthandler

import typer

from collector.cli.shared import ConfigFile, read_config
from collector.errors import ConfigError, Fault

EXAMPLES = """
Examples:

    collector run

    collector run --config /etc/collector/collector.toml

    COLLECTOR_LOG__FORMAT=json COLLECTOR_VENUES__FMFW__SYMBOLS=BTCUSDT,ETHUSDT collector run
"""


def add_to(app: typer.Typer) -> None:
    app.command("run", epilog=EXAMPLES)(run)


def run(config: ConfigFile = None) -> None:
    """Record until SIGTERM or Ctrl-C, then write what is left and end within ten seconds."""
    from collector.cli.running import run as run_coroutine
    from collector.service.daemon import run as run_daemon

    faulthandler.enable()  # whoever ends a daemon that stands still wants to know where
    settings = read_config(config)
    if not settings.venues:
        problem = f"none is configured ({settings.origin}), so there is nothing to record"
        raise ConfigError([Fault("venues", problem, "collector.example.toml is a configuration to start from")])
    run_coroutine(run_daemon(settings))
