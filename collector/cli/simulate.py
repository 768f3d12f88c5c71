"""`collector simulate`: the venues as local servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
Examples:

    collector simulate --rate 1000

    collector simulate --venues fmfw --seed 7 --write-config sim.toml &

    collector run --config sim.toml
"""


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(simulate)


def simulate(
    venues: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Names, separated by commas. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same market.")] = 1,
    rate: Annotated[float, typer.Option(min=0, help="Market events a second at each venue.")] = 50.0,
    symbols: Annotated[int | None, typer.Option(min=1, help="How many symbols each venue lists.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the first venue; 0 lets the system choose.")] = 0,
    write_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a configuration that points at the simulated venues.")
    ] = None,
) -> None:
    """Serve simulated venues until Ctrl-C. The first line on stdout is one JSON object with their addresses."""
    from collector import simulator
    from collector.cli.names import some_of
    from collector.simulator.__main__ import main

    if venues is not None:
        venues = ",".join(some_of("venue", venues, simulator.venue_names(), "--venues"))
    options: dict[str, object] = {
        "--venues": venues,
        "--seed": seed,
        "--rate": rate,
        "--symbols": symbols,
        "--host": host,
        "--port": port,
        "--write-config": write_config,
    }
    raise typer.Exit(main([f"{name}={value}" for name, value in options.items() if value is not None]))
