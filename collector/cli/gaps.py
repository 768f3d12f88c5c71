"""`collector gaps`: what was not recorded, why, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from collector.cli.output.screen import Screen
from collector.cli.parameters.vocabulary import Limit, Streams, Symbols, Venues
from collector.cli.shared import ConfigFile, Json, print_json, read_config
from collector.model import GapState

if TYPE_CHECKING:
    from datetime import datetime

    from collector.config import Config
    from collector.proof.known import Filter
    from collector.repair.listing import Listed

EXAMPLES = """
Examples:

    collector gaps

    collector gaps --venue fmfw --symbol 'BTC*' --stream trades --stream candles --state open

    collector gaps --all --json | jq '.gaps[] | select(.state == "unrecoverable")'
"""


class Found(NamedTuple):
    """Gaps, how many there are of each state, and whether anything that was asked for was ever to be recorded."""

    rows: list[Listed]
    summary: dict[str, int]
    recorded: bool


def add_to(app: typer.Typer) -> None:
    app.command("gaps", epilog=EXAMPLES)(gaps)


def gaps(
    venue: Venues = None,
    symbol: Symbols = None,
    stream: Streams = None,
    state: Annotated[str, typer.Option(metavar="STATE", help="open, repaired, unrecoverable or all.")] = "all",
    limit: Limit = 50,
    everything: Annotated[bool, typer.Option("--all", help="Show all of them, however many.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the times that were not recorded, newest first, with their causes and lengths.

    The exit status is 1 if nothing that matches was ever recorded, because then nothing can be missing.
    """
    from collector.cli.parameters.names import listed, one_of, usage
    from collector.cli.running import run
    from collector.proof.known import Filter

    one_of("state", state, (*GapState, "all"), "--state")
    asked = Filter(listed(venue, "--venue"), symbol or [], listed(stream, "--stream"))
    settings = read_config(config, log=not as_json)
    with usage(venue="--venue", symbol="--symbol", stream="--stream"):
        found = run(_ask(settings, asked, None if state == "all" else state, None if everything else limit))
    if as_json:
        rows = [one._asdict() for one in found.rows]
        print_json({"gaps": rows, "summary": found.summary, "recorded": found.recorded})
    else:
        _tell(found, settings)
    raise typer.Exit(0 if found.recorded else 1)


async def _ask(config: Config, asked: Filter, state: str | None, limit: int | None) -> Found:
    from collector.attach import attached
    from collector.proof.known import check_names, was_recorded
    from collector.repair.listing import listing

    async with attached(config) as dsn:
        await check_names(config, dsn, asked)
        rows, summary = await listing(dsn, *asked, state, limit=limit, max_age_days=config.repair.max_age_days)
        return Found(rows, summary, bool(rows) or await was_recorded(dsn, asked))


def _tell(found: Found, config: Config) -> None:
    from rich.table import Table

    console = Screen()
    rows, summary = found.rows, found.summary
    if not found.recorded:
        console.print("nothing of this was ever recorded, so nothing is known about gaps", style="bold red")
        return
    table = Table()
    for name in ("venue", "symbol", "stream", "from (UTC)", "to", "length", "cause", "state", "rows", "reason"):
        table.add_column(name, justify="right" if name in ("length", "rows") else "left")
    for one in rows:
        table.add_row(
            one.venue,
            one.symbol,
            one.stream,
            _time(one.from_time),
            _time(one.to_time),
            _length(one.seconds),
            one.cause,
            one.state,
            "-" if one.filled_rows is None else f"{one.filled_rows:,}",
            _why(one),
        )
    if rows:
        console.print(table)
    console.print(_summary(len(rows), summary), soft_wrap=True)
    if summary["too_old"]:
        age = config.repair.max_age_days
        console.print(
            f"{summary['too_old']:,} open gaps are older than repair.max_age_days ({age:g}); "
            "`collector backfill VENUE SYMBOL.. --from ..` closes those that it covers",
            soft_wrap=True,
        )


def _summary(shown: int, summary: dict[str, int]) -> str:
    total = summary["total"]
    told = "no gaps" if not total else f"{total:,} gap{'s' if total > 1 else ''}"
    parts = [f"{summary[name]:,} {name}" for name in (*GapState, "lasting") if summary[name]]
    return told + (f": {', '.join(parts)}" if parts else "") + (f"; shown: {shown:,}" if shown < total else "")


def _time(time: datetime | None) -> str:
    return "now" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def _length(seconds: float) -> str:
    from datetime import timedelta

    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _why(one: Any) -> str:
    tried = f"tried {one.tries} times: {one.trouble}" if one.trouble else ""
    return "; ".join(filter(None, (one.reason, tried))) or "-"
