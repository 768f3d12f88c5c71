"""Reads bars (the venue's word for candles), and decides when one is final.

Over REST, a bar is final if the call was made later than its end plus a grace period. When that was is taken from the
end of the interval that the call asked for: polling sets it to the venue's present time, as far as it is known. On the
socket, a later bar of the same frame closes the one before it. A bar that is equal to its last state is not an item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from collector.model import Candle, Instrument, Records
from collector.venues.finam.context import Context
from collector.venues.finam.periods import PERIOD_OF, length_seconds
from collector.venues.finam.values import BadValueError, decimal, mapping, moment_us, needed

STREAM = "candles"
# The series under which bars are stored: they are made of trades.
SERIES = "trade"

# How many of the newest bars of each symbol and frame are remembered, to recognise repeated and changed ones. Polling
# reads the last few bars again each time; an older bar that comes again is stored again, which changes nothing.
BARS_REMEMBERED_MAX = 16
# How far the venue's clock is believed to be ahead of ours. A call's end of interval beyond that does not make bars
# final that our clock says are still open; clocks that are kept in step by NTP differ by less than a second.
VENUE_CLOCK_AHEAD_MAX_US = 60_000_000


class Reached(NamedTuple):
    """How far the bars of one frame are known: the newest one's opening, and the oldest that is not final."""

    newest_us: int
    open_us: int | None


class CandleReader:
    """Reads the bars of a session."""

    __slots__ = ("_bars", "_context")

    def __init__(self, context: Context, bars: dict[tuple[str, str], dict[int, Candle]] | None = None) -> None:
        self._context = context
        self._bars = {} if bars is None else bars

    def fork(self, context: Context) -> Self:
        return type(self)(context, {key: bars.copy() for key, bars in self._bars.items()})

    def reached(self, symbol: str, frame: str) -> Reached | None:
        """Return how far the bars of a symbol and frame are known; None before the first."""
        bars = self._bars.get((symbol, frame))
        if not bars:
            return None
        return Reached(max(bars), min((start for start, bar in bars.items() if not bar.closed), default=None))

    def read(
        self,
        instrument: Instrument,
        frame: str,
        items: Sequence[Any],
        asked_us: int | None,
        payload: bytes,
        received_us: int,
        out: Records,
    ) -> int:
        """Read a list from REST. Returns how many bars were new or changed, and became rows.

        `asked_us` is the end of the interval that the call asked for, None where the journal does not have it.
        """
        bars = self._dated(instrument, frame, items, asked_us, payload, received_us, out)
        return self._keep(instrument, frame, bars, out)

    def read_history(
        self,
        instrument: Instrument,
        frame: str,
        items: Sequence[Any],
        asked_us: int | None,
        payload: bytes,
        received_us: int,
        out: Records,
    ) -> int:
        """Read a list of a call for history: every bar becomes a row, whatever this session knows already."""
        until_us = received_us if asked_us is None else min(asked_us, received_us)
        bars = self._dated(instrument, frame, items, until_us, payload, received_us, out)
        out.candles += bars
        out.items += len(bars)
        return len(bars)

    def _dated(
        self,
        instrument: Instrument,
        frame: str,
        items: Sequence[Any],
        asked_us: int | None,
        payload: bytes,
        received_us: int,
        out: Records,
    ) -> list[Candle]:
        """Read bars from REST, and mark as closed those that were final at the time of the call."""
        latest_us = received_us + VENUE_CLOCK_AHEAD_MAX_US
        now_us = received_us if asked_us is None else min(asked_us, latest_us)
        last_final_us = now_us - self._context.grace_us - length_seconds(frame) * 1_000_000
        bars = self._parsed(instrument, frame, items, payload, received_us, out)
        return [bar._replace(closed=True) if bar.time_us <= last_final_us else bar for bar in bars]

    def follow(
        self, instrument: Instrument, frame: str, items: Sequence[Any], payload: bytes, received_us: int, out: Records
    ) -> int:
        """Read a message of the socket. Returns how many bars were new or changed, and became rows."""
        message_bars = self._parsed(instrument, frame, items, payload, received_us, out)
        if not message_bars:
            return 0
        known_bars = self._bars.setdefault((instrument.symbol, frame), {})
        newest_us = max([*known_bars, *(bar.time_us for bar in message_bars)])
        # A newer bar of this message closes the open bars that are known so far.
        open_bars = [bar._replace(received_us=received_us) for bar in known_bars.values() if not bar.closed]
        bars = {bar.time_us: bar for bar in (*open_bars, *message_bars)}
        return self._keep(
            instrument,
            frame,
            [bar._replace(closed=True) if bar.time_us < newest_us else bar for bar in bars.values()],
            out,
        )

    def _keep(self, instrument: Instrument, frame: str, bars: Sequence[Candle], out: Records) -> int:
        """Store the bars that are new or changed, and remember them. Returns how many these were."""
        known_bars = self._bars.setdefault((instrument.symbol, frame), {})
        rows = 0
        for bar in sorted(bars, key=lambda bar: bar.time_us):
            known_bar = known_bars.get(bar.time_us)
            # A closed bar stays closed, whatever comes later.
            kept = bar if known_bar is None else bar._replace(closed=bar.closed or known_bar.closed)
            # All members but the last, which is our time of receipt.
            if known_bar is None or known_bar[:-1] != kept[:-1]:
                known_bars[bar.time_us] = kept
                out.candles.append(kept)
                rows += 1
        out.items += rows
        for start_us in sorted(known_bars)[:-BARS_REMEMBERED_MAX]:
            del known_bars[start_us]
        return rows

    def _parsed(
        self, instrument: Instrument, frame: str, items: Sequence[Any], payload: bytes, received_us: int, out: Records
    ) -> list[Candle]:
        bars = []
        for item in items:
            try:
                bars.append(_candle(instrument, PERIOD_OF[frame], mapping(item, "bar"), received_us))
            except BadValueError as error:
                self._context.reject(out, STREAM, f"{instrument.symbol}: {error}", payload, received_us)
        return bars


def _candle(instrument: Instrument, period: int, item: Mapping[str, Any], received_us: int) -> Candle:
    return Candle(
        instrument,
        moment_us(item),
        period,
        SERIES,
        needed(item, "open"),
        needed(item, "high"),
        needed(item, "low"),
        needed(item, "close"),
        decimal(item, "volume"),
        None,
        None,
        False,
        received_us,
    )
