"""`collector demo`: everything at once, without an account."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.output.screen import Screen, styled
from collector.cli.parameters.times import duration_seconds
from collector.cli.parameters.vocabulary import Rate, Seed, Venues
from collector.cli.shared import Json

if TYPE_CHECKING:
    from collector.demo.compare import Verdict

EXAMPLES = """
Examples:

    collector demo

    collector demo --duration 20 --rate 500

    collector demo --data-dir ./demo-data    keeps the database to look around in
"""


def add_to(app: typer.Typer) -> None:
    app.command("demo", epilog=EXAMPLES)(demo)


def demo(
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="LENGTH", parser=duration_seconds, help="Stop after this time: 20 (seconds), 90s, 5m, 2h."
        ),
    ] = None,
    rate: Rate = 100.0,
    seed: Seed = 1,
    venue: Venues = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep journal and database here. (default: a folder that is deleted at the end)"
        ),
    ] = None,
    listen: Annotated[str, typer.Option(help="Address of the status page; port 0 takes a free one.")] = "127.0.0.1:0",
    as_json: Json = False,
) -> None:
    """Record simulated venues into its own database, show it live, and prove at the end that nothing was lost.

    At the end every table is compared with what the simulated venues have sent. The exit status is 1 if they differ.
    """
    from collector import simulator
    from collector.cli.parameters.names import some_of
    from collector.cli.running import run
    from collector.cli.shared import print_json
    from collector.demo.demo import demo as run_demo
    from collector.logs import configure

    if duration is not None and duration < 1:
        raise typer.BadParameter("is less than a second", param_hint="--duration")
    venues = ",".join(some_of("venue", venue or [], simulator.venue_names(), "--venue")) or None
    configure("warning", "auto")
    console = Screen(stderr=as_json)
    verdicts = run(
        run_demo(
            duration_seconds=duration,
            rate=rate,
            seed=seed,
            venues=venues,
            data_dir=data_dir,
            listen=listen,
            console=console,
        )
    )
    equal = bool(verdicts) and all(verdict.equal for verdict in verdicts)
    if as_json:
        print_json({"equal": equal, "tables": [verdict._asdict() for verdict in verdicts]})
    else:
        _tell(console, verdicts, equal)
        if data_dir is not None:
            tell_the_way(console, data_dir)
    raise typer.Exit(0 if equal else 1)


def tell_the_way(console: Screen, folder: Path) -> None:
    """Say how to look at what is kept; every command finds it from inside the folder."""
    lines = (
        f"To look around: cd {shlex.quote(str(folder))}",
        "  collector chart fmfw BTCUSDT      a picture (this and the next need `make setup-analysts`, once)",
        '  Market(".")                       in Python, after `from collector.data import Market`',
        "  collector database start          keeps the database up and says how to open it in psql",
    )
    for line in lines:
        console.print(line, soft_wrap=True)


def _tell(console: Screen, verdicts: list[Verdict], equal: bool) -> None:
    from rich.table import Table

    table = Table(title="Sent by the venues and held by the tables", title_justify="left")
    for name in ("venue", "table"):
        table.add_column(name)
    for name in ("sent", "stored", "missing", "not sent"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for one in verdicts:
        table.add_row(
            one.venue,
            one.table,
            *(f"{n:,}" for n in (one.sent, one.stored, one.missing, one.surplus)),
            styled("equal", "green") if one.equal else styled("different", "bold red"),
        )
    console.print(table)
    for one in verdicts:
        for example in one.examples:
            console.print(f"  {one.venue} {one.table} {example}", soft_wrap=True)
    if equal:
        console.print(styled("Nothing lost, nothing twice:", "bold green"), "every table equals what was sent.")
    else:
        console.print("The tables differ from what was sent.", style="bold red")
