"""`collector export`: tables as files for analysts, and whether files are still what they were."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.cli.output.screen import say
from collector.cli.parameters.times import day, ordered
from collector.cli.parameters.vocabulary import Since, Symbols, Until, Venues
from collector.cli.shared import ConfigFile, Json, print_json, read_config
from collector.escape import escaped

if TYPE_CHECKING:
    from collector.config import Config
    from collector.data.export import Choice, Exported, Seal

EXAMPLES = """
Examples:

    collector export trades --venue fmfw --symbol 'BTC*' --from 2026-11-01 --to 2026-11-08 --out btc

    collector export trades books --format csv --from 2026-11-20T09:00 --out morning

    collector export --seal yesterday --out sealed/2026-11-20

    collector export --verify sealed/2026-11-20
"""


def add_to(app: typer.Typer) -> None:
    app.command("export", epilog=EXAMPLES)(export)


def export(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE..",
            show_default=False,
            help="trades, ticks, books, candles, derivatives, rates, news. (default with --seal: all)",
        ),
    ] = None,
    venue: Venues = None,
    symbol: Symbols = None,
    since: Since = None,
    until: Until = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder to create.")] = None,
    kind: Annotated[str, typer.Option("--format", metavar="NAME", help="parquet, csv or arrow.")] = "parquet",
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier export in that folder.")] = False,
    seal: Annotated[
        date | None,
        typer.Option(
            metavar="DATE",
            parser=day,
            help="Export one whole day as a data set that never changes: 2026-11-20, yesterday.",
        ),
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Seal a day even if it is not complete; the manifest says so.")
    ] = False,
    verify: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Check an export against its manifest, and do nothing else.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write tables to files: a folder per instrument and day, and a manifest of what is there and what is missing.

    Numbers stay exact. The folder appears only after everything in it was written and read back. The exit status is 1
    if a day is not complete enough to be sealed, or if --verify finds a difference.
    """
    if verify is not None:
        if tables or out or seal:
            raise typer.BadParameter(
                "cannot be combined with tables, --out or --seal: the manifest says what to check",
                param_hint="--verify",
            )
        _verify(verify, as_json=as_json)
        return
    from collector.cli.parameters.names import listed
    from collector.cli.running import run
    from collector.data.errors import UnknownError

    sealed = _seal(seal, anyway=anyway)
    choice = _understand(tables or [], listed(venue, "--venue"), symbol or [], (since, until), kind, sealed)
    if out is None:
        raise typer.BadParameter("is missing: name the folder to create", param_hint="--out")
    settings = read_config(config, log=not as_json)
    try:
        done = run(_export(settings, choice, out, kind, replace=replace, seal=sealed, quiet=as_json))
    except UnknownError as error:
        hints = {"table": "TABLE..", "venue": "--venue", "symbol": "--symbol"}
        raise typer.BadParameter(escaped(str(error)), param_hint=hints[error.what]) from None
    if as_json:
        print_json(done._asdict())
    else:
        _tell(done)


def _seal(on: date | None, *, anyway: bool) -> Seal | None:
    from collector.data.export import Seal

    if on is None:
        if anyway:
            raise typer.BadParameter("is an option of --seal", param_hint="--anyway")
        return None
    return Seal(on, anyway)


def _understand(
    tables: list[str],
    venues: list[str],
    symbols: list[str],
    times: tuple[datetime | None, datetime | None],
    kind: str,
    seal: Seal | None,
) -> Choice:
    from collector.cli.parameters.names import one_of
    from collector.data.catalogue import TABLES
    from collector.data.export import Choice
    from collector.data.files import FORMATS, needs

    one_of("format", kind, FORMATS, "--format")
    if not tables and seal is None:
        raise typer.BadParameter(f"name one or more of {', '.join(TABLES)}", param_hint="TABLE..")
    for name in tables:
        one_of("table", name, TABLES, "TABLE..")
    if seal is not None and any(times):
        raise typer.BadParameter("already means one whole day: leave out --from and --to", param_hint="--seal")
    first, last = ordered(*times)
    needs(kind)
    return Choice(tuple(tables or TABLES), tuple(venues), tuple(symbols), first, last)


async def _export(
    config: Config, choice: Choice, out: Path, kind: str, *, replace: bool, seal: Seal | None, quiet: bool
) -> Exported:
    from collector.attach import attached
    from collector.cli.shared import quiet_progress
    from collector.data.export import Progress
    from collector.data.export import export as write

    with quiet_progress(quiet=quiet) as bar:
        task = bar.add_task("counting rows", total=None)
        phase = ""

        def show(now: Progress) -> None:
            nonlocal phase
            if now.phase != phase:
                phase = now.phase
                bar.reset(task, total=now.total)
            rate = bar.tasks[0].finished_speed or bar.tasks[0].speed or 0
            told = f"{rate:,.0f} rows/s" if now.phase == "rows" else "counting rows"
            bar.update(task, completed=now.done, total=now.total, description=told)

        async with attached(config) as dsn:
            return await write(dsn, choice, out, kind, replace=replace, seal=seal, show=show)


def _tell(done: Exported) -> None:
    say(f"{done.folder}: {done.rows:,} rows in {done.files:,} files, {done.bytes:,} bytes")
    for objection in done.objections:
        say(f"sealed, although {objection}", "yellow", stderr=True)
    say(f"{done.sha256}  manifest.json")


def _verify(folder: Path, *, as_json: bool) -> None:
    from collector.cli.shared import quiet_progress
    from collector.data.verify import verify

    with quiet_progress(quiet=as_json) as bar:
        task = bar.add_task("bytes checked", total=None)
        manifest, troubles = verify(folder, lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        print_json({"folder": folder, "good": not troubles, "troubles": [one._asdict() for one in troubles]})
    elif troubles:
        for one in troubles:
            say(f"{one.path} {one.what}", stderr=True)
        say(f"{folder}: {len(troubles):,} files differ from the manifest", stderr=True)
    else:
        rows, files = manifest["rows"], len(manifest["files"])
        say(f"{folder}: {rows:,} rows in {files:,} files match the manifest")
    raise typer.Exit(1 if troubles else 0)
