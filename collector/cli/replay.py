"""`collector replay`: rows from the journal once more, or what they would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from collector.cli.screen import Screen
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

    collector replay --from 1795227594 --until 1795227597:123456

    collector replay --into postgresql://me@localhost/rebuilt --backfills

    collector replay --diff --from 2026-11-21T09:00 --venues fmfw --tables trades,candles
"""


def add_to(app: typer.Typer) -> None:
    app.command("replay", epilog=EXAMPLES)(replay)


class Wanted(NamedTuple):
    """What the command line asks for."""

    start: Position | None
    end: Position | None
    into: str | None
    backfills: list[Path]
    venues: list[str] | None


def replay(
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="PLACE", help="SEGMENT[:OFFSET], or a time of receipt. [default: the oldest]"),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="PLACE", help="Up to here, not further. [default: the end]")
    ] = None,
    into: Annotated[str | None, typer.Option(metavar="DSN", help="[default: the configured database]")] = None,
    venues: Annotated[str | None, typer.Option(metavar="NAMES", help="Only these, such as fmfw,finam.")] = None,
    backfills: Annotated[
        bool, typer.Option("--backfills", help="What backfills fetched, too; it has journals of its own.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing: compare what it gives with the tables.")] = False,
    tables: Annotated[
        str | None, typer.Option(metavar="NAMES", help="With --diff: only these, such as trades,candles.")
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, metavar="N", help="With --diff: so many rows of each table and kind are shown.")
    ] = 5,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Parse the journal again and write its rows; what is there already stays as it is.

    Safe beside the running daemon, and as often as you like. The positions are those of the quarantine table, of
    journal_position and of the log. Exit status 1 when a part of the journal could not be read, when there was nothing
    to read, and with --diff when a table is not what the journal gives, or nothing was compared.
    """
    from collector.cli.names import some_of, usage
    from collector.cli.running import run
    from collector.cli.shared import quiet_progress
    from collector.store.shadow import TABLES

    chosen = None if tables is None else some_of("table", tables, TABLES, "--tables")
    if chosen and not diff:
        raise typer.BadParameter("is for --diff: rows of other tables would be lost in silence", param_hint="--tables")
    settings = read_config(config, log=not (diff and as_json))
    wanted = _understand(settings, (start, until), into, venues, backfills=backfills)
    if diff:
        from collector.cli.difference import as_object, tell

        with quiet_progress(quiet=as_json) as progress, usage(venue="--venues"):
            compared = run(_compare(settings, wanted, chosen, examples, progress))
        if as_json:
            print_json(as_object(compared))
        else:
            tell(compared, _left_out(settings, wanted))
        raise typer.Exit(0 if compared.proved and not compared.replayed.damages else 1)
    with quiet_progress(quiet=as_json) as progress, usage(venue="--venues"):
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
    config: Config, places: tuple[str | None, str | None], into: str | None, venues: str | None, *, backfills: bool
) -> Wanted:
    from collector.proof.frames import journals

    directory = config.data_dir / "journal"
    first, last = (_position(directory, *one) for one in zip(("--from", "--until"), places, strict=True))
    if first is not None and last is not None and first >= last:
        raise typer.BadParameter("is not behind --from", param_hint="--until")
    names = None if venues is None else list(dict.fromkeys(filter(None, map(str.strip, venues.split(",")))))
    if names == []:
        raise typer.BadParameter("names nothing", param_hint="--venues")
    others = [path for path in journals(config.data_dir) if path != directory] if backfills else []
    return Wanted(first, last, into, others, names)


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


async def _compare(
    config: Config, wanted: Wanted, tables: list[str] | None, examples: int, progress: Progress
) -> Compared:
    from collector.attach import attached
    from collector.journal import Position
    from collector.proof.difference import compare
    from collector.proof.known import check_journalled
    from collector.store.shadow import TABLES, Shadow
    from collector.store.writer import Writer

    directory = config.data_dir / "journal"
    name = directory / "name"
    bar = _Bar(progress, _segments(config, wanted))
    async with attached(config, into=wanted.into) as dsn:
        await check_journalled(config, dsn, wanted.venues or ())
        committed = None
        if name.is_file():
            asking = Writer(lambda: dsn, name.read_text().strip())
            try:
                position = await asking.position()
            finally:
                await asking.close()
            committed = None if position is None else Position(*position)
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


def _position(directory: Path, option: str, text: str | None) -> Position | None:
    from collector.journal import Position

    if text is None:
        return None
    segment, _, offset = text.partition(":")
    if segment.isdigit() and (not offset or offset.isdigit()):
        return Position(int(segment), int(offset or 0))
    from collector.cli.backfill import moment
    from collector.proof.frames import place

    try:
        time_us = moment(option, text)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r} is not a place in the journal; write SEGMENT, SEGMENT:OFFSET or a time such as 2026-11-21T09:30",
            param_hint=option,
        ) from None
    found = place(directory, time_us * 1000) if directory.is_dir() else None
    if found is None and option == "--from":
        raise typer.BadParameter(f"the journal holds nothing received since {text}", param_hint=option)
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
        console.print("the journal holds nothing of this choice, so that nothing was replayed", style="bold red")
    for damage in done.damages:
        console.print(f"not readable: {damage}", style="red", soft_wrap=True)
