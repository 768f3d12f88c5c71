"""What a simulated FMFW really traded, whether or not it was sent to anybody: what a repair has to reach."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

from collector.daemon.daemon import Daemon
from tests.kit.running import PATIENCE_SECONDS
from tests.kit.stage import Stage, until

Rows = set[tuple[Any, ...]]


def traded(on: Stage, symbol: str, since_us: int, until_us: int | None = None) -> list[tuple[Any, ...]]:
    """Every trade since a time: time, price, size, side."""
    market = on.venue.exchange.markets[symbol]
    price, size = market.instrument.price_text, market.instrument.size_text
    low, high = market.trades.range_by_time(-(-since_us // 1000), None if until_us is None else until_us // 1000)
    return sorted(
        (trade.time_ms * 1000, Decimal(price(trade.price)), Decimal(size(trade.size)), 1 if trade.buy else -1)
        for trade in (market.trades[index] for index in range(low, high))
    )


def bars(on: Stage, symbol: str, since_us: int, until_us: int | None = None) -> list[tuple[Any, ...]]:
    """Every minute's bar since a time: opening, prices, volumes."""
    market = on.venue.exchange.markets[symbol]
    price, instrument = market.instrument.price_text, market.instrument
    return [
        (
            bar.start * 1000,
            Decimal(price(bar.open)),
            Decimal(price(bar.high)),
            Decimal(price(bar.low)),
            Decimal(price(bar.close)),
            Decimal(instrument.size_text(bar.volume)),
        )
        for bar in market.series.bars(
            "M1", since_us // 60_000_000 * 60_000, None if until_us is None else until_us // 1000
        )
    ]


async def stored_trades(on: Stage, symbol: str, since_us: int) -> list[tuple[Any, ...]]:
    return await on.query(
        "select (extract(epoch from time) * 1000000)::bigint, price, size, side::int from v_trades"
        " where symbol = $1 and time >= timestamptz 'epoch' + $2::bigint * interval '1 microsecond'"
        " order by 1, 2, 3, 4",
        symbol,
        since_us,
    )


async def stored_bars(on: Stage, symbol: str, since_us: int) -> list[tuple[Any, ...]]:
    return await on.query(
        "select (extract(epoch from time) * 1000000)::bigint, open, high, low, close, volume from v_candles"
        " where symbol = $1 and period = 60 and series = 'trade'"
        " and time >= timestamptz 'epoch' + $2::bigint * interval '1 microsecond' order by 1",
        symbol,
        since_us // 60_000_000 * 60_000_000,
    )


async def everything_is_there(on: Stage, since_us: int) -> None:
    """Compare trades and candles of every symbol with what the venue traded since a time."""
    compared = 0
    for symbol in on.venue.exchange.markets:
        wanted = traded(on, symbol, since_us)
        assert await stored_trades(on, symbol, since_us) == wanted, symbol
        assert await stored_bars(on, symbol, since_us) == bars(on, symbol, since_us), symbol
        compared += len(wanted)
    assert compared > 100


async def unsettled(on: Stage) -> int:
    """How many gaps with an end wait for their repair."""
    [(count,)] = await on.query("select count(*) from gaps where state = 'open' and to_time is not null")
    return int(count)


async def closed(on: Stage) -> int:
    """How many gaps were repaired or given up."""
    [(count,)] = await on.query("select count(*) from gaps where state <> 'open' and cause <> 'starting'")
    return int(count)


async def all_settled(on: Stage, daemon: Daemon, at_least: int, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until so many gaps are closed, those of the start left out, and none is left."""
    repairer = daemon.venues.repairers["fmfw"]
    end = time.monotonic() + seconds
    while await closed(on) < at_least or await unsettled(on):
        assert time.monotonic() < end, await on.query("select * from v_gaps where state = 'open'")
        await asyncio.sleep(0.05)
        await until(lambda: not repairer.waiting, "nothing left to repair")


def now_us() -> int:
    return time.time_ns() // 1000
