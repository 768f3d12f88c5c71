"""Everything market-like that was sent, in the tables' words: what a recorder can be compared with to the last row.

Socket and REST both count: a recorder reads history, too. (Tickers and books of REST do not: nobody records those.)
Each list holds one row for each thing told, however often it was told and to however many: trades by their index, books
by time, sequence and kind, bars in their last state, index values and states by time in the first one.

`injected` counts the bad frames that faults sent on purpose; they are in no list.
"""

from collections import Counter
from typing import Any, Final

from collector.simulator.fmex.bars import SECONDS
from collector.simulator.fmex.payloads import BarText, Sides, Ticker

# Rows of a table that are kept, so that a long run does not fill the memory.
_ROWS_MAX: Final = 2_000_000

Row = list[Any]


class Ledger:
    """What went out. Beyond two million rows of one kind the oldest are forgotten."""

    def __init__(self) -> None:
        self.trades: dict[str, dict[int, None]] = {}
        self.ticks: dict[str, dict[Any, Row]] = {}
        self.books: dict[str, dict[Any, Row]] = {}
        self.candles: dict[str, dict[Any, Row]] = {}
        self.derivatives: dict[str, dict[Any, Row]] = {}
        self.rates: dict[Any, Row] = {}
        self.frames: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Ledger {self.frames.total()} frames, {self.injected.total()} injected>"

    def trade(self, symbol: str, index: int) -> None:
        """The trade with this index went out."""
        _keep(self.trades.setdefault(symbol, {}), index, None)

    def tick(self, symbol: str, time_ms: int | None, seq: int, said: Ticker) -> None:
        """A ticker went out; without a time no row can be expected of it."""
        if time_ms is not None:
            last, _, bid, bid_size, ask, ask_size, *_, volume, _ = (number.plain for number in said.numbers)
            row = [time_ms * 1000, bid, bid_size, ask, ask_size, last, volume]
            _keep(self.ticks.setdefault(symbol, {}), (time_ms, seq), row)

    def book(self, symbol: str, time_ms: int, seq: int, said: Sides, *, snapshot: bool) -> None:
        """A whole book or a change went out."""
        row = [time_ms * 1000, seq, snapshot, said.checksum]
        _keep(self.books.setdefault(symbol, {}), (time_ms, seq, snapshot), row)

    def candle(self, symbol: str, period: str, start_ms: int, said: BarText) -> None:
        """A state of a bar went out."""
        row = [start_ms * 1000, SECONDS[period], "trade", *said.numbers]
        _keep(self.candles.setdefault(symbol, {}), (period, start_ms), row)

    def derivative(self, symbol: str, time_ms: int, values: Row) -> None:
        """The state of a contract went out."""
        self.derivatives.setdefault(symbol, {}).setdefault(time_ms, [time_ms * 1000, *values])

    def rate(self, name: str, time_ms: int, value: str) -> None:
        """A value of the venue went out."""
        self.rates.setdefault((name, time_ms), [time_ms * 1000, name, value])

    def summary(self) -> dict[str, Any]:
        """Count everything."""
        tables = ("trades", "ticks", "books", "candles", "derivatives")
        rows = {table: {symbol: len(held) for symbol, held in getattr(self, table).items()} for table in tables}
        return {"rows": rows, "rates": len(self.rates), "frames": dict(self.frames), "injected": dict(self.injected)}


def _keep(held: dict[Any, Any], key: Any, row: Any) -> None:
    held[key] = row
    if len(held) > _ROWS_MAX:
        del held[next(iter(held))]
