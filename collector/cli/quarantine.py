"""`collector quarantine`: what could not be understood or stored, looked at, parsed again, or set aside."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from collector.cli.output.screen import say
from collector.cli.parameters.times import ordered
from collector.cli.parameters.vocabulary import DryRun, Limit, Since, Streams, Until, Venues, Whole
from collector.cli.shared import ConfigFile, Json, print_json, read_config

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rich.progress import Progress

    from collector.config import Config
    from collector.proof.parse_again import Outcome
    from collector.proof.place import Where
    from collector.store.quarantine import Choice, Group, Listed

T = TypeVar("T")

EXAMPLES = """
Examples:

    collector quarantine list --group

    collector quarantine show 12

    collector quarantine parse --all --venue fmfw --dry-run

    collector quarantine discard 12 13 --reason 'a test of the venue'
"""

commands = typer.Typer(
    help="List, show, parse again or discard what could not be understood or stored.",
    no_args_is_help=True,
    epilog=EXAMPLES,
)

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]..", help="Entries, as `list` shows them.")]
Kind = Annotated[
    str | None,
    typer.Option(metavar="KIND", help="frame: not understood; row: refused by the database. (default: both)"),
]
Error = Annotated[
    str | None, typer.Option("--error", metavar="PATTERN", help="Only such errors, * and ? as in file names.")
]
Everything = Annotated[
    bool, typer.Option("--all", help="All entries that wait, or those that the other options choose, instead of IDs.")
]


def add_to(app: typer.Typer) -> None:
    app.add_typer(commands, name="quarantine")


@commands.command("list", epilog="Example:\n\n    collector quarantine list --venue fmfw --error 'price: *' --group")
def list_entries(
    venue: Venues = None,
    stream: Streams = None,
    kind: Kind = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[str, typer.Option(metavar="STATE", help="waiting, resolved, discarded or all.")] = "waiting",
    group: Annotated[bool, typer.Option("--group", help="Count entries by error instead of listing them.")] = False,
    limit: Limit = 50,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List what is in quarantine, newest first.

    The exit status is 1 if no entry, in any state, ever had an error that matches --error.
    """
    from collector.cli.output.quarantine import tell_groups, tell_list
    from collector.cli.parameters.names import one_of
    from collector.store.quarantine import EntryState

    one_of("state", state, (*EntryState, "all"), "--state")
    chosen = None if state == "all" else EntryState(state)
    choice = _choice(None, venue, stream, kind, error, since, until)._replace(state=chosen)
    settings = read_config(config, log=not as_json)
    if group:
        groups = _run(_groups(settings, choice, limit))
        if as_json:
            print_json({"groups": [one._asdict() for one in groups]})
        else:
            tell_groups(groups)
        if not groups:
            _run(_check_error(settings, choice))
        return
    rows, counts = _run(_list(settings, choice, limit))
    if as_json:
        print_json({"entries": [one._asdict() for one in rows], "summary": counts})
    else:
        tell_list(rows, counts)
    if not rows:
        _run(_check_error(settings, choice))


@commands.command("show", epilog="Example:\n\n    collector quarantine show 12 --json | jq .place.session")
def show_entry(
    number: Annotated[int, typer.Argument(metavar="ID", help="An entry, as `list` shows it.")],
    whole: Whole = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show one entry: its bytes, its error and where in the bytes it is, its place in the journal, its session."""
    from collector.cli.output.quarantine import tell_entry
    from collector.cli.running import run

    settings = read_config(config, log=not as_json)
    entry, payload, place = run(_show(settings, number))
    if as_json:
        text = payload.decode("utf-8", "backslashreplace")
        print_json({**entry._asdict(), "payload": text, "place": place and place.as_json()})
    else:
        tell_entry(entry, payload, place, whole=whole)


@commands.command("parse", epilog="Example:\n\n    collector quarantine parse --all --venue fmfw --error 'ch: *'")
def parse_entries(
    ids: Ids = None,
    everything: Everything = False,
    venue: Venues = None,
    stream: Streams = None,
    kind: Kind = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Parse entries again with this version of the program, and store the rows that they give now.

    The session's state at that moment is restored from the journal first. It is safe to run this beside the daemon. The
    exit status is 1 if an entry still cannot be parsed.
    """
    from collector.cli.output.quarantine import tell_outcomes
    from collector.cli.shared import quiet_progress

    choice = _work(ids, venue, stream, kind, error, since, until, everything=everything)
    settings = read_config(config, log=not as_json)
    with quiet_progress(quiet=as_json) as progress:
        outcomes = _run(_parse(settings, choice, progress, dry=dry_run))
    if as_json:
        print_json({"dry_run": dry_run, "entries": [one._asdict() for one in outcomes]})
    else:
        tell_outcomes(outcomes, dry=dry_run)
    raise typer.Exit(1 if any(one.result in ("fails", "impossible") for one in outcomes) else 0)


@commands.command("discard", epilog="Example:\n\n    collector quarantine discard --all --venue x --reason 'left them'")
def discard_entries(
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why the entries are not worth storing; kept with them.")],
    ids: Ids = None,
    everything: Everything = False,
    venue: Venues = None,
    stream: Streams = None,
    kind: Kind = None,
    error: Error = None,
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Mark entries as not worth storing, with a reason. Bytes, error and reason stay in the table."""
    if not reason.strip() or "\0" in reason:
        raise typer.BadParameter("say why these entries are not worth storing", param_hint="--reason")
    choice = _work(ids, venue, stream, kind, error, since, until, everything=everything)
    settings = read_config(config, log=not as_json)
    count = _run(_discard(settings, choice, reason.strip()))
    if as_json:
        print_json({"discarded": count})
    else:
        say(f"{count:,} entr{'y' if count == 1 else 'ies'} discarded")


def _choice(
    ids: list[int] | None,
    venue: list[str] | None,
    stream: list[str] | None,
    kind: str | None,
    error: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Choice:
    from collector.cli.parameters.names import listed, one_of
    from collector.repair.listing import like
    from collector.store.quarantine import Choice

    if kind is not None:
        one_of("kind", kind, ("frame", "row"), "--kind")

    first, last = ordered(since, until)
    venues, streams = listed(venue, "--venue"), listed(stream, "--stream")
    pattern = None if error is None else like(error)
    return Choice(ids or None, None, venues or None, streams or None, kind, pattern, first, last)


def _work(
    ids: list[int] | None,
    venue: list[str] | None,
    stream: list[str] | None,
    kind: str | None,
    error: str | None,
    since: datetime | None,
    until: datetime | None,
    *,
    everything: bool,
) -> Choice:
    """Understand what to work on: either IDs, or --all with options that narrow it."""
    choice = _choice(ids, venue, stream, kind, error, since, until)
    narrowed = any(part is not None for part in choice[2:])
    if ids and (everything or narrowed):
        raise typer.BadParameter("name IDs, or --all with options that narrow it, not both", param_hint="[ID]..")
    if not ids and not everything:
        raise typer.BadParameter(
            "name entries by their IDs, or use --all"
            + (" together with the options that narrow it" if narrowed else ""),
            param_hint="[ID]..",
        )
    return choice


def _run(work: Coroutine[Any, Any, T]) -> T:
    from collector.cli.parameters.names import usage
    from collector.cli.running import run

    with usage(venue="--venue", stream="--stream"):
        return run(work)


async def _check(config: Config, dsn: str, choice: Choice) -> None:
    """Refuse a choice by a name that means nothing, and by an error that no entry ever had."""
    from collector.proof.known import check_quarantined
    from collector.store.quarantine import check_error

    await check_quarantined(config, dsn, choice.venues or (), choice.streams or ())
    await check_error(dsn, choice.error)


async def _check_error(config: Config, choice: Choice) -> None:
    from collector.attach import attached
    from collector.store.quarantine import check_error

    if choice.error is not None:
        async with attached(config) as dsn:
            await check_error(dsn, choice.error)


async def _list(config: Config, choice: Choice, limit: int) -> tuple[list[Listed], dict[str, int]]:
    from collector.attach import attached
    from collector.proof.known import check_quarantined
    from collector.store.quarantine import listing

    async with attached(config) as dsn:
        await check_quarantined(config, dsn, choice.venues or (), choice.streams or ())
        return await listing(dsn, choice, limit)


async def _groups(config: Config, choice: Choice, limit: int) -> list[Group]:
    from collector.attach import attached
    from collector.proof.known import check_quarantined
    from collector.store.quarantine import groups

    async with attached(config) as dsn:
        await check_quarantined(config, dsn, choice.venues or (), choice.streams or ())
        return await groups(dsn, choice, limit)


async def _discard(config: Config, choice: Choice, reason: str) -> int:
    from collector.attach import attached
    from collector.store.quarantine import discard

    async with attached(config) as dsn:
        await _check(config, dsn, choice)
        return await discard(dsn, choice, reason)


async def _show(config: Config, number: int) -> tuple[Listed, bytes, Where | None]:
    from collector.attach import attached
    from collector.proof.parse_again import place_of
    from collector.store.quarantine import whole

    async with attached(config) as dsn:
        entry, payload = await whole(dsn, number)
        return entry, payload, await place_of(dsn, config.data_dir, entry, payload)


async def _parse(config: Config, choice: Choice, progress: Progress, *, dry: bool) -> list[Outcome]:
    from collector.attach import attached
    from collector.proof.parse_again import parse_again
    from collector.store.quarantine import waiting, whole
    from collector.store.resolver import Resolver

    async with attached(config) as dsn:
        await _check(config, dsn, choice)
        entries = await waiting(dsn, choice)
        task = progress.add_task("parsing again", total=len(entries))

        async def payload(number: int) -> bytes:
            return (await whole(dsn, number))[1]

        resolver = None if dry else Resolver(lambda: dsn)
        try:
            return await parse_again(config.data_dir, entries, payload, resolver, lambda _: progress.advance(task))
        finally:
            if resolver is not None:
                await resolver.close()
