"""What a chart shows, asked from the database: bars, spread, gaps, and in which steps."""

from __future__ import annotations

__all__ = ["PERIODS_SECONDS", "Picture", "Span", "ask"]

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.data.errors import DataError
from collector.data.market import AsyncMarket
from collector.data.questions import interval
from collector.model import PERIODS
from collector.store.named import queries

if TYPE_CHECKING:
    import pyarrow as pa

_SQL = queries("market")

# The periods that a chart may choose, by name, in seconds.
PERIODS_SECONDS = {
    "1s": 1,
    "5s": 5,
    "15s": 15,
    "30s": 30,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14400,
    "12h": 43200,
    "1d": 86400,
    "1w": 604800,
}

# Bars that a chart chooses to show, and that it is willing to.
MOST_CHOSEN, MOST_DRAWN = 160, 5_000
# Points of the line that shows the spread: one for each pixel or two.
SPREAD_POINTS = 600
DEFAULT_SPAN = timedelta(days=1)


class Span(NamedTuple):
    """A time with a state: of `lost`, `missing` and `repaired`."""

    state: str
    start: datetime
    end: datetime


class Picture(NamedTuple):
    """A chart's contents. `bars` and `spread` are tables of Arrow with floats, for drawing only.

    `kind` is `bars` for bars made of trades, and `candles` for the venue's own, where it tells of no trades.
    """

    venue: str
    symbol: str
    name: str
    quote: str | None
    period: str
    period_seconds: float
    start: datetime
    end: datetime
    decimals: int
    kind: str
    bars: pa.Table
    spread: pa.Table
    gaps_of_trades: tuple[Span, ...]
    gaps_of_ticks: tuple[Span, ...]


async def ask(
    dsn: str, venue: str, symbol: str, start: datetime | None, end: datetime | None, period: str | None
) -> Picture:
    """Gather what a chart shows.

    Bars are made of trades; where there are none, the venue's candles are taken. Without an end it ends with the last
    of them, without a start it shows the day before that, or what there is of it. Without a period one is chosen that
    gives a readable number of bars. Raises `DataError` where there is nothing to show or too much, `QueryError` and
    `DatabaseError` as a market does.
    """
    async with AsyncMarket(dsn, frames="arrow") as market, AsyncMarket(dsn, frames="arrow", floats=True) as drawn:
        [about] = (await market.sql(_SQL["pictured"], venue, symbol, start, end)).to_pylist()
        candles = None if about["last"] else await _candled(market, (venue, symbol, start, end), period)
        end = end or (candles or about)["last"] + timedelta(seconds=candles["period"] if candles else 0, microseconds=1)
        start = start or max((candles or about)["first"], end - DEFAULT_SPAN)
        if start >= end:
            raise DataError(f"the span ends at {end:%Y-%m-%d %H:%M:%S}, before it begins")
        period = candles["name"] if candles else period or _chosen((end - start).total_seconds())
        [length] = (await market.sql(_SQL["seconds_of"], interval(period)))["seconds"].to_pylist()
        if (end - start).total_seconds() / length > MOST_DRAWN:
            raise DataError(
                f"{period} makes {(end - start).total_seconds() / length:,.0f} bars, and a chart has room for "
                f"{MOST_DRAWN:,}: choose a longer --period, or a shorter span"
            )
        if candles:
            bars = await drawn.candles(venue, symbol, period, start, end, series=candles["series"])
        else:
            bars = await drawn.ohlcv(venue, symbol, period, start, end)
        step = max(1, round((end - start).total_seconds() / SPREAD_POINTS))
        spread = await drawn.spread(venue, symbol, f"{step}s", start, end)
        coverage = await market.coverage(venue, symbol, None, start, end)
    return Picture(
        venue,
        symbol,
        about["common_name"],
        about["quote"],
        period,
        float(length),
        start,
        end,
        _decimals(about["price_step"], about["scale"]),
        "candles" if candles else "bars",
        bars,
        spread,
        _spans(coverage.to_pylist(), "candles" if candles else "trades"),
        _spans(coverage.to_pylist(), "ticks"),
    )


async def _candled(
    market: AsyncMarket[pa.Table], which: tuple[str, str, datetime | None, datetime | None], period: str | None
) -> dict[str, Any]:
    """Choose the venue's own candles where there are no trades, as of quotes of currencies."""
    names = {length: name for name, length in PERIODS.items()}
    found = (await market.sql(_SQL["candled"], *which)).to_pylist()
    there = [{**one, "name": names[one["period"]]} for one in found if one["series"] == found[0]["series"]]
    if not there:
        raise DataError(
            f"there are neither trades nor candles of {which[0]} {which[1]} in this span: `collector gaps` may say why"
        )
    if period is None:
        seconds = min(DEFAULT_SPAN.total_seconds(), (there[0]["last"] - there[0]["first"]).total_seconds())
        return next((one for one in there if seconds / one["period"] <= MOST_CHOSEN), there[-1])
    for one in there:
        if one["name"] == period:
            return one
    raise DataError(
        f"there are no trades of {which[0]} {which[1]}, and candles of {', '.join(one['name'] for one in there)}: "
        "name one of these with --period"
    )


def _chosen(seconds: float) -> str:
    fitting = (name for name, length in PERIODS_SECONDS.items() if seconds / length <= MOST_CHOSEN)
    return next(fitting, "1w")


def _decimals(step: Decimal | None, scale: int | None) -> int:
    if step:
        return max(0, -int(step.normalize().as_tuple().exponent))
    return scale or 0


def _spans(rows: list[dict[str, Any]], stream: str) -> tuple[Span, ...]:
    return tuple(
        Span(row["state"], row["from_time"].astimezone(UTC), row["to_time"].astimezone(UTC))
        for row in rows
        if row["stream"] == stream and row["state"] != "covered"
    )
