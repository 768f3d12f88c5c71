"""`collector explain`: from a row to the frame that it was made of."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.cli.output.screen import Screen
from collector.cli.parameters.times import duration_seconds
from collector.cli.parameters.vocabulary import Whole
from collector.cli.shared import ConfigFile, Json, print_json, read_config
from collector.tables import STREAMS

if TYPE_CHECKING:
    from collector.config import Config
    from collector.proof.explain import Explained, Key

EXAMPLES = """
Examples:

    collector explain trades fmfw BTCUSDT -8395011223346051172

    collector explain ticks fmfw BTCUSDT '2026-11-21 13:20:11.123+00'

    collector explain candles fmfw BTCUSDT 1m@2026-11-21T13:20
"""

KEY_DESCRIPTIONS = {
    "trades": "a trade_key, a trade_id or a time",
    "ticks": "a tick_key or a time",
    "books": "a seq or a time",
    "candles": "a period and the opening, such as 1m@2026-11-21T13:20 (and @mark for another series than trade)",
    "derivatives": "a time",
    "rates": "a time",
}


def add_to(app: typer.Typer) -> None:
    # Keys are signed: -8395011223346051172 is no option.
    app.command("explain", epilog=EXAMPLES, context_settings={"ignore_unknown_options": True})(explain)


def explain(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"{', '.join(STREAMS)}.")],
    venue: Annotated[str, typer.Argument(metavar="VENUE", help="The venue's name in the tables.")],
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="The symbol in the tables; for rates, the name.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key, an id or a time, written as in the tables.")],
    within: Annotated[
        float,
        typer.Option(
            metavar="LENGTH",
            parser=duration_seconds,
            show_default="60s",
            help="Look for other frames that say the same in the journal up to this long after it: 90s, 5m, 2h.",
        ),
    ] = 60.0,
    whole: Whole = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show the frame that a row was made from: its bytes, its place in the journal, its session, and gaps around it.

    The frame is parsed again and compared with the row. The exit status is 1 if there is no such row, if the journal no
    longer holds its frame, or if the row differs from its frame.
    """
    from collector.cli.parameters.names import one_of, usage
    from collector.cli.running import run

    one_of("table", table, STREAMS, "TABLE")
    wanted = understand(table, key)
    settings = read_config(config, log=not as_json)
    with usage(venue="VENUE", symbol="SYMBOL"):
        told, count = run(_explain(settings, table, venue, symbol, wanted, within))
    if as_json:
        print_json({"rows": [as_object(one) for one in told], "found": count})
    else:
        console = Screen()
        for one in told:
            _tell(console, one, whole=whole)
        if count > len(told):
            console.print(f"{count - len(told):,} more rows have that time; give the key of the one that you mean")
    raise typer.Exit(1 if any(one.missing or one.differences for one in told) else 0)


def understand(table: str, text: str) -> Key:
    """Read a key of a table; wrong ones are told with what would be right."""
    from collector.model import PERIODS
    from collector.proof.explain import Key

    wrong = typer.BadParameter(f"{text!r} is no key of {table}; write {KEY_DESCRIPTIONS[table]}", param_hint="KEY")
    if table == "candles":
        period, _, rest = text.partition("@")
        opening, _, series = rest.partition("@")
        time = _time(opening)
        if time is None or not (period in PERIODS or period.isdigit()):
            raise wrong
        return Key(PERIODS.get(period) or int(period), series or "trade", time)
    time = _time(text)
    if re.fullmatch(r"-?[0-9]{1,19}", text):
        number = int(text)
        if table in ("derivatives", "rates") or not -(2**63) <= number < 2**63:
            raise wrong
        return Key(number, text if table == "trades" else None)
    if time is not None:
        return Key(time=time)
    if table == "trades":
        return Key(text=text)
    raise wrong


def _time(text: str) -> datetime | None:
    if re.fullmatch(r"-?[0-9]*", text):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


async def _explain(
    config: Config, table: str, venue: str, symbol: str, key: Key, within: float
) -> tuple[list[Explained], int]:
    from collector.attach import attached
    from collector.proof.explain import explain
    from collector.proof.known import check_instrument, check_rate

    path = config.data_dir / "journal" / "name"
    name = path.read_text().strip() if path.is_file() else None
    async with attached(config) as dsn:
        await (check_rate if table == "rates" else check_instrument)(config, dsn, venue, symbol)
        return await explain(dsn, config.data_dir, name or None, table, venue, symbol, key, within=within)


def as_object(one: Explained) -> dict[str, Any]:
    """Return it as JSON has it: numbers of the tables as text, with all their digits."""
    from decimal import Decimal

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return f"{value:f}" if isinstance(value, Decimal) else value

    return {
        "table": one.table,
        "row": {name: plain(value) for name, value in one.row.items()},
        "lag_seconds": one.lag_seconds,
        "frame": one.frame and one.frame.decode("utf-8", "backslashreplace"),
        "place": one.place and one.place.as_json(),
        "missing": one.missing,
        "differences": {name: {"row": row, "frame": frame} for name, (row, frame) in one.differences.items()},
        "seen": one.seen,
        "sightings": [{**seen.place.as_json(), "made_it": seen.made_it} for seen in one.sightings],
        "segment": one.segment,
        "transaction": one.transaction,
        "committed_at": one.committed_at,
        "gaps": [{name: plain(value) for name, value in gap.items()} for gap in one.gaps],
        "damages": one.damages,
    }


def _tell(console: Screen, one: Explained, *, whole: bool) -> None:
    from collector.cli.frame import KIND_NAMES, place_facts, tell, tell_bytes

    row = as_object(one)["row"]
    console.print(
        f"{one.table}: " + ", ".join(f"{name} {_short(value)}" for name, value in row.items()),
        soft_wrap=True,
        style="bold",
    )
    facts = place_facts(one.place) if one.place else {}
    of = "its opening" if one.table == "candles" else "the venue's time"
    facts["lag"] = f"{one.lag_seconds:.3f} s from {of} to our receipt"
    if one.transaction:
        facts["written"] = f"in transaction {one.transaction}" + (
            f", committed {one.committed_at:%Y-%m-%d %H:%M:%S.%f} UTC" if one.committed_at else ""
        )
    if one.segment:
        facts["segment"] = ", ".join(f"{count:,} {name}" for name, count in one.segment.items()) + f" of {one.table}"
    others = [seen for seen in one.sightings if not seen.made_it]
    facts["seen"] = f"{one.seen} time{'' if one.seen == 1 else 's'}" + "".join(
        f"; {KIND_NAMES[seen.place.kind]} of {seen.place.session.worker if seen.place.session else 'another session'}"
        f" at segment {seen.place.segment}, offset {seen.place.offset}"
        for seen in others[:5]
    )
    facts["gaps"] = (
        "none within a minute"
        if not one.gaps
        else "; ".join(
            f"{gap['cause']} from {gap['from_time']:%H:%M:%S.%f} to "
            + (f"{gap['to_time']:%H:%M:%S.%f}" if gap["to_time"] else "now")
            + f", {gap['state']}"
            for gap in one.gaps
        )
    )
    if one.frame is not None and not one.differences:
        facts["proof"] = "parsed again, the frame gives exactly this row"
    tell(console, facts)
    for damage in one.damages:
        console.print(f"not readable: {damage}", style="red", soft_wrap=True)
    if one.missing:
        console.print(one.missing, style="red", soft_wrap=True)
    for name, (held, says) in one.differences.items():
        console.print(
            f"{name} differs: the row says {_short(held)}, its frame {_short(says)}", style="red", soft_wrap=True
        )
    if one.frame is not None:
        tell_bytes(console, one.frame, whole=whole)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
