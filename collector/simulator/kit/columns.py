"""The columns of the rows that a recorder of everything holds, in the words that all simulated venues share."""

from typing import Final

TRADES: Final = ["time_us", "price", "size", "side"]
TICKS: Final = ["time_us", "bid", "bid_size", "ask", "ask_size", "last", "volume"]
BOOKS: Final = ["time_us", "seq", "snapshot", "checksum"]
CANDLES: Final = ["time_us", "period", "series", "open", "high", "low", "close", "volume", "quote_volume"]
DERIVATIVES: Final = ["time_us", "mark_price", "index_price", "funding_rate", "open_interest"]
RATES: Final = ["time_us", "name", "value"]

# The columns by table, of a venue that has all tables.
COLUMNS: Final = {
    "trades": TRADES,
    "ticks": TICKS,
    "books": BOOKS,
    "candles": CANDLES,
    "derivatives": DERIVATIVES,
    "rates": RATES,
}
