"""What was answered and sent: the rows that a recorder of all of it must hold.

Each distinct answer counts once, for a recorder keeps one row of equal ones; of a bar the last word counts.
"""

from typing import Any, Final

from collector.simulator.finam.bars import Bar
from collector.simulator.finam.instruments import Instrument
from collector.simulator.finam.market import Trade
from collector.simulator.finam.news import Headline
from collector.simulator.finam.payloads import Row, bar_row, trade_row
from collector.simulator.kit import columns as kit

# The periods that the tables have for the frames, in seconds.
FRAME_SECONDS: Final = {
    "TIME_FRAME_M1": 60,
    "TIME_FRAME_M5": 300,
    "TIME_FRAME_M15": 900,
    "TIME_FRAME_M30": 1800,
    "TIME_FRAME_H1": 3600,
    "TIME_FRAME_H2": 7200,
    "TIME_FRAME_H4": 14400,
    "TIME_FRAME_H8": 28800,
    "TIME_FRAME_D": 86400,
    "TIME_FRAME_W": 604800,
    "TIME_FRAME_MN": 2_592_000,
    "TIME_FRAME_QR": 7_776_000,
}

COLUMNS: Final = {
    "trades": kit.TRADES,
    "ticks": kit.TICKS,
    "candles": kit.CANDLES,
    "books": ["time_us", "seq", "snapshot", "levels"],
    "news": ["time_us", "source", "title", "link"],
}


class Ledger:
    """The rows, by symbol."""

    def __init__(self) -> None:
        self.trades: dict[str, dict[int, Row]] = {}
        self.ticks: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.books: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.bars: dict[str, dict[tuple[int, int], Row]] = {}
        self.news: dict[tuple[str, Headline], Row] = {}

    def __repr__(self) -> str:
        return f"<Ledger {sum(map(len, self.trades.values()))} trades>"

    def trade(self, one: Instrument, what: Trade) -> None:
        known = self.trades.setdefault(one.symbol, {})
        if what.id not in known:
            known[what.id] = trade_row(one, what)

    def tick(self, symbol: str, row: Row) -> None:
        self.ticks.setdefault(symbol, {})[tuple(row)] = row

    def book(self, symbol: str, row: Row) -> None:
        self.books.setdefault(symbol, {})[tuple(row[:3])] = row

    def bar(self, one: Instrument, frame: str, what: Bar) -> None:
        period = FRAME_SECONDS[frame]
        self.bars.setdefault(one.symbol, {})[what.start_us, period] = bar_row(one, what, period)

    def headline(self, source: str, one: Headline) -> None:
        self.news[source, one] = [one.time_us, source, one.title, one.link]

    def rows(self, symbol: str) -> dict[str, list[Row]]:
        """Give all rows of one symbol, by table; those of the venue itself for the empty one."""
        if not symbol:
            return {"news": list(self.news.values())}
        tables: dict[str, dict[Any, Row]] = {
            "trades": self.trades.get(symbol, {}),
            "ticks": self.ticks.get(symbol, {}),
            "books": self.books.get(symbol, {}),
            "candles": self.bars.get(symbol, {}),
        }
        return {table: list(rows.values()) for table, rows in tables.items() if rows}
