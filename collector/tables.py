"""The tables of facts, each once: everybody who speaks of all of them takes them from here.

A table more is a record in `model`, a row here, its SQL, and how its rows are written out (`store/encode`).
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final, NamedTuple

from collector.model import Book, Candle, Derivative, News, Rate, Tick, Trade


class Table(NamedTuple):
    """A table, named like the stream that brings its rows.

    `own_key` are the fields that tell the rows of one instrument, or of one venue, apart.
    """

    name: str
    record: Any
    own_key: tuple[str, ...]
    of_instrument: bool = True

    @property
    def key(self) -> itemgetter[Any]:
        """What of a record makes it one row of the table."""
        fields = (("instrument" if self.of_instrument else "venue"), *self.own_key)
        return itemgetter(*map(self.record._fields.index, fields))


TABLES: Final = (
    Table("trades", Trade, ("time_us", "trade_key")),
    Table("ticks", Tick, ("time_us", "tick_key")),
    Table("books", Book, ("time_us", "seq", "snapshot")),
    Table("candles", Candle, ("time_us", "period", "series")),
    Table("derivatives", Derivative, ("time_us",)),
    Table("rates", Rate, ("time_us", "name"), of_instrument=False),
    Table("news", News, ("time_us", "news_key"), of_instrument=False),
)

NAMES: Final = tuple(table.name for table in TABLES)
OF_INSTRUMENTS: Final = tuple(table.name for table in TABLES if table.of_instrument)
# Their symbols are no instruments: a rate's name, a feed of news.
OF_VENUES: Final = tuple(table.name for table in TABLES if not table.of_instrument)
# Those that are made of a venue's frames on its markets.
STREAMS: Final = tuple(name for name in NAMES if name != "news")
