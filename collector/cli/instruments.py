"""`collector instruments`: what the configured venues have, and what of it would be recorded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.output.screen import Screen
from collector.cli.parameters.vocabulary import Symbols, Venues
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from collector.config import Config
    from collector.feed.discovery import Listed

EXAMPLES = """
Examples:

    collector instruments

    collector instruments --venue fmfw --symbol 'BTC*'

    collector instruments --recorded --json
"""


# The width of a line where no terminal tells one.
PIPED_WIDTH_CHARACTERS = 200


def add_to(app: typer.Typer) -> None:
    app.command("instruments", epilog=EXAMPLES)(instruments)


def instruments(
    venue: Venues = None,
    symbol: Symbols = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="Only what the configuration asks for.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the venues' instruments as they are now. The column "streams" says what would be recorded of each."""
    from collector.cli.parameters.names import listed, usage
    from collector.cli.running import run
    from collector.names import known_name

    settings = read_config(config)
    venues = listed(venue, "--venue")
    with usage(venue="--venue", symbol="--symbol"):
        for name in venues:
            known_name("venue", name, settings.venues, where="in the configuration")
        every = run(_ask(settings, venues or list(settings.venues)))
        symbols = [one.symbol for one in every]
        chosen = {name for pattern in symbol or ["*"] for name in _matching(pattern, symbols)}
    shown = [one for one in every if one.symbol in chosen and (one.streams or not recorded)]
    if as_json:
        print_json([one._asdict() for one in shown])
    else:
        _tell(shown)


def _matching(pattern: str, symbols: list[str]) -> list[str]:
    from collector.names import matching

    return symbols if pattern == "*" else matching("symbol", pattern, symbols)


async def _ask(settings: Config, venues: list[str]) -> list[Listed]:
    from collector.feed.discovery import catalogue

    found: list[Listed] = []
    for name, configured in settings.venues.items():
        if name in venues:
            found += await catalogue(configured.begin())
    return found


def _tell(listed: list[Listed]) -> None:
    from rich.table import Table

    table = Table(caption=f"{len(listed):,} instruments", caption_justify="left")
    for name in ("venue", "symbol", "kind", "base", "quote", "price step", "size step", "status", "streams"):
        table.add_column(name, no_wrap=name in ("venue", "symbol"), overflow="fold")
    for one in listed:
        table.add_row(
            one.venue,
            one.symbol,
            one.kind,
            one.base or "-",
            one.quote or "-",
            one.price_step or "-",
            one.size_step or "-",
            one.status,
            ", ".join(one.streams) or "-",
        )
    console = Screen()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH_CHARACTERS
    console.print(table)
