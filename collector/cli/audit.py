"""`collector audit`: does what is stored agree with what the venues say elsewhere?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.output.screen import Screen, styled
from collector.cli.parameters.times import ordered
from collector.cli.parameters.vocabulary import Again, Since, Symbols, Until, Venues
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from rich.progress import Progress

    from collector.audit.request import Choice, Report, Step
    from collector.config import Config

EXAMPLES = """
Examples:

    collector audit

    collector audit --venue fmfw --symbol 'BTC*' --from 2026-11-01 --to 2026-11-08

    collector audit --from '2h ago' --only minutes

    collector audit --only journal --again

    collector audit --json | jq '.examples'
"""

DEFAULT_HOURS = 24


def add_to(app: typer.Typer) -> None:
    app.command("audit", epilog=EXAMPLES)(audit)


def audit(
    venue: Venues = None,
    symbol: Symbols = None,
    since: Since = None,
    until: Until = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Only minutes, books or journal; may be repeated. (default: all three)"),
    ] = None,
    again: Again = False,
    no_fetch: Annotated[
        bool, typer.Option("--no-fetch", help="Leave out minutes whose candles would have to be fetched.")
    ] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Prove what is stored: trades against candles, order books against snapshots, the journal against its counts.

    The last 24 hours are audited unless --from and --to say otherwise. Where trades are recorded without one-minute
    candles, the candles are fetched first. The results are written to the tables audits, book_audits and
    segment_audits. Journal segments that an earlier audit has read are not read again, except with --again. It is safe
    to run this beside the daemon. Nothing is repaired: the daemon does that. The exit status is 1 if something is not
    explained, or if nothing was compared.
    """
    from collector.cli.parameters.names import usage
    from collector.cli.running import run
    from collector.cli.shared import quiet_progress

    choice = _understand(venue, symbol, (since, until), only or [], again=again)._replace(fetch=not no_fetch)
    settings = read_config(config, log=not as_json)
    with quiet_progress(quiet=as_json) as progress, usage(venue="--venue", symbol="--symbol"):
        report = run(_audit(settings, choice, progress))
    if as_json:
        print_json({"from": choice.since.isoformat(), "to": choice.until.isoformat(), **report.as_json()})
    else:
        _tell(report)
    raise typer.Exit(0 if report.proved else 1)


def _understand(
    venue: list[str] | None,
    symbol: list[str] | None,
    times: tuple[datetime | None, datetime | None],
    only: list[str],
    *,
    again: bool,
) -> Choice:
    from collector.audit.request import PARTS, Choice
    from collector.cli.parameters.names import listed, some_of

    parts = some_of("part", only, PARTS, "--only") or list(PARTS)
    now = datetime.now(UTC)
    since, until = ordered(*times)
    last = now if until is None else min(now, until)
    first = last - timedelta(hours=DEFAULT_HOURS) if since is None else since
    return Choice(listed(venue, "--venue"), symbol or [], first, last, parts, again, only=bool(only))


async def _audit(config: Config, choice: Choice, bar: Progress) -> Report:
    from collector.attach import attached
    from collector.audit.request import audit

    tasks = {part: bar.add_task(f"auditing {part}", total=None) for part in choice.parts}

    def show(step: Step) -> None:
        if step.part not in tasks:
            tasks[step.part] = bar.add_task(f"fetching {step.part}", total=None)
        bar.update(tasks[step.part], completed=step.done, total=step.total)

    async with attached(config) as dsn:
        return await audit(config, dsn, choice, show)


def _tell(report: Report) -> None:
    console = Screen()
    choice = report.choice
    if "minutes" in choice.parts:
        _tell_minutes(console, report)
    if "books" in choice.parts:
        _tell_books(console, report)
    if "journal" in choice.parts:
        _tell_journal(console, report)
    _tell_unjudged(console, report)
    looked = _looked_at(report)
    if report.missed:
        names = " nor ".join(report.missed)
        span = f"{choice.since:%Y-%m-%d %H:%M} to {choice.until:%Y-%m-%d %H:%M} UTC"
        named = ", ".join(choice.venues) or "any venue", ", ".join(choice.symbols) or "*"
        whose = f" of {' '.join(named)}" if choice.narrowed else ""
        told = f"there was nothing to compare for {names}{whose} from {span}, so nothing is proved; compared: {looked}"
    elif report.unexplained:
        told = f"some differences are not explained; compared: {looked}"
    elif report.fetch_failed:
        told = f"some minutes could not be compared because candles are missing; everything else is explained: {looked}"
    else:
        told = f"everything is explained: {looked}"
    console.print(told, style="green" if report.proved else "bold red", soft_wrap=True)


def _looked_at(report: Report) -> str:
    """Return how much was compared."""
    units = {"minutes": "minutes", "books": "books", "journal": "segments of the journal"}
    parts = [f"{count:,} {units[part]}" for part, count in report.looked_at.items()]
    instruments = sum(one.compared > 0 for one in report.minutes)
    if "minutes" in report.choice.parts:
        parts[0] += f" of {instruments:,} instruments"
    return ", ".join(parts)


def _tell_minutes(console: Screen, report: Report) -> None:
    from rich.table import Table

    if not report.minutes:
        console.print("no trades or candles were recorded that could be audited")
        return
    table = Table(title="Minutes: trades against candles", title_justify="left")
    table.add_column("venue")
    table.add_column("symbol")
    for name in ("complete", "explained", "unexplained", "not comparable", "waiting"):
        table.add_column(name, justify="right")
    table.add_column("not auditable")
    for one in report.minutes:
        numbers = [styled(f"{number:,}") for number in one[2:7]]
        if one.unexplained:
            numbers[2].stylize("bold red")
        table.add_row(one.venue, one.symbol, *(numbers if any(one[2:7]) else ("-",) * 5), one.reason)
    console.print(table)
    for row in report.examples:
        candle = "there is no candle" if row["candle_volume"] is None else f"the candle says {row['candle_volume']:f}"
        console.print(
            f"  {row['venue']} {row['symbol']} {row['time']:%Y-%m-%d %H:%M}: {row['volume'] or 0:f} in "
            f"{row['trades']} trades is stored, {candle} ({row['differs']})",
            style="red",
            soft_wrap=True,
        )


def _tell_books(console: Screen, report: Report) -> None:
    from rich.table import Table

    if not report.books:
        console.print("no books are stored in this time")
        return
    table = Table(title="Books: rebuilt against snapshots", title_justify="left")
    for name in ("venue", "symbol", "verdict"):
        table.add_column(name)
    for name in ("rows", "snapshots", "compared", "diverged", "breaks", "explained"):
        table.add_column(name, justify="right")
    table.add_column("first")
    for venue, symbol, one in report.books:
        verdict = styled(one.verdict, "bold red" if one.verdict == "unexplained" else "")
        table.add_row(venue, symbol, verdict, *(f"{number:,}" for number in one[1:7]), one.first or "")
    console.print(table)


def _tell_unjudged(console: Screen, report: Report) -> None:
    from collector.audit.unjudged import grouped

    for one in grouped(report.unjudged):
        count = len(one.symbols)
        whose = one.symbols[0] if count == 1 else f"{count:,} instruments"
        console.print(f"not judged: {one.stream} of {one.venue} {whose}: {one.reason}", soft_wrap=True)


def _tell_journal(console: Screen, report: Report) -> None:
    complete = sum(one.verdict == "complete" for one in report.journal)
    known = sum(not one.read for one in report.journal)
    items = sum(one.items for one in report.journal)
    console.print(
        f"Journal: {complete:,} of {len(report.journal):,} segments complete, {known:,} of all known by their hash, "
        f"{items:,} items",
        soft_wrap=True,
    )
    for one in report.journal:
        if one.faults:
            console.print(
                f"  segment {one.segment}, {one.verdict}: {one.faults}",
                style="red" if one.verdict == "unexplained" else "",
                soft_wrap=True,
            )
