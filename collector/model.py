"""The records that the tables hold, and the keys that make each of them one row however often it comes.

Nothing here touches a socket, a clock or a database, and nothing of the package is imported.

Conventions, valid for every record:

* Prices, sizes and rates are **text**: the venue's own digits, checked by `decimal_text`. They become `numeric` in
  the database and are never a float on the way.
* Times are integers in **microseconds** since 1970-01-01 UTC and say so in their name. `time_us` is the venue's clock,
  `received_us` ours; neither stands in for the other.
* `None` means that the venue did not say.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

import xxhash

# Decimals as venues send them; the bounds keep a hostile one from filling the memory.
DECIMAL = re.compile(r"-?[0-9]{1,1000}(?:\.[0-9]{1,1000})?", re.ASCII)
UNSIGNED = re.compile(r"[0-9]{1,1000}(?:\.[0-9]{1,1000})?", re.ASCII)

EARLIEST_US = 946_684_800_000_000  # 2000-01-01: no venue is older
LATEST_US = 4_102_444_800_000_000  # 2100-01-01: what lies beyond is a venue's mistake

# Our names of candle periods and their number in the tables: seconds, but for months and quarters, whose numbers (30
# and 90 days) are codes: such candles open where the calendar says.
PERIODS = {
    "1m": 60,
    "2m": 120,
    "3m": 180,
    "4m": 240,
    "5m": 300,
    "6m": 360,
    "10m": 600,
    "12m": 720,
    "15m": 900,
    "20m": 1200,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "3h": 10800,
    "4h": 14400,
    "6h": 21600,
    "8h": 28800,
    "12h": 43200,
    "1d": 86400,
    "1w": 604800,
    "1mo": 2_592_000,
    "1q": 7_776_000,
}


class Position(NamedTuple):
    """A place between two records; positions of one journal are totally ordered."""

    segment: int
    offset: int
    """Of the next byte, from the start of the (uncompressed) segment file."""


# Before the first record there ever was.
BEGINNING: Final = Position(0, 0)


class Instrument(NamedTuple):
    """A symbol at a venue; `symbol` is the venue's own spelling."""

    venue: str
    symbol: str


class Trade(NamedTuple):
    """One execution. `side` is the aggressor's: 1 buyer, -1 seller, None unknown."""

    instrument: Instrument
    time_us: int
    trade_key: int
    trade_id: str | None
    price: str
    size: str
    side: int | None
    received_us: int


class Tick(NamedTuple):
    """Best bid and ask and/or the last price at a moment, as the venue's ticker or top of book tells them."""

    instrument: Instrument
    time_us: int
    tick_key: int
    bid: str | None
    bid_size: str | None
    ask: str | None
    ask_size: str | None
    last: str | None
    last_size: str | None
    volume: str | None
    received_us: int


class Book(NamedTuple):
    """A whole book (`snapshot`) or the changed levels of one; size 0 removes a level.

    The four lists are comma-joined decimals, price n belonging to size n; the empty text is the empty list.
    """

    instrument: Instrument
    time_us: int
    seq: int
    snapshot: bool
    bid_prices: str
    bid_sizes: str
    ask_prices: str
    ask_sizes: str
    received_us: int


class Candle(NamedTuple):
    """An OHLCV bar. `time_us`: its opening; `period`: see `PERIODS`; `closed` only when the venue's rules say final."""

    instrument: Instrument
    time_us: int
    period: int
    series: str
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    quote_volume: str | None
    trades: int | None
    closed: bool
    received_us: int


class Derivative(NamedTuple):
    """The state of a future or perpetual: mark and index price, funding, open interest."""

    instrument: Instrument
    time_us: int
    mark_price: str | None
    index_price: str | None
    funding_rate: str | None
    next_funding_us: int | None
    indicative_funding_rate: str | None
    premium_index: str | None
    avg_premium_index: str | None
    interest_rate: str | None
    open_interest: str | None
    settlement_price: str | None
    expiry_us: int | None
    received_us: int


class Rate(NamedTuple):
    """A value that belongs to a venue and not to an instrument: an index, a price rate, an exchange rate."""

    venue: str
    time_us: int
    name: str
    value: str
    received_us: int


class News(NamedTuple):
    """A headline of a venue's feed. `news_key` is made of `source` and the item's own identity in that feed."""

    venue: str
    time_us: int
    news_key: int
    source: str
    title: str
    link: str | None
    received_us: int


class InstrumentSpec(NamedTuple):
    """What a venue says of an instrument. `details` is the venue's own object as JSON text.

    `expiry_us`: None where it never expires or the venue does not say; `name`: for people, where the venue has one.
    """

    instrument: Instrument
    base: str | None
    quote: str | None
    kind: str
    price_step: str | None
    size_step: str | None
    status: str
    details: str
    received_us: int
    expiry_us: int | None = None
    name: str | None = None


class Gap(NamedTuple):
    """A span of a stream that was not recorded. `to_us`: None while it lasts; `cause`: its kind; `reason`: details."""

    instrument: Instrument
    stream: str
    from_us: int
    to_us: int | None
    from_seq: int | None
    to_seq: int | None
    cause: str
    reason: str | None = None


class GapState(StrEnum):
    """What has become of a gap; the values are those of `gaps.state`."""

    OPEN = "open"
    REPAIRED = "repaired"
    UNRECOVERABLE = "unrecoverable"


class GapOutcome(NamedTuple):
    """What became of the gap of this instrument, stream, start and cause.

    `reason` is the whole of it, of the gap and of its outcome; `rows` is how many a repair found.
    """

    instrument: Instrument
    stream: str
    from_us: int
    cause: str
    state: GapState
    reason: str | None
    rows: int | None
    filled_us: int | None


class Wanted(NamedTuple):
    """A stream of an instrument that the configuration asks for since `from_us`. `to_us`: None while it does."""

    instrument: Instrument
    stream: str
    from_us: int
    to_us: int | None


class Quarantined(NamedTuple):
    """A frame, or some items of one, that could not be understood; `payload` is the frame as it came."""

    venue: str
    stream: str | None
    error: str
    payload: bytes
    items: int
    received_us: int


class Session(NamedTuple):
    """One connection of one worker, as it opens (`closed_us` None) and again as it closes."""

    session_id: int
    venue: str
    worker: str
    url: str
    opened_us: int
    closed_us: int | None
    reason: str | None
    frames: int
    details: str = "{}"
    """What else is known of it, as the text of a JSON object: `subscriptions` lists [channel, stream, symbols]."""


class Records:
    """What the parsers made of some frames: one list a kind, in order of arrival.

    `items` counts what the frames held, so that always `items == rows + quarantined items`, where rows are those of
    the seven tables of facts (`trades` to `rates`, and `news`; specs, gaps and sessions are not items).
    """

    __slots__ = (
        "books",
        "candles",
        "derivatives",
        "gaps",
        "instruments",
        "items",
        "news",
        "outcomes",
        "quarantine",
        "rates",
        "sessions",
        "ticks",
        "trades",
        "wanted",
    )

    def __init__(self) -> None:
        self.trades: list[Trade] = []
        self.ticks: list[Tick] = []
        self.books: list[Book] = []
        self.candles: list[Candle] = []
        self.derivatives: list[Derivative] = []
        self.rates: list[Rate] = []
        self.news: list[News] = []
        self.instruments: list[InstrumentSpec] = []
        self.gaps: list[Gap] = []
        self.outcomes: list[GapOutcome] = []
        self.sessions: list[Session] = []
        self.wanted: list[Wanted] = []
        self.quarantine: list[Quarantined] = []
        self.items = 0

    @property
    def rows(self) -> int:
        """Rows of facts in here."""
        return (
            len(self.trades)
            + len(self.ticks)
            + len(self.books)
            + len(self.candles)
            + len(self.derivatives)
            + len(self.rates)
            + len(self.news)
        )

    def __bool__(self) -> bool:
        return bool(
            self.items
            or self.instruments
            or self.gaps
            or self.outcomes
            or self.sessions
            or self.wanted
            or self.quarantine
        )

    def __repr__(self) -> str:
        held = ", ".join(
            f"{name}={len(getattr(self, name))}"
            for name in (
                "trades",
                "ticks",
                "books",
                "candles",
                "derivatives",
                "rates",
                "news",
                "instruments",
                "gaps",
                "quarantine",
            )
            if getattr(self, name)
        )
        return f"<Records items={self.items} {held}>"


def content_key(text: str) -> int:
    """A signed 64-bit key made of what a record says; the same text gives the same key on every machine, for ever."""
    key = xxhash.xxh3_64_intdigest(text.encode())
    return key - 0x1_0000_0000_0000_0000 if key >= 0x8000_0000_0000_0000 else key


def plain(decimal: str) -> str:
    """The decimal without trailing zeros, so that `9.00` and `9` make the same key. Not for exponent forms."""
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal
