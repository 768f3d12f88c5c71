"""`collector replay`: rows from the journal once more, or what they would be."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from collector.cli.output.screen import Screen
from collector.cli.parameters.times import microseconds, moment
from collector.cli.parameters.vocabulary import Venues
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import Progress

    from collector.config import Config
    from collector.journal import Position
    from collector.proof.difference import Compared
    from collector.proof.replay import Replayed

EXAMPLES = """
Examples:

    collector replay

    collector replay --from 1795227594 --to 1795227597:123456

    collector replay --into postgresql://me@localhost/rebuilt --backfills

    collector replay --diff --from 2026-11-21T09:00 --venue fmfw --table trades --table candles
"""


def add_to(app: typer.Typer) -> None:
    app.command("replay", epilog=EXAMPLES)(replay)


class Place(NamedTuple):
    """A place in the journal: the first entry that was received at a time or later, or else a segment and an offset."""

    received: datetime | None = None
    segment: int = 0
    offset: int = 0


class Wanted(NamedTuple):
    """What the command line asks for."""

    start: Position | None
    end: Position | None
    into: str | None
    backfills: list[Path]
    venues: list[str] | None


def replay(
    start: Annotated[
        Place | None,
        typer.Option("--from", metavar="TIME", parser=place, help="From this time of receipt on, or SEGMENT[:OFFSET]."),
    ] = None,
    end: Annotated[
        Place | None,
        typer.Option("--to", metavar="TIME", parser=place, help="Up to this time of receipt, or SEGMENT[:OFFSET]."),
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="DSN", help="Write to this database. (default: the configured one)")
    ] = None,
    venue: Venues = None,
    backfills: Annotated[
        bool, typer.Option("--backfills", help="Read the journals of backfills as well; they are separate.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Write nothing: compare the rows that the journal gives with the tables.")
    ] = False,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --diff: only this table; may be repeated. (default: all)"),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, metavar="N", help="With --diff: how many rows of each table and kind are shown.")
    ] = 5,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Parse the journal again and write its rows. Rows that are stored already stay as they are.

    The whole journal is read unless --from and --to say otherwise. It is safe to run this beside the daemon, as often
    as you like. A place in the journal can be given as a segment's number and an offset in it, as the quarantine table,
    the table journal_position and the log have them. The exit status is 1 if a part of the journal could not be read,
    if there was nothing to read, and with --diff if a table differs from the journal, or if nothing was compared.
    """
    from collector.cli.parameters.names import listed, some_of, usage
    from collector.cli.running import run
    from collector.cli.shared import quiet_progress
    from collector.tables import NAMES as TABLES

    chosen = some_of("table", table or [], TABLES, "--table")
    if chosen and not diff:
        problem = "works with --diff only: a replay writes all the rows that a frame gives"
        raise typer.BadParameter(problem, param_hint="--table")
    settings = read_config(config, log=not (diff and as_json))
    wanted = _understand(settings, (start, end), into, listed(venue, "--venue"), backfills=backfills)
    if diff:
        from collector.cli.output.difference import as_object, tell

        with quiet_progress(quiet=as_json) as progress, usage(venue="--venue"):
            compared = run(_compare(settings, wanted, chosen, examples, progress))
        if as_json:
            print_json(as_object(compared))
        else:
            tell(compared, _left_out(settings, wanted))
        raise typer.Exit(0 if compared.proved and not compared.replayed.damages else 1)
    with quiet_progress(quiet=as_json) as progress, usage(venue="--venue"):
        done = run(_replay(settings, wanted, progress))
    if as_json:
        print_json(
            {
                "frames": done.frames,
                "bytes": done.bytes,
                "damages": done.damages,
                "tables": {name: count._asdict() for name, count in done.tables.items()},
            }
        )
    else:
        _tell(done)
    raise typer.Exit(0 if not done.nothing and not done.damages else 1)


def _understand(
    config: Config, places: tuple[Place | None, Place | None], into: str | None, venues: list[str], *, backfills: bool
) -> Wanted:
    from collector.proof.frames import journals

    directory = config.data_dir / "journal"
    first, last = (_position(directory, *one) for one in zip(("--from", "--to"), places, strict=True))
    if first is not None and last is not None and first >= last:
        raise typer.BadParameter("is not after --from", param_hint="--to")
    others = [path for path in journals(config.data_dir) if path != directory] if backfills else []
    return Wanted(first, last, into, others, venues or None)


def _left_out(config: Config, wanted: Wanted) -> int:
    """Return how many journals of backfills were not read."""
    from collector.proof.frames import journals

    return len([path for path in journals(config.data_dir) if path.name != "journal"]) - len(wanted.backfills)


def _segments(config: Config, wanted: Wanted) -> list[int]:
    from collector.journal.segments import numbers

    directory = config.data_dir / "journal"
    return [
        number
        for number in (numbers(directory) if directory.exists() else [])
        if (wanted.start is None or number >= wanted.start.segment)
        and (wanted.end is None or number <= wanted.end.segment)
    ]


class _Bar:
    """The progress of a replay, segment by segment."""

    def __init__(self, progress: Progress, segments: list[int]) -> None:
        self._progress = progress
        self._segments = segments
        self._task = progress.add_task("replaying", total=len(segments))

    def show(self, done: Replayed) -> None:
        at = done.segment
        self._progress.update(
            self._task,
            completed=sum(number < at for number in self._segments),
            description=f"replaying segment {at}, {done.frames:,} frames",
        )

    def end(self) -> None:
        self._progress.update(self._task, completed=len(self._segments))


async def _replay(config: Config, wanted: Wanted, progress: Progress) -> Replayed:
    from collector.attach import attached
    from collector.proof.known import check_journalled
    from collector.proof.replay import replay
    from collector.store.writer import Writer

    bar = _Bar(progress, _segments(config, wanted))
    async with attached(config, into=wanted.into) as dsn:
        await check_journalled(config, dsn, wanted.venues or ())
        writer = Writer(lambda: dsn, None)
        try:
            done = await replay(
                config.data_dir / "journal",
                writer,
                start=wanted.start,
                end=wanted.end,
                backfills=wanted.backfills,
                only=wanted.venues,
                progress=bar.show,
            )
        finally:
            await writer.close()
    bar.end()
    return done


async def _compare(config: Config, wanted: Wanted, tables: list[str], examples: int, progress: Progress) -> Compared:
    from collector.attach import attached
    from collector.proof.difference import compare
    from collector.proof.known import check_journalled
    from collector.store.shadow import Shadow
    from collector.store.writer import Writer
    from collector.tables import NAMES as TABLES

    directory = config.data_dir / "journal"
    name = directory / "name"
    bar = _Bar(progress, _segments(config, wanted))
    async with attached(config, into=wanted.into) as dsn:
        await check_journalled(config, dsn, wanted.venues or ())
        committed = None
        if name.is_file():
            asking = Writer(lambda: dsn, name.read_text().strip())
            try:
                committed = await asking.position()
            finally:
                await asking.close()
        shadow = Shadow(lambda: dsn)
        try:
            compared = await compare(
                directory,
                shadow,
                committed,
                start=wanted.start,
                end=wanted.end,
                backfills=wanted.backfills,
                venues=wanted.venues,
                tables=tables or TABLES,
                examples=examples,
                progress=bar.show,
            )
        finally:
            await shadow.close()
    bar.end()
    return compared


def place(text: str) -> Place:
    """Read a time, or a segment's number with or without an offset in it."""
    segment, _, offset = text.partition(":")
    if segment.isdigit() and (not offset or offset.isdigit()):
        return Place(segment=int(segment), offset=int(offset or 0))
    try:
        return Place(moment(text))
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{error.message}, or a place in the journal: SEGMENT or SEGMENT:OFFSET") from None


def _position(directory: Path, option: str, place: Place | None) -> Position | None:
    from collector.journal import Position
    from collector.proof.frames import place as place_received

    if place is None:
        return None
    if place.received is None:
        return Position(place.segment, place.offset)
    found = place_received(directory, microseconds(place.received) * 1000) if directory.is_dir() else None
    if found is None and option == "--from":
        told = f"{place.received:%Y-%m-%dT%H:%M:%SZ}"
        raise typer.BadParameter(f"the journal holds nothing that was received after {told}", param_hint=option)
    return found


def _tell(done: Replayed) -> None:
    from rich.table import Table

    console = Screen()
    table = Table(title=f"{done.frames:,} frames, {done.bytes:,} bytes", title_justify="left")
    table.add_column("table")
    for name in ("items", "stored", "there already", "quarantined"):
        table.add_column(name, justify="right")
    for name, count in sorted(done.tables.items()):
        table.add_row(name, *(f"{number:,}" for number in count))
    console.print(table)
    if done.nothing:
        console.print("the journal holds nothing that matches, so nothing was replayed", style="bold red")
    for damage in done.damages:
        console.print(f"not readable: {damage}", style="red", soft_wrap=True)
