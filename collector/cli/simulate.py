"""`collector simulate`: the venues as local servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from collector.cli.parameters.vocabulary import Rate, Seed, Venues

EXAMPLES = """
Examples:

    collector simulate --rate 1000

    collector simulate --venue fmfw --seed 7 --write-config sim.toml &

    collector run --config sim.toml
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(simulate)


def simulate(
    venue: Venues = None,
    seed: Seed = 1,
    rate: Rate = 50.0,
    symbol_count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many symbols each venue lists.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the first venue; 0 lets the system choose.")] = 0,
    write_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a configuration that connects to the simulated venues.")
    ] = None,
) -> None:
    """Serve simulated venues until Ctrl-C. The first line on stdout is a JSON object with their addresses."""
    from collector import simulator
    from collector.cli.parameters.names import some_of
    from collector.simulator.__main__ import main

    names = some_of("venue", venue or [], simulator.venue_names(), "--venue")
    options: dict[str, object] = {
        "--venues": ",".join(names) or None,
        "--seed": seed,
        "--rate": rate,
        "--symbols": symbol_count,
        "--host": host,
        "--port": port,
        "--write-config": write_config,
    }
    raise typer.Exit(main([f"{name}={value}" for name, value in options.items() if value is not None]))
