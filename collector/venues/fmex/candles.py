"""Candles, and when one of them is final.

The venue sends the running bar again and again, without a word when it is over. A bar is closed here when a later bar
of its series arrives, or when the venue's clock passes its end plus a grace; it is then written once more with
`closed`, which counts as an item of its own. The conversation asks for a bar that was closed once more (`req`), for its
exact values. Of two states of a bar the one with the larger `seq` is the later; an older one tells nothing new, and
what is known is written instead of it.

`volume` is `base_vol`, contracts of one USD; `quote_volume` is `quote_vol`, BTC. The venue's English page has the two
exchanged; its Chinese one and the clients agree on this. `trades` is `count`. Bars without trades exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from collector.model import PERIODS, Candle, Instrument, Records
from collector.venues.events import Event
from collector.venues.fmex.context import Context
from collector.venues.fmex.happenings import BarBegan
from collector.venues.fmex.numbers import signed, unsigned, whole
from collector.venues.fmex.topics import CANDLE, VENUE_PERIODS
from collector.venues.fmex.values import seconds_us
from collector.venues.kit import bars
from collector.venues.kit.bars import AHEAD_US
from collector.venues.kit.session import NEVER_US
from collector.venues.kit.values import shorten

STREAM = "candles"

REMEMBERED_BARS = 8
LARGEST_COUNT = 2**31 - 1

_PRICES = ("open", "high", "low", "close")
_VOLUMES = ("base_vol", "quote_vol")

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_MONTH = PERIODS["1mo"]
# Days, weeks and months of the venue begin at midnight in UTC+8.
_CHINA_US = 8 * _HOUR_US


def end_us(start_us: int, period: int) -> int:
    """Return when a bar is over. A month that does not begin with one in UTC+8 is taken for 31 days long."""
    if period == _MONTH and datetime.fromtimestamp((start_us + _CHINA_US) // 1_000_000, UTC).day != 1:
        return start_us + 31 * _DAY_US
    return bars.end_us(start_us, period, _CHINA_US)


class State(NamedTuple):
    """A bar as last told; `seq` -1 where the venue named none."""

    candle: Candle
    seq: int


class _Series:
    """The newest bars of one instrument, by opening."""

    __slots__ = ("bars", "due_us", "newest_us")

    def __init__(self) -> None:
        self.bars: dict[int, State] = {}
        self.newest_us = 0
        self.due_us = NEVER_US

    def fork(self) -> _Series:
        copy = _Series()
        copy.bars, copy.newest_us, copy.due_us = self.bars.copy(), self.newest_us, self.due_us
        return copy

    def keep(self, state: State) -> None:
        self.bars[state.candle.time_us] = state
        if len(self.bars) > REMEMBERED_BARS:
            del self.bars[min(self.bars)]


class CandleReader:
    """The topics `candle.*` of one period, and what `req candle.*` answers."""

    __slots__ = ("_channel", "_context", "_period", "_seen", "_series", "_variant")

    def __init__(self, context: Context, variant: str, series: dict[Instrument, _Series] | None = None) -> None:
        self._context = context
        self._variant = variant
        self._period = PERIODS[VENUE_PERIODS[variant]]
        self._channel = f"{CANDLE}.{variant}"
        self._seen = context.seen(self._channel)
        self._series = {} if series is None else series

    def fork(self, context: Context) -> CandleReader:
        series = {instrument: series.fork() for instrument, series in self._series.items()}
        return CandleReader(context, self._variant, series)

    def read(
        self, instrument: Instrument, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read a state of a bar."""
        received_us = received_ns // 1000
        state = read_candle(instrument, message, self._period, received_us)
        if isinstance(state, str):
            self._context.reject(out, STREAM, state, payload, received_us)
            return ()
        began = self._take(state, received_us, out)
        self._seen[instrument.symbol] = received_ns
        return (BarBegan(self._channel, instrument.symbol),) if began else ()

    def read_list(
        self, instrument: Instrument, items: Any, payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read the answer to a `req`: bars in whatever order, all but the newest of them final."""
        received_us = received_ns // 1000
        states = _read_list(self._context, instrument, items, self._period, payload, received_us, out)
        first = instrument not in self._series
        began = [self._take(state, received_us, out, final=state is not states[-1]) for state in states]
        return (BarBegan(self._channel, instrument.symbol),) if any(began) and not first else ()

    def close_due(self, received_us: int, out: Records) -> int:
        """Close every bar that is over by the venue's clock; return when, by ours, the next one will be."""
        now_us = self._context.venue_us(received_us)
        next_us = NEVER_US
        for series in self._series.values():
            if series.due_us <= now_us:
                self._close(series, received_us, out)
            next_us = min(next_us, series.due_us)
        return next_us - self._context.offset_us

    def _take(self, state: State, received_us: int, out: Records, *, final: bool = False) -> bool:
        """Take one state of a bar; tell whether a newer bar than the newest began with it."""
        candle, seq = state
        now_us = self._context.venue_us(received_us)
        out.items += 1
        if candle.time_us > now_us + AHEAD_US:
            out.candles.append(candle)
            return False
        series = self._series.get(candle.instrument)
        if series is None:
            series = self._series[candle.instrument] = _Series()
        known = series.bars.get(candle.time_us)
        closed = final or candle.time_us < series.newest_us or (known is not None and known.candle.closed)
        if known is not None and seq < known.seq:
            # An older state must not replace a newer one in the table: say again what is known.
            candle, seq = known.candle._replace(received_us=received_us), known.seq
        newest_us = series.newest_us
        if candle.time_us > newest_us:
            if series.due_us != NEVER_US:
                self._close(series, received_us, out)
            series.newest_us = candle.time_us
            series.due_us = end_us(candle.time_us, self._period) + self._context.grace_us
        if candle.time_us == series.newest_us:
            closed = closed or series.due_us <= now_us
            if closed:
                series.due_us = NEVER_US
            else:
                self._context.due_ns = min(self._context.due_ns, (series.due_us - self._context.offset_us) * 1000)
        candle = candle._replace(closed=closed)
        series.keep(State(candle, seq))
        out.candles.append(candle)
        return 0 < newest_us < candle.time_us

    def _close(self, series: _Series, received_us: int, out: Records) -> None:
        state = series.bars[series.newest_us]
        closed = state.candle._replace(closed=True, received_us=received_us)
        series.bars[series.newest_us] = state._replace(candle=closed)
        series.due_us = NEVER_US
        out.candles.append(closed)
        out.items += 1


def read_rest_candles(
    context: Context, instrument: Instrument, items: Any, period: int, body: bytes, received_us: int, out: Records
) -> None:
    """Read a REST list: all bars but the newest are final, that one by the clock."""
    states = _read_list(context, instrument, items, period, body, received_us, out)
    newest_us = states[-1].candle.time_us if states else 0
    now_us = context.venue_us(received_us)
    for candle, _ in states:
        over = candle.time_us < newest_us or end_us(candle.time_us, period) + context.grace_us <= now_us
        out.candles.append(candle._replace(closed=over))
    out.items += len(states)


def _read_list(
    context: Context, instrument: Instrument, items: Any, period: int, payload: bytes, received_us: int, out: Records
) -> list[State]:
    if type(items) is not list:
        context.reject(out, STREAM, f"{shorten(items)} is not a list of candles", payload, received_us)
        return []
    states = []
    for item in items:
        state = read_candle(instrument, item, period, received_us)
        if isinstance(state, str):
            context.reject(out, STREAM, state, payload, received_us)
        else:
            states.append(state)
    return sorted(states, key=lambda state: state.candle.time_us)


def read_candle(instrument: Instrument, item: Any, period: int, received_us: int) -> State | str:
    """Read one bar, not closed, or say what is wrong with it. Only an index can be below zero."""
    if type(item) is not dict:
        return f"{shorten(item)} is not a candle"
    time_us = seconds_us(item.get("id"))
    if time_us is None:
        return f"id: {shorten(item.get('id'))} is not a time in seconds between the years 2000 and 2100"
    of_index = instrument.symbol.startswith(".")
    number = signed if of_index else unsigned
    opening, high, low, close = (number(item.get(name)) for name in _PRICES)
    if opening is None or high is None or low is None or close is None:
        name = next(name for name in _PRICES if number(item.get(name)) is None)
        return f"{name}: {shorten(item.get(name))} is not a price"
    volume, quote_volume = (unsigned(item.get(name)) for name in _VOLUMES)
    for name, found in zip(_VOLUMES, (volume, quote_volume), strict=True):
        if found is None and item.get(name) is not None:
            return f"{name}: {shorten(item.get(name))} is not a number, zero or more"
    count, seq = whole(item.get("count")), whole(item.get("seq"))
    if (count is None and item.get("count") is not None) or (count or 0) > LARGEST_COUNT:
        return f"count: {shorten(item.get('count'))} is not a number of trades"
    if seq is None and item.get("seq") is not None:
        return f"seq: {shorten(item.get('seq'))} is not a sequence number"
    series = "index" if of_index else "trade"
    candle = Candle(
        instrument, time_us, period, series, opening, high, low, close, volume, quote_volume, count, False, received_us
    )
    return State(candle, -1 if seq is None else seq)
