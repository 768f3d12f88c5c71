"""`collector database`: the server that is used where none is configured."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.output.screen import say
from collector.cli.shared import ConfigFile, Json, print_json, read_config, wait_for_signal
from collector.errors import CollectorError

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = """
Examples:

    collector database install

    collector database start

    eval "$(collector database psql)"
"""

commands = typer.Typer(
    help="Install, start or open the embedded database server, which is used if database.dsn is not set.",
    no_args_is_help=True,
    epilog=EXAMPLES,
)


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="database")


@commands.command(epilog="Example:\n\n    collector database install --all")
def install(
    everything: Annotated[
        bool, typer.Option("--all", help="Install a plain PostgreSQL as well, which the tests need.")
    ] = False,
) -> None:
    """Download PostgreSQL, with TimescaleDB where it is available. Only its own folder is written to."""
    from collector.store.embedded.__main__ import main

    raise typer.Exit(main(["install", "--all"] if everything else ["install"]))


@commands.command(epilog="Example:\n\n    collector database start --config collector.toml")
def start(config: ConfigFile = None) -> None:
    """Run the embedded server until Ctrl-C, to read what was recorded while no daemon is running."""
    _refuse_configured(config)
    settings = read_config(config)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(settings.data_dir))


@commands.command(epilog='Example:\n\n    eval "$(collector database psql)"')
def psql(config: ConfigFile = None, json: Json = False) -> None:
    """Print the shell command that opens the database in psql, with read-only rights."""
    from collector.store.dsn import address
    from collector.store.embedded import EmbeddedServer

    settings = read_config(config)
    if settings.database.dsn is not None:
        place = f"postgresql://{address(settings.database.dsn.get_secret_value())}"
        print_json({"command": f"psql {place}"}) if json else say(f"psql {place}")
        return
    hint = EmbeddedServer(settings.data_dir).describe()
    if hint is None:
        raise CollectorError(f"there is no database in {settings.data_dir} yet: `collector run` creates one")
    print_json({**hint._asdict(), "command": hint.command}) if json else say(hint.command)


def _refuse_configured(config: Path | None) -> None:
    if read_config(config, log=False).database.dsn is not None:
        raise CollectorError("database.dsn is set, so there is no embedded server to start")


async def _serve(data_dir: Path) -> None:
    from collector.store.embedded import EmbeddedServer

    server = EmbeddedServer(data_dir)
    async with server.running(), asyncio.TaskGroup() as group:
        keeping = group.create_task(server.keep(), name="database server")
        if hint := server.describe():
            say(hint.command)
        await wait_for_signal()
        keeping.cancel()
