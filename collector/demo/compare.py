"""Compares the tables with a simulated venue's ledger, item by item: the proof behind the demo and the tests.

The ledger speaks the tables' words (`GET /_sim/expected`), so nothing here knows a venue.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson

from collector.store.connection import connected
from collector.store.named import queries
from collector.tables import OF_VENUES

_SQL = queries("verify")
_EXAMPLES_MAX = 3
# For one answer of the simulator's ledger.
LEDGER_TIMEOUT_SECONDS = 60.0

Row = tuple[Any, ...]


class Verdict(NamedTuple):
    """One table against one venue's ledger. `missing` and `surplus` count rows; `examples` shows some of them."""

    venue: str
    table: str
    sent: int
    stored: int
    missing: int
    surplus: int
    examples: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return not self.missing and not self.surplus


class Ledger:
    """A simulated venue's doors that no real venue has."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"http://{parts.netloc}/_sim"
        self._http = http

    async def ask(self, path: str, **params: str) -> Any:
        """GET a door."""
        async with self._http.get(f"{self._base}/{path}", params=params) as response:
            response.raise_for_status()
            return orjson.loads(await response.read())

    async def tell(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST to a door."""
        async with self._http.post(f"{self._base}/{path}", data=orjson.dumps(body)) as response:
            response.raise_for_status()
            return orjson.loads(await response.read())

    async def pause(self) -> None:
        """Stop the market: what was sent until now is all there will be."""
        await self.tell("market", {"running": False})

    async def resume(self) -> None:
        await self.tell("market", {"running": True})


async def verify(dsn: str, venue: str, ledger: Ledger, tables: Iterable[str] | None = None) -> list[Verdict]:
    """Compare each table that the venue sent something for, or only `tables`."""
    wanted = None if tables is None else set(tables)
    overview = await ledger.ask("expected")
    sums: dict[str, Verdict] = {}
    async with connected(dsn) as connection:
        for symbol in overview["symbols"]:
            sent = await ledger.ask("expected", symbol=symbol)
            for table in overview["columns"]:
                if (wanted is not None and table not in wanted) or (table in OF_VENUES) != (symbol == ""):
                    continue
                rows = await connection.fetch(_SQL[table], venue, symbol)
                # What a history gave may be stored: whether it was asked for is the recorder's business.
                given = sent.get("given", {}).get(table, [])
                verdict = _compare(venue, table, symbol, sent.get(table, []), given, [tuple(row) for row in rows])
                sums[table] = _add(sums.get(table), verdict)
    return [verdict for verdict in sums.values() if verdict.sent or verdict.stored]


def _compare(
    venue: str, table: str, symbol: str, sent: Sequence[Row], given: Sequence[Row], stored: Sequence[Row]
) -> Verdict:
    prepare: Callable[[Row], Row] = _book if table == "books" else tuple
    texts = _TEXT_COLUMNS.get(table, frozenset())
    before = Counter(_exact(tuple(row), texts) for row in sent)
    after = Counter(_exact(prepare(row), texts) for row in stored)
    missing, surplus = before - after, after - before - Counter(_exact(tuple(row), texts) for row in given)
    examples = [f"{symbol}: sent and not stored: {_shown(row)}" for row in list(missing)[:_EXAMPLES_MAX]]
    examples += [f"{symbol}: stored and not sent: {_shown(row)}" for row in list(surplus)[:_EXAMPLES_MAX]]
    return Verdict(venue, table, len(sent), len(stored), missing.total(), surplus.total(), tuple(examples))


# Columns that hold texts and not numbers.
_TEXT_COLUMNS = {"candles": frozenset({2}), "rates": frozenset({1}), "news": frozenset({1, 2, 3})}


def _exact(row: Row, texts: frozenset[int]) -> Row:
    """Make numbers comparable: 9.00 and 9 are one value."""
    return tuple(
        value if value is None or isinstance(value, bool) or place in texts else Decimal(value).normalize()
        for place, value in enumerate(row)
    )


def _shown(row: Row) -> str:
    return "(" + ", ".join("-" if value is None else str(value) for value in row) + ")"


def _book(row: Row) -> Row:
    time_us, seq, snapshot, *sides = row
    ask_prices, ask_sizes, bid_prices, bid_sizes = sides
    asks = orjson.dumps(list(zip(ask_prices, ask_sizes, strict=True)))
    bids = orjson.dumps(list(zip(bid_prices, bid_sizes, strict=True)))
    return time_us, seq, snapshot, zlib.crc32(asks + bids)


def _add(one: Verdict | None, other: Verdict) -> Verdict:
    if one is None:
        return other
    return Verdict(
        one.venue,
        one.table,
        one.sent + other.sent,
        one.stored + other.stored,
        one.missing + other.missing,
        one.surplus + other.surplus,
        (one.examples + other.examples)[: _EXAMPLES_MAX * 2],
    )
