"""Turns records into the parameters of the insert statements: one array literal, as text, for each column.

This was measured as the quickest idempotent way into the tables (docs/architecture.md). Numbers are not quoted, so the
parser must have checked every decimal: a stray comma would shift a column. Texts are quoted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from collector.model import Book, Candle, Derivative, Instrument, News, Rate, Tick, Trade, plain

InstrumentIds = Mapping[Instrument, int]
VenueIds = Mapping[str, int]


def numbers(values: Iterable[int | None]) -> str:
    """Integers, None among them, as an array literal."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def whole(values: Iterable[int]) -> str:
    """Integers without None as an array literal."""
    # What Python writes for a list, blanks and all, is what the server reads; a third quicker than joining.
    return "{" + str(list(values))[1:-1] + "}"


def decimals(values: Sequence[str | None]) -> str:
    """Checked decimals, None among them, as an array literal."""
    if None in values:
        return "{" + ",".join(["NULL" if value is None else value for value in values]) + "}"
    return "{" + ",".join(values) + "}"  # type: ignore[arg-type]


def texts(values: Sequence[str | None]) -> str:
    """Any texts, None among them, as an array literal."""
    if None not in values:
        joined = '","'.join(values)  # type: ignore[arg-type]
        # No backslash, and no quote but ours: nothing needs an escape. Nearly always so, and eight times quicker.
        if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
            return '{"' + joined + '"}'
    return "{" + ",".join(["NULL" if value is None else _quote(value) for value in values]) + "}"


def booleans(values: Iterable[bool]) -> str:
    """Truth values as an array literal."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def arrays(values: Iterable[str]) -> str:
    """Comma-joined checked decimals, each an array of its own, as a literal of array texts."""
    return '{"{' + '}","{'.join(values) + '}"}'


def _quote(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'


def trades(rows: Sequence[Trade], ids: InstrumentIds) -> tuple[str, ...]:
    instrument, time_us, key, trade_id, price, size, side, received_us = zip(*rows, strict=True)
    return (
        whole([ids[key] for key in instrument]),
        whole(time_us),
        whole(key),
        texts(trade_id),
        decimals(price),
        decimals(size),
        numbers(side),
        whole(received_us),
    )


def touched(rows: Sequence[Trade], ids: InstrumentIds) -> tuple[str, str]:
    """Return instruments and minutes in which these trades were executed, each pair once."""
    pairs = sorted(
        {ids[row[0]] << 32 | row[1] // 60_000_000 for row in rows}
    )  # packed into one number: sorts in half the time
    return whole([pair >> 32 for pair in pairs]), whole([pair & 0xFFFF_FFFF for pair in pairs])


def ticks(rows: Sequence[Tick], ids: InstrumentIds) -> tuple[str, ...]:
    instrument, time_us, key, *values, received_us = zip(*rows, strict=True)
    return (
        whole([ids[key] for key in instrument]),
        whole(time_us),
        whole(key),
        *map(decimals, values),
        whole(received_us),
    )


def books(rows: Sequence[Book], ids: InstrumentIds) -> tuple[str, ...]:
    instrument, time_us, seq, snapshot, *sides, received_us = zip(*rows, strict=True)
    return (
        whole([ids[key] for key in instrument]),
        whole(time_us),
        whole(seq),
        booleans(snapshot),
        *map(arrays, sides),
        whole(received_us),
    )


def candles(rows: Sequence[Candle], ids: InstrumentIds) -> tuple[str, ...]:
    instrument, time_us, period, series, *prices, count, closed, received_us = zip(*rows, strict=True)
    return (
        whole([ids[key] for key in instrument]),
        whole(time_us),
        whole(period),
        texts(series),
        *map(decimals, prices),
        numbers(count),
        booleans(closed),
        whole(received_us),
    )


def derivatives(rows: Sequence[Derivative], ids: InstrumentIds) -> tuple[str, ...]:
    instrument, time_us, mark, index, funding, next_us, *values, expiry_us, received_us = zip(*rows, strict=True)
    return (
        whole([ids[key] for key in instrument]),
        whole(time_us),
        decimals(mark),
        decimals(index),
        decimals(funding),
        numbers(next_us),
        *map(decimals, values),
        numbers(expiry_us),
        whole(received_us),
    )


def rates(rows: Sequence[Rate], ids: VenueIds) -> tuple[str, ...]:
    venue, time_us, name, value, received_us = zip(*rows, strict=True)
    return (
        whole([ids[key] for key in venue]),
        whole(time_us),
        texts(name),
        decimals(value),
        whole(received_us),
    )


def news(rows: Sequence[News], ids: VenueIds) -> tuple[str, ...]:
    venue, time_us, key, source, title, link, received_us = zip(*rows, strict=True)
    return (
        whole([ids[key] for key in venue]),
        whole(time_us),
        whole(key),
        texts(source),
        texts(title),
        texts(link),
        whole(received_us),
    )


def latest_candles(rows: Sequence[Candle]) -> list[Candle]:
    """Return the last state of each candle: one upsert statement cannot change a row twice.

    The last state is found by the rules of `upsert_candles`, as if each state had come in its own batch: the tables
    must not depend on where batches end. So a repeated state keeps its first time of receipt, a state that was received
    earlier changes nothing, and a closed bar stays closed.
    """
    latest: dict[tuple[object, ...], Candle] = {}
    for row in rows:
        before = latest.get(row[:4])
        if before is None:
            latest[row[:4]] = row
        elif row.received_us >= before.received_us or before.received_us > row.received_us + CLOCK_FAULT_MIN_US:
            now = row._replace(closed=True) if before.closed and not row.closed else row
            if not _same_state(before, now):
                latest[row[:4]] = now
    return list(latest.values())


# Where two states of one candle were received at least 30 days apart, the clock was wrong for the later one. The same
# number is in `upsert_candles`.
CLOCK_FAULT_MIN_US = 30 * 86_400_000_000


def _same_state(before: Candle, after: Candle) -> bool:
    """Whether the two are equal for the database, to which 9.0 is 9."""
    return all(
        a == b or (isinstance(a, str) and isinstance(b, str) and plain(a) == plain(b))
        for a, b in zip(before[4:-1], after[4:-1], strict=True)
    )


Encode = Callable[[Sequence[Any], Mapping[Any, int]], tuple[str, ...]]
