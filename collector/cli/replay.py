"""`collector replay`: rows from the journal once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from rich.progress import Progress

    from collector.config import Config
    from collector.journal import Position
    from collector.service.replay import Replayed

EXAMPLES = """
Examples:

    collector replay

    collector replay --from 1795227594 --until 1795227597:123456

    collector replay --into postgresql://me@localhost/rebuilt
"""


def add_to(app: typer.Typer) -> None:
    app.command("replay", epilog=EXAMPLES)(replay)


def replay(
    start: Annotated[
        str | None, typer.Option("--from", metavar="SEGMENT[:OFFSET]", help="[default: the oldest]")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="SEGMENT[:OFFSET]", help="Up to here, not further. [default: the end]")
    ] = None,
    into: Annotated[str | None, typer.Option(metavar="DSN", help="[default: the configured database]")] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Parse the journal again and write its rows; what is there already stays as it is.

    Safe beside the running daemon, and as often as you like. The positions are those of the quarantine table, of
    journal_position and of the log. Exit status 1 when a part of the journal could not be read.
    """
    from collector.cli.running import run
    from collector.cli.shared import quiet_progress

    first, last = _position("--from", start), _position("--until", until)
    settings = read_config(config)
    with quiet_progress(quiet=as_json) as progress:
        done = run(_replay(settings, first, last, into, progress))
    if as_json:
        print_json({
            "frames": done.frames, "bytes": done.bytes, "damages": done.damages,
            "tables": {name: count._asdict() for name, count in done.tables.items()},
        })  # fmt: skip
    else:
        _tell(done)
    raise typer.Exit(1 if done.damages else 0)


async def _replay(
    config: Config, first: Position | None, last: Position | None, into: str | None, progress: Progress
) -> Replayed:
    from collector.journal.segments import numbers
    from collector.service.attach import attached
    from collector.service.replay import replay
    from collector.store.writer import Writer

    directory = config.data_dir / "journal"
    present = [
        number for number in (numbers(directory) if directory.exists() else [])
        if (first is None or number >= first.segment) and (last is None or number <= last.segment)
    ]  # fmt: skip
    task = progress.add_task("replaying", total=len(present))

    def show(done: Replayed) -> None:
        at = done.segment
        progress.update(task, completed=sum(number < at for number in present),
                        description=f"replaying segment {at}, {done.frames:,} frames")  # fmt: skip

    async with attached(config, into=into) as dsn:
        writer = Writer(lambda: dsn, None)
        try:
            done = await replay(directory, writer, start=first, end=last, progress=show)
        finally:
            await writer.close()
    progress.update(task, completed=len(present))
    return done


def _position(option: str, text: str | None) -> Position | None:
    from collector.journal import Position

    if text is None:
        return None
    segment, _, offset = text.partition(":")
    if not segment.isdigit() or (offset and not offset.isdigit()):
        raise typer.BadParameter(
            f"{text!r} is not a place in the journal; write SEGMENT or SEGMENT:OFFSET", param_hint=option
        )
    return Position(int(segment), int(offset or 0))


def _tell(done: Replayed) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{done.frames:,} frames, {done.bytes:,} bytes", title_justify="left")
    table.add_column("table")
    for name in ("items", "stored", "there already", "quarantined"):
        table.add_column(name, justify="right")
    for name, count in sorted(done.tables.items()):
        table.add_row(name, *(f"{number:,}" for number in count))
    console.print(table)
    for damage in done.damages:
        console.print(f"not readable: {damage}", style="red", markup=False)
