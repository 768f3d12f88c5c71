"""The past of an instrument by REST, paged by time; trades by id where a millisecond fills a page.

The generators only page; the answers are recorded by whoever drives them. Both ends of a request's span are included,
so an answer repeats what the one before ended with: the rows' keys take care of that.

A page of trades may end within a millisecond, so the next one begins with that millisecond's first trade: each page can
then be numbered by itself, whatever else is read at the same time (see `collector.venues.kit.ordinals`).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from collector.errors import VenueError
from collector.model import PERIODS, Instrument
from collector.venues.fmfw.channels import period_code
from collector.venues.fmfw.rest import PREFIX
from collector.venues.fmfw.settings import FmfwSettings
from collector.venues.fmfw.trades import contents
from collector.venues.fmfw.values import moment_us, trade_number
from collector.venues.kit.bars import end_us
from collector.venues.kit.ordinals import Moment
from collector.venues.rest import History, RestAnswer, RestCall

PAGE = 1000

# Asked for in one call at the most: their names stand in its address.
SYMBOLS_AT_ONCE = 100

_LONGEST_MONTH_US = 31 * 86_400_000_000

_Page = Generator[RestCall, RestAnswer, list[Any]]


def history(
    venue: str, settings: FmfwSettings, instrument: Instrument, stream: str, from_us: int, to_us: int
) -> History:
    """Page through a stream's past, both ends included. VenueError for a stream of which the venue keeps no past."""
    if stream == "trades":
        yield from _trades(venue, settings, instrument, from_us, to_us)
    elif stream == "candles":
        for period in settings.candles:
            yield from _candles(venue, settings, instrument, "candles", {}, period, from_us, to_us)
            for target in settings.converted:
                extra = {"target_currency": target}
                yield from _candles(venue, settings, instrument, "converted/candles", extra, period, from_us, to_us)
    elif stream == "derivatives":
        yield from _fundings(venue, settings, instrument, from_us, to_us)
    else:
        raise VenueError(venue, f"keeps no past of {stream}", symbol=instrument.symbol, permanent=True)


def minutes(venue: str, settings: FmfwSettings, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
    """Ask for one-minute bars; of several instruments with one call, as `Adapter.minutes` tells."""
    if len(instruments) == 1:
        yield from _candles(venue, settings, instruments[0], "candles", {}, "1m", from_us, to_us)
        return
    params = {"period": period_code("1m"), "from": iso(from_us), "till": iso(to_us)}
    answer = yield _call(settings, "candles", [one.symbol for one in instruments], params)
    _keyed(venue, "candles", answer)


def _trades(venue: str, settings: FmfwSettings, instrument: Instrument, from_us: int, to_us: int) -> History:
    params = {"by": "timestamp", "from": iso(from_us), "till": iso(to_us)}
    moment = Moment(venue, instrument)
    last_id, last_ms = -1, -1
    while True:
        items = yield from _page(venue, settings, instrument, "trades", params, moment.notes)
        if len(items) < PAGE:
            return
        times_ms = [_time(venue, instrument, item) // 1000 for item in items]
        newest_ms = max(times_ms)
        if newest_ms * 1000 > to_us:
            return
        if min(times_ms) < newest_ms and newest_ms > last_ms:
            params = {"by": "timestamp", "from": iso(newest_ms * 1000), "till": iso(to_us)}
            moment.end()
        else:
            newest_id = max(-1 if (number := trade_number(item.get("id"))) is None else number for item in items)
            if newest_id <= last_id or newest_ms < last_ms:
                raise VenueError(venue, "pages of trades do not go on", symbol=instrument.symbol)
            params = {"by": "id", "from": str(newest_id + 1)}
            moment.fill(newest_ms, contents(item for item, ms in zip(items, times_ms, strict=True) if ms == newest_ms))
            last_id = newest_id
        last_ms = newest_ms


def _candles(
    venue: str,
    settings: FmfwSettings,
    instrument: Instrument,
    path: str,
    extra: Mapping[str, str],
    period: str,
    from_us: int,
    to_us: int,
) -> History:
    seconds = PERIODS[period]
    next_us = _bar_before(from_us, period)
    while next_us <= to_us:
        params = {"period": period_code(period), "from": iso(next_us), "till": iso(to_us), **extra}
        items = yield from _page(venue, settings, instrument, path, params)
        if len(items) < PAGE:
            return
        # Bars without trades do not exist, so a full page may span any time: only its last bar tells where to go on.
        after_us = end_us(max(_time(venue, instrument, item) for item in items), seconds)
        if after_us <= next_us:
            raise VenueError(venue, f"pages of {path} do not go on", symbol=instrument.symbol)
        next_us = after_us


def _fundings(venue: str, settings: FmfwSettings, instrument: Instrument, from_us: int, to_us: int) -> History:
    next_us = from_us
    while next_us <= to_us:
        params = {"from": iso(next_us), "till": iso(to_us)}
        items = yield from _page(venue, settings, instrument, "futures/history/funding", params)
        if len(items) < PAGE:
            return
        next_us = max(next_us, *(_time(venue, instrument, item) for item in items)) + 1000


def _page(
    venue: str,
    settings: FmfwSettings,
    instrument: Instrument,
    path: str,
    params: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
) -> _Page:
    symbol = instrument.symbol
    answer = yield _call(settings, path, [symbol], params, notes)
    items = _keyed(venue, path, answer, symbol).get(symbol, [])
    if type(items) is not list or not all(type(item) is dict for item in items):
        raise VenueError(venue, f"a page of {path} is not a list of objects", symbol=symbol)
    return items


def _call(
    settings: FmfwSettings,
    path: str,
    symbols: Sequence[str],
    params: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
) -> RestCall:
    # The form keyed by symbol, because then an answer says for itself whose it is.
    return RestCall(
        f"{PREFIX}{path}",
        f"{settings.rest_url}/public/{path}",
        {"symbols": ",".join(symbols), "sort": "ASC", "limit": str(PAGE), **params},
        notes=notes or {},
    )


def _keyed(venue: str, path: str, answer: RestAnswer, symbol: str | None = None) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.body)
        if path == "converted/candles":
            content = content["data"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise VenueError(venue, f"a page of {path} is not keyed by symbol: {error}", symbol=symbol) from error
    if type(content) is not dict:
        raise VenueError(venue, f"a page of {path} is not keyed by symbol", symbol=symbol)
    return content


def _time(venue: str, instrument: Instrument, item: Mapping[str, Any]) -> int:
    time_us = moment_us(item.get("timestamp"))
    if time_us is None:
        raise VenueError(venue, "a page of history has an item without time", symbol=instrument.symbol)
    return time_us


def _bar_before(time_us: int, period: str) -> int:
    """Return a time at or before the opening of the bar that holds `time_us`, and less than one bar before it."""
    if period == "1mo":
        return time_us - _LONGEST_MONTH_US
    length_us = PERIODS[period] * 1_000_000
    return time_us - length_us if period == "1w" else time_us - time_us % length_us


def iso(time_us: int) -> str:
    """Write a time as the venue reads it, the rest below the millisecond cut."""
    whole = datetime.fromtimestamp(time_us // 1_000_000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{time_us % 1_000_000 // 1000:03d}Z"
