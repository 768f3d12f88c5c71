"""Cuts a backfill into pieces: small enough to lose little when it is ended, large enough to need few calls.

All backfills are cut at the same times, so that one which overlaps an earlier one finds most of its pieces done. The
functions here are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from collector.model import PERIODS, Instrument
from collector.venues.adapter import Adapter, Venue, VenueSettings

# A job is cut into pieces of at least six hours: progress is stored after each.
CHUNK_MIN_US = 6 * 3_600_000_000

# From and until, in microseconds; the end is exclusive.
Span = tuple[int, int]


class Chunk(NamedTuple):
    """A piece of one stream of one instrument; `until_us` is exclusive."""

    instrument: Instrument
    stream: str
    from_us: int
    until_us: int


def detail(settings: VenueSettings, stream: str, symbol: str) -> str:
    """Return which part of a stream these settings fetch: a backfill of one-minute candles has not fetched hours."""
    if stream != "candles":
        return ""
    converted = getattr(settings, "converted", ())
    return ",".join([*settings.periods_of(symbol), *(f"converted:{currency}" for currency in converted)])


def cut(venue: Venue[Any], instruments: Iterable[Instrument], streams: Sequence[str], span: Span) -> list[Chunk]:
    """Cut a span into pieces: oldest first, and neighbours in the list of different instruments."""
    chunks = [
        Chunk(instrument, stream, from_us, until_us)
        for instrument in instruments
        for stream in streams
        for from_us, until_us in _grid(
            span, _length_us(venue.adapter, venue.settings.periods_of(instrument.symbol), stream)
        )
    ]
    return sorted(chunks, key=lambda chunk: (chunk.from_us, chunk.stream != "trades", chunk.instrument))


def undone(chunks: Iterable[Chunk], done: Mapping[tuple[str, str], Sequence[Span]]) -> list[Chunk]:
    """Return the pieces that are not within a span that is done; `done` is by symbol and stream."""
    return [
        chunk
        for chunk in chunks
        if not any(
            from_us <= chunk.from_us and until_us >= chunk.until_us
            for from_us, until_us in done.get((chunk.instrument.symbol, chunk.stream), ())
        )
    ]


def calls(venue: Venue[Any], chunk: Chunk, rows_per_second: float) -> int:
    """Return how many calls a piece takes at least; `rows_per_second` is the stream's rate, 0 where it is not known."""
    seconds = (chunk.until_us - chunk.from_us) / 1e6
    page = venue.adapter.history_page
    if chunk.stream == "candles":
        periods = venue.settings.periods_of(chunk.instrument.symbol)
        return sum(_pages(seconds / PERIODS[period], page) for period in periods) or 1
    return _pages(seconds * rows_per_second, page)


def _pages(items: float, page: int) -> int:
    return max(1, -(-int(items) // page))


def _length_us(adapter: Adapter[Any], periods: Sequence[str], stream: str) -> int:
    if stream != "candles":
        return CHUNK_MIN_US
    shortest = min((PERIODS[period] for period in periods), default=60)
    return max(CHUNK_MIN_US, adapter.history_page * shortest * 1_000_000)


def _grid(span: Span, length_us: int) -> Iterator[Span]:
    start, end = span
    while start < end:
        until = min(end, (start // length_us + 1) * length_us)
        yield start, until
        start = until
