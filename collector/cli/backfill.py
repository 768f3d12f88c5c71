"""`collector backfill`: a venue's past into the tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from collector.cli.output.screen import Screen, say
from collector.cli.parameters.times import MOMENT_EXAMPLES, microseconds, ordered
from collector.cli.parameters.vocabulary import Again, DryRun, Since, Streams, Until
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from rich.progress import Progress

    from collector.config import Config
    from collector.repair.chunks import Span
    from collector.repair.job import Estimate, Outcome
    from collector.repair.job import Progress as Reached

EXAMPLES = """
Examples:

    collector backfill fmfw BTCUSDT --from 2026-11-01

    collector backfill fmfw BTCUSDT --stream trades --stream candles --from '2h ago'

    collector backfill fmfw 'BTC*' ETHUSDT --stream candles --from 2026-01-01 --to 2026-07-01 --dry-run

    collector backfill fmfw BTCUSDT --from 2026-11-01T09:30 --to 2026-11-01T12:00+01:00
"""


def add_to(app: typer.Typer) -> None:
    app.command("backfill", epilog=EXAMPLES)(backfill)


class Wanted(NamedTuple):
    """What the command line asks for."""

    venue: str
    patterns: list[str]
    streams: list[str]
    span: Span
    again: bool
    dry: bool


def backfill(
    venue: Annotated[str, typer.Argument(metavar="VENUE", help="A venue of the configuration.")],
    symbols: Annotated[list[str], typer.Argument(metavar="SYMBOL..", help="Names or patterns, such as 'BTC*'.")],
    since: Since = None,
    until: Until = None,
    stream: Streams = None,
    again: Again = False,
    dry_run: DryRun = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Fetch a venue's past and store it. Rows that are stored already stay as they are.

    --from is needed; without --to, everything up to now is fetched. Only streams of which the venue keeps a history can
    be fetched. It is safe to run this beside the daemon, to stop it at any time and to start it again: it continues
    where it stopped. What an earlier backfill has fetched is not fetched again, except with --again. Gaps that lie
    within the fetched time are closed. With --dry-run it says how many requests that takes, and how long. The exit
    status is 1 if the venue refused a request for good.
    """
    from collector.cli.running import run
    from collector.cli.shared import quiet_progress

    settings = read_config(config)
    wanted = _understand(settings, venue, symbols, stream or [], (since, until), again=again, dry=dry_run)
    with quiet_progress(quiet=as_json or dry_run) as progress:
        estimates, outcome = run(_backfill(settings, wanted, progress))
    if as_json:
        told = [one._asdict() for one in estimates]
        print_json({"estimates": told, "outcome": outcome and outcome._asdict()})
    elif dry_run:
        _tell_estimates(estimates)
    elif outcome is None:
        say("an earlier backfill has fetched all of this; --again fetches it once more")
    else:
        _tell(outcome)
    raise typer.Exit(1 if outcome and outcome.refused else 0)


def _understand(
    config: Config,
    venue: str,
    patterns: list[str],
    streams: list[str],
    times: tuple[datetime | None, datetime | None],
    *,
    again: bool,
    dry: bool,
) -> Wanted:
    from collector import venues
    from collector.cli.parameters.names import some_of, usage
    from collector.names import known_name

    with usage(venue="VENUE"):
        known_name("venue", venue, config.venues, where="in the configuration")
    configured = config.venues[venue]
    adapter = venues.find(configured.adapter)
    possible = sorted(adapter.historic | adapter.partly_historic)
    recorded: tuple[str, ...] = getattr(configured.settings, "streams", ())
    where = f"whose past {venue} keeps"
    chosen = some_of("stream", streams, possible, "--stream", where=where)
    chosen = chosen or [name for name in sorted(adapter.historic) if name in recorded] or sorted(adapter.historic)
    if not chosen:
        raise typer.BadParameter(f"{venue} keeps no past of anything", param_hint="VENUE")
    since, until = ordered(*times)
    if since is None:
        raise typer.BadParameter(f"is missing; write a time such as {MOMENT_EXAMPLES}", param_hint="--from")
    now = datetime.now(UTC)
    last = now if until is None else min(until, now)
    return Wanted(venue, patterns, chosen, (microseconds(since), microseconds(last)), again, dry)


async def _backfill(config: Config, wanted: Wanted, bar: Progress) -> tuple[list[Estimate], Outcome | None]:
    from random import Random

    from collector.attach import attached
    from collector.clock import SystemClock
    from collector.feed.network import AiohttpNetwork
    from collector.repair.job import Job

    configured = config.venues[wanted.venue]
    async with (
        attached(config) as dsn,
        AiohttpNetwork.open() as network,
        Job(
            configured.begin(),
            rate_share=config.repair.rate_share,
            dsn=dsn,
            network=network,
            clock=SystemClock(),
            random=Random(),  # noqa: S311  for jitter only
        ) as job,
    ):
        symbols = matching(wanted.patterns, await job.listed())
        estimates = await job.plan(symbols, wanted.streams, wanted.span, again=wanted.again)
        if wanted.dry or not job.left:
            return estimates, None
        task = bar.add_task("backfilling", total=len(job.left))

        def show(now: Reached) -> None:
            pace = f"{now.rows:,} rows, {now.rows / max(now.seconds, 0.1):,.0f}/s"
            bar.update(task, completed=now.pieces, description=f"waiting: {now.trouble}" if now.trouble else pace)

        return estimates, await job.run(config.data_dir / "backfill", show)


def matching(patterns: list[str], symbols: list[str]) -> list[str]:
    """Return the symbols that the patterns mean, in the venue's order. Every pattern has to mean one."""
    from collector import names
    from collector.cli.parameters.names import usage

    meant: set[str] = set()
    with usage(symbol="SYMBOL.."):
        for pattern in patterns:
            meant.update(names.matching("symbol", pattern, symbols, where="at the venue"))
    return [symbol for symbol in symbols if symbol in meant]


def _tell_estimates(estimates: list[Estimate]) -> None:
    from rich.table import Table

    calls = sum(one.calls for one in estimates)
    seconds = sum(one.seconds for one in estimates)
    table = Table(caption=f"{calls:,} requests or more, {duration(seconds)} or more", caption_justify="left")
    table.add_column("symbol")
    table.add_column("stream")
    for name in ("pieces", "left", "requests", "time"):
        table.add_column(name, justify="right")
    for one in estimates:
        table.add_row(
            one.symbol, one.stream, f"{one.pieces:,}", f"{one.left:,}", f"{one.calls:,}", duration(one.seconds)
        )
    Screen().print(table)


def duration(seconds: float) -> str:
    """Write a length of time for people."""
    from datetime import timedelta

    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _tell(outcome: Outcome) -> None:
    from rich.table import Table

    console = Screen()
    table = Table(title=f"{outcome.answers:,} answers, {outcome.gaps:,} gaps closed", title_justify="left")
    table.add_column("table")
    for name in ("items", "stored", "there already", "quarantined"):
        table.add_column(name, justify="right")
    for name, counts in sorted(outcome.tables.items()):
        table.add_row(name, *(f"{number:,}" for number in counts.values()))
    console.print(table)
    for what, reason in outcome.refused.items():
        console.print(f"refused: {what}: {reason}", style="red", soft_wrap=True)
    console.print(f"answers as received: {outcome.journal}", style="dim", soft_wrap=True)
