"""Knows from the journal which streams the configuration wants; coverage is measured against that.

If a venue does not answer, or lacks a symbol, its streams are missing from the time that they are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collector.model import Instrument, Records, Wanted

# A stream of an instrument.
Key = tuple[Instrument, str]

# Since when a stream of some symbols is wanted (nanoseconds by our clock), the stream, and the symbols.
Span = tuple[int, str, Sequence[str]]

MINUTE_US = 60_000_000
# Recording of these counts from the beginning of a minute: their past can be fetched, and only whole minutes can be
# audited.
WHOLE_MINUTE_STREAMS = frozenset({"trades", "candles"})


class WantedStreams:
    """Streams that are asked for now."""

    def __init__(self, known: Iterable[Wanted] = ()) -> None:
        self._since_us: dict[Key, int] = {}
        self._venues: set[str] = set()
        """Venues whose wanted streams are known; journals of older versions do not hold them."""
        for wanted in known:
            self._since_us[wanted.instrument, wanted.stream] = wanted.from_us
            self._venues.add(wanted.instrument.venue)

    def __repr__(self) -> str:
        return f"<WantedStreams {len(self._since_us)} of {sorted(self._venues)}>"

    def __contains__(self, key: Key) -> bool:
        """Whether a stream is asked for, or may be as far as is known."""
        return key in self._since_us or key[0].venue not in self._venues

    @property
    def venues(self) -> frozenset[str]:
        """Venues whose wanted streams are known."""
        return frozenset(self._venues)

    def ask(self, venue: str, spans: Iterable[Span], out: Records) -> list[tuple[Key, int]]:
        """Ask for these, too; return those that are new with the time in microseconds since when."""
        self._venues.add(venue)
        new = []
        for since_ns, stream, symbols in spans:
            since_us = since_ns // 1000
            if stream in WHOLE_MINUTE_STREAMS:
                since_us -= since_us % MINUTE_US
            for symbol in symbols:
                key = Instrument(venue, symbol), stream
                if key not in self._since_us:
                    self._since_us[key] = since_us
                    out.wanted.append(Wanted(*key, since_us, None))
                    new.append((key, since_us))
        return new

    def leave_only(self, venue: str, spans: Iterable[Span], now_us: int, out: Records) -> list[Key]:
        """Want only these streams of the venue; return those that are not wanted any more."""
        kept = {(Instrument(venue, symbol), stream) for _, stream, symbols in spans for symbol in symbols}
        gone = [key for key in self._since_us if key[0].venue == venue and key not in kept]
        for key in gone:
            since_us = self._since_us.pop(key)
            out.wanted.append(Wanted(*key, since_us, max(now_us, since_us)))
        return gone

    def fork(self) -> WantedStreams:
        copy = WantedStreams()
        copy._since_us, copy._venues = self._since_us.copy(), self._venues.copy()
        return copy
