"""What every case has to show at its end: nothing lost but what a gap tells, and no gap that tells of nothing.

Trades and candles are compared with what the simulated market did, sent or not; ticks and books with what was sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from collector.demo.compare import _SQL, _TEXT_COLUMNS, _book, _exact
from tests.kit.stage import Stage
from tests.repair.truth import everything_is_there

from .recording import PATIENCE_SECONDS, Recording

# A gap's ends are the receiver's clock, a row's time is the venue's: on a busy machine they are seconds apart.
MARGIN_US = 3_000_000
QUOTES = ("ticks", "books")


class Span(NamedTuple):
    """A gap, or a time of trouble; microseconds."""

    from_us: int
    to_us: int

    def holds(self, time_us: int) -> bool:
        return self.from_us - MARGIN_US <= time_us <= self.to_us + MARGIN_US

    def meets(self, other: Span) -> bool:
        return self.from_us - MARGIN_US <= other.to_us and other.from_us <= self.to_us + MARGIN_US


async def proved(
    on: Stage, daemon: Recording, since_us: int, troubles: Iterable[Span] = (), *, seconds: float = PATIENCE_SECONDS
) -> int:
    """Stop the market and compare everything; returns how many ticks and books fell into gaps.

    `troubles` are the times at which something was in the way: no gap may lie elsewhere. `seconds` bound the repair.
    """
    await daemon.flows()
    await daemon.repaired(seconds)
    await on.ledger.pause()
    await daemon.settled()
    await daemon.repaired()  # what the last seconds brought
    await daemon.settled()
    await everything_is_there(on, since_us)
    await gaps_lie_within(on, list(troubles))
    lost = await quotes_outside_gaps_are_there(on)
    assert await on.query("select * from quarantine limit 5") == []
    await on.counts_add_up()
    return lost


async def gaps_lie_within(on: Stage, troubles: list[Span]) -> None:
    """Fail for a gap at a time at which nothing was in the way."""
    for symbol, stream, cause, from_us, to_us in await on.query(
        "select symbol, stream, cause, (extract(epoch from from_time) * 1000000)::bigint,"
        " (extract(epoch from coalesce(to_time, now())) * 1000000)::bigint from v_gaps where cause <> 'starting'"
    ):
        gap = Span(from_us, to_us)
        assert any(trouble.meets(gap) for trouble in troubles), (symbol, stream, cause, gap, troubles)


async def quotes_outside_gaps_are_there(on: Stage) -> int:
    """Compare ticks and books with what was sent; returns how many were lost, each of them within a gap."""
    connection = await asyncpg.connect(on.dsn)
    try:
        found = [await _lost(on, connection, symbol, table) for symbol in on.venue.exchange.markets for table in QUOTES]
    finally:
        await connection.close()
    return sum(found)


async def _lost(on: Stage, connection: asyncpg.Connection, symbol: str, table: str) -> int:
    texts = _TEXT_COLUMNS.get(table, frozenset())
    sent_rows = (await on.ledger.ask("expected", symbol=symbol)).get(table, [])
    stored_rows = [tuple(row) for row in await connection.fetch(_SQL[table], "fmfw", symbol)]
    if table == "books":
        stored_rows = [_book(row) for row in stored_rows]
    sent = Counter(_exact(tuple(row), texts) for row in sent_rows)
    stored = Counter(_exact(row, texts) for row in stored_rows)
    assert sent, (symbol, table)
    assert not stored - sent, (symbol, table, "never sent", list(stored - sent)[:3])
    gaps = [
        Span(*row)
        for row in await connection.fetch(
            "select (extract(epoch from from_time) * 1000000)::bigint,"
            " (extract(epoch from coalesce(to_time, now())) * 1000000)::bigint"
            " from v_gaps where venue = 'fmfw' and symbol = $1 and stream = $2",
            symbol,
            table,
        )
    ]
    missing = sent - stored
    for row in missing:
        assert any(gap.holds(int(row[0])) for gap in gaps), (symbol, table, "lost outside of gaps", row, gaps)
    return missing.total()
