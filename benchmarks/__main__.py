"""`python -m benchmarks`: measure, print, keep."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import analysts, bursts, machine, micro, packets, report, steady
from benchmarks.processes import ProgramError
from benchmarks.terminal import Shape
from collector.errors import CollectorError
from collector.logs import configure

EXAMPLES = """
Examples:

    python -m benchmarks

    python -m benchmarks --only collector --frames 200000 --trades 1

    python -m benchmarks --only steady --seconds 600 --output steady.json

    python -m benchmarks --only metaapi --only metaapi-sdk --shape mix

    make bench ARGS="--only micro --json"

    make bench ARGS="--only analysts"
"""


class Part(StrEnum):
    """What can be measured by itself."""

    COLLECTOR = "collector"
    CRYPTOFEED = "cryptofeed"
    STEADY = "steady"
    MICRO = "micro"
    ANALYSTS = "analysts"
    METAAPI = "metaapi"
    METAAPI_JOURNAL = "metaapi-journal"
    METAAPI_SDK = "metaapi-sdk"
    METAAPI_READING = "metaapi-reading"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def main(
    rows: Annotated[int, typer.Option("--frames", "--rows", min=1, help="Trades to send.")] = 1_000_000,
    trades: Annotated[list[int] | None, typer.Option(min=1, help="Trades in a frame. [default: 1 and 10]")] = None,
    symbols: Annotated[int, typer.Option(min=1, max=99, help="Symbols that the trades are of.")] = 20,
    only: Annotated[list[Part] | None, typer.Option(help="Measure only this; may be repeated.")] = None,
    shape: Annotated[list[Shape] | None, typer.Option(help="Packets of MetaAPI. [default: all]")] = None,
    packet_pace: Annotated[float, typer.Option(min=1, help="Packets of MetaAPI a second.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=5, help="How long the steady load lasts.")] = 60.0,
    pace: Annotated[float, typer.Option(min=1, help="Frames a second of the steady load.")] = 5000.0,
    stored: Annotated[int, typer.Option(min=500, help="Trades that analysts ask about.")] = 10_000_000,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Keep the results as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure how many rows a second go from a venue's socket into the tables, how soon, and at what cost.

    Nothing leaves this machine. Everything runs in temporary folders, with real database servers.
    """
    configure("error", "auto")
    console = Console(stderr=True)
    parts = set(only or set(Part) - {Part.ANALYSTS})  # which takes minutes and gigabytes by itself
    try:
        results = asyncio.run(_measure(parts, rows, trades or [1, 10], symbols, pace, seconds, stored, console))
        asyncio.run(_packets(results, parts, list(shape or Shape), packet_pace, seconds / 2, console))
    except (ProgramError, CollectorError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    text = orjson.dumps(results.as_json(), option=orjson.OPT_INDENT_2).decode()
    if output is not None:
        output.write_text(text + "\n")
    if as_json:
        typer.echo(text)
    else:
        report.show(Console(), results)


_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


async def _measure(
    parts: set[Part],
    rows: int,
    trades: list[int],
    symbols: int,
    pace: float,
    seconds: float,
    stored: int,
    console: Console,
) -> report.Results:
    results = report.Results(machine.describe())
    with Progress(*_COLUMNS, console=console, transient=True) as bars:
        if Part.MICRO in parts:
            bar = bars.add_task("the parts", total=1)
            with _folder() as folder:
                results.micro = await micro.measure(folder)
            bars.update(bar, completed=1)
        for part, in_frame in product((Part.COLLECTOR, Part.CRYPTOFEED), trades):
            if part not in parts:
                continue
            count = max(1, rows // in_frame)
            bar = bars.add_task(f"{part}, trades in a frame: {in_frame}", total=count * in_frame)
            with _folder() as folder:
                results.bursts.append(
                    await bursts.measure(
                        folder,
                        part,
                        frames=count,
                        symbols=symbols,
                        trades=in_frame,
                        progress=partial(_advance, bars, bar),
                    )
                )
        if Part.STEADY in parts:
            bar = bars.add_task("steady load, seconds", total=int(seconds))
            with _folder() as folder:
                results.steady = await steady.measure(
                    folder,
                    frames_per_second=pace,
                    seconds=seconds,
                    progress=partial(_advance, bars, bar),
                )
        if Part.ANALYSTS in parts:
            bar = bars.add_task("questions: making trades", total=stored)
            with _folder() as folder:
                results.answers = await analysts.measure(folder, trades=stored, progress=partial(_advance, bars, bar))
    return results


async def _packets(
    results: report.Results, parts: set[Part], shapes: list[Shape], pace: float, seconds: float, console: Console
) -> None:
    recorders = {
        Part.METAAPI: "collector",
        Part.METAAPI_JOURNAL: "journal",
        Part.METAAPI_SDK: "metaapi-cloud-sdk",
        Part.METAAPI_READING: "websockets, reading only",
    }
    with Progress(*_COLUMNS, console=console, transient=True) as bars:
        for shape, part in product(shapes, recorders):
            if part not in parts:
                continue
            bar = bars.add_task(f"{recorders[part]}, packets: {shape}", total=int(seconds))
            with _folder() as folder:
                if part is Part.METAAPI_READING:
                    one = await packets.measure_reading(folder, shape=shape, pace=pace, seconds=seconds)
                    results.packets.append(one)
                    continue
                results.packets.append(
                    await packets.measure(
                        folder,
                        recorders[part],
                        shape=shape,
                        pace=pace,
                        seconds=seconds,
                        progress=partial(_advance, bars, bar),
                    )
                )


def _advance(bars: Progress, bar: TaskID, done: float) -> None:
    bars.update(bar, completed=int(done))


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder that the database's account can enter, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="collector-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
