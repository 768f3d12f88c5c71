"""`collector migrate`: bring the tables up to date."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.screen import say
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from collector.config import Config

EXAMPLES = """
Examples:

    collector migrate

    collector migrate --pending --json --config /etc/collector/collector.toml
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(migrate)


def migrate(
    config: ConfigFile = None,
    pending: Annotated[bool, typer.Option("--pending", help="Only tell what would be applied.")] = False,
    json: Json = False,
) -> None:
    """Bring the database's tables up to date. Forward only; safe to run twice, or from two places at once."""
    steps = asyncio.run(_migrate(read_config(config), only_tell=pending, quiet=json))
    if json:
        print_json({"pending" if pending else "applied": steps})
    elif pending:
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
