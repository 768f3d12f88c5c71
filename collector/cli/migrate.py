"""`collector migrate`: bring the tables up to date."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import typer

from collector.cli.output.screen import say
from collector.cli.parameters.vocabulary import DryRun
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from collector.config import Config

EXAMPLES = """
Examples:

    collector migrate

    collector migrate --dry-run --json --config /etc/collector/collector.toml
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(migrate)


def migrate(
    config: ConfigFile = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Bring the database's tables up to date. It is safe to run this twice, or from two places at once.

    Tables are never taken back to an older version.
    """
    steps = asyncio.run(_migrate(read_config(config), only_tell=dry_run, quiet=json))
    if json:
        print_json({"pending" if dry_run else "applied": steps})
    elif dry_run:
        for line in steps or ["up to date"]:
            say(line)
    elif not steps:
        say("up to date already")


async def _migrate(config: Config, *, only_tell: bool, quiet: bool) -> list[str]:
    from collector.store import migrate as tables
    from collector.store.embedded import EmbeddedServer

    async with AsyncExitStack() as stack:
        if config.database.dsn is None:
            dsn = await stack.enter_async_context(EmbeddedServer(config.data_dir).running())
        else:
            dsn = config.database.dsn.get_secret_value()
        if only_tell:
            return await tables.pending(dsn)
        return await tables.migrate(dsn, progress=(lambda _line: None) if quiet else say)
