"""`collector plan`: what a day of recording takes, and how long the disk lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.output.screen import Screen, styled
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from collector.plan import Flow, Plan

EXAMPLES = """
Examples:

    collector plan

    collector plan --all --config new.toml      # before anything of it was recorded

    collector plan --json | jq .days_until_full
"""

# The largest instruments are shown; `--all` shows the rest.
INSTRUMENTS_SHOWN_MAX = 20


def add_to(app: typer.Typer) -> None:
    app.command("plan", epilog=EXAMPLES)(plan)


def plan(
    everything: Annotated[bool, typer.Option("--all", help="Show all of them, however many.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Estimate rows and bytes a day for each instrument and stream, and how many days the disk will last.

    The estimate comes from what was recorded. For streams that were never recorded it uses the assumptions that
    docs/plan.md lists.
    """
    from collector.cli.running import run
    from collector.plan import plan as make

    settings = read_config(config)
    made = run(make(settings))
    if as_json:
        print_json(made._asdict() | {"flows": [one._asdict() for one in made.flows]})
    else:
        _tell(made, Screen(), None if everything else INSTRUMENTS_SHOWN_MAX)


def _tell(made: Plan, console: Screen, limit: int | None) -> None:
    from rich.table import Table

    from collector.cli.status import size

    def line(name: str, value: str) -> None:
        console.print(styled(f"{name:<22}", "dim"), styled(value), sep="", soft_wrap=True)

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("venue", "symbol", "stream", "rows a day", "in tables", "in the journal", "known from"):
        table.add_column(column, justify="right" if column[0] == "r" or column.startswith("in ") else "left")
    flows = sorted(made.flows, key=lambda one: -(one.table_bytes + one.journal_bytes))
    for one in flows[:limit]:
        table.add_row(*_cells(one))
    if limit is not None and len(flows) > limit:
        rest = flows[limit:]
        sums = (sum(one.table_bytes for one in rest), sum(one.journal_bytes for one in rest))
        table.add_row(f"and {len(rest):,} more", "", "", f"{sum(one.rows for one in rest):,.0f}", *map(size, sums))
    console.print(table)
    console.print()
    line("tables", f"{size(made.table_bytes_a_day)} a day, indexes included, before any compression")
    line(
        "journal",
        f"{size(made.journal_bytes_a_day)} a day ({made.journal_source})"
        + (", kept for ever" if made.journal_most_bytes is None else f", grows to {size(made.journal_most_bytes)}"),
    )
    line("room for the journal", size(made.journal_free_bytes))
    line("database may be away", _days(made.outage_days))
    disk = {
        True: "on the journal's disk",
        False: "on a disk of its own",
        None: "on a disk that cannot be seen from here",
    }
    line("database", disk[made.database_on_this_disk])
    line("full in", _days(made.days_until_full))
    for note in made.notes:
        console.print(styled(note, "yellow"), soft_wrap=True)


def _cells(one: Flow) -> list[str]:
    from collector.cli.status import size

    return [
        one.venue,
        one.symbol,
        one.stream,
        f"{one.rows:,.0f}",
        size(one.table_bytes),
        size(one.journal_bytes),
        one.source,
    ]


def _days(days: float | None) -> str:
    if days is None:
        return "not known"
    if days > 3650:
        return "more than ten years"
    return f"{days:,.0f} days" if days >= 10 else f"{days:.1f} days"
