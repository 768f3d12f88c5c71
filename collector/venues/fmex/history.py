"""The past of a contract by REST, newest first: trades page by id, bars by opening.

The generators only page; the answers are recorded by whoever drives them. A page may hold fewer items than asked for,
since the venue's longest page is not known: paging ends with one that reaches back far enough, or with an empty one.
Then the venue has no more, for it keeps a recent time only, and what was asked for is not to be had.

A page of trades may end within a millisecond, so the next one is asked for by an id that lets it hold that millisecond
whole: each page can then be numbered by itself, whatever else is read at the same time, and whatever id a trade has
when it is listed again (see `collector.venues.kit.ordinals`).

Trades are asked for by id, and ids say nothing of time but that larger ones are newer. So a span that lies far back is
looked for first, with calls for one trade: in steps that double, then by halves.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from collector.errors import VenueError
from collector.model import LATEST_US, PERIODS, Instrument
from collector.venues.fmex.numbers import loads, whole
from collector.venues.fmex.rest import PREFIX
from collector.venues.fmex.settings import FmexSettings
from collector.venues.fmex.topics import period_code
from collector.venues.fmex.trades import contents
from collector.venues.fmex.values import millis_us, seconds_us
from collector.venues.kit.ordinals import Moment
from collector.venues.rest import History, RestAnswer, RestCall

PAGES_BEFORE_SEARCH = 3

_MINUTE_US = 60_000_000

_Page = Generator[RestCall, RestAnswer, list[Any]]


def history(
    venue: str, settings: FmexSettings, instrument: Instrument, stream: str, from_us: int, to_us: int
) -> History:
    """Page through a stream's past, both ends included. VenueError for a stream of which the venue keeps no past."""
    if stream == "trades":
        yield from _trades(venue, settings, instrument, from_us, to_us)
    elif stream == "candles":
        for period in settings.candles:
            yield from _candles(venue, settings, instrument, period, from_us, to_us)
    else:
        raise VenueError(venue, f"keeps no past of {stream}", symbol=instrument.symbol, permanent=True)


def minutes(venue: str, settings: FmexSettings, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
    """Ask for one-minute bars, a call for each instrument, as `Adapter.minutes` tells."""
    wanted = (to_us - from_us) // _MINUTE_US + 2  # and the bar before them, which tells that none is missing
    for instrument in instruments:
        yield from _candles(venue, settings, instrument, "1m", from_us, to_us, limit=min(wanted, settings.history_page))


def _trades(venue: str, settings: FmexSettings, instrument: Instrument, from_us: int, to_us: int) -> History:
    before: int | None = None
    moment = Moment(venue, instrument)
    pages = 0
    path = f"trades/{instrument.symbol}"
    while True:
        params = {} if before is None else {"before": str(before)}
        items = yield from _page(venue, settings, path, params, moment.notes)
        if not items:
            raise _at_an_end(venue, instrument, "trades")
        pages += 1
        ids = [_number(venue, instrument, item, "id") for item in items]
        times = [time for item in items if (time := millis_us(item.get("ts"))) is not None]
        if any(time < from_us for time in times):
            return
        before = _older(venue, instrument, items, moment, before)
        if pages == PAGES_BEFORE_SEARCH and all(time > to_us for time in times):
            before = yield from _search(venue, settings, instrument, to_us, before, max(ids) - min(ids))
            moment.end()


def _older(
    venue: str, instrument: Instrument, items: Sequence[Mapping[str, Any]], moment: Moment, before: int | None
) -> int:
    """Return the id before which the next page goes on: with the page's oldest millisecond, where it has another."""
    told = [(millis_us(item.get("ts")) or LATEST_US, _number(venue, instrument, item, "id"), item) for item in items]
    oldest_us = min(time for time, _, _ in told)
    oldest = [(number, item) for time, number, item in told if time == oldest_us]
    newer = [number for time, number, _ in told if time > oldest_us]
    if newer:
        edge = max(min(newer), 1 + max(number for number, _ in oldest))
        if before is None or edge < before:
            moment.end()
            return edge
    edge = _further(venue, instrument, min(number for _, number, _ in told), before)
    moment.fill(oldest_us, contents(item for _, item in oldest))
    return edge


def _search(
    venue: str, settings: FmexSettings, instrument: Instrument, to_us: int, high: int, width: int
) -> Generator[RestCall, RestAnswer, int]:
    """Return an id from which to page on: at or above all of the span's, and not much more than a page above."""
    path, low, step = f"trades/{instrument.symbol}", 0, max(width, 1)
    while high - low > 2 * max(width, 1):
        middle = max(high - step, (high + low) // 2)
        items = yield from _page(
            venue, settings, path, {"limit": "1", "before": str(middle)}, Moment(venue, instrument).notes
        )
        number = _number(venue, instrument, items[0], "id") if items else 0
        if items and (millis_us(items[0].get("ts")) or 0) > to_us:
            if number >= high:
                raise VenueError(venue, "pages of history do not go on", symbol=instrument.symbol)
            high, step = number, 2 * step
        else:
            low = middle
    return high


def _candles(
    venue: str,
    settings: FmexSettings,
    instrument: Instrument,
    period: str,
    from_us: int,
    to_us: int,
    limit: int | None = None,
) -> History:
    # The bar that holds the span's beginning opens up to one period before it; months have up to 31 days.
    first_us = from_us - (PERIODS[period] if period != "1mo" else 31 * 86_400) * 1_000_000
    before = to_us // 1_000_000 + 1
    size = {} if limit is None else {"limit": str(limit)}
    while True:
        path = f"candles/{period_code(period)}/{instrument.symbol}"
        items = yield from _page(venue, settings, path, {"before": str(before), **size})
        if not items:
            raise _at_an_end(venue, instrument, f"candles of {period}")
        oldest = min(_number(venue, instrument, item, "id") for item in items)
        oldest_us = seconds_us(str(oldest))
        if oldest_us is None or oldest_us <= first_us:
            return
        before = _further(venue, instrument, oldest, before)


def _page(
    venue: str, settings: FmexSettings, path: str, params: Mapping[str, str], notes: Mapping[str, str] | None = None
) -> _Page:
    answer = yield RestCall(
        f"{PREFIX}{path}",
        f"{settings.rest_url}/v2/market/{path}",
        {"limit": str(settings.history_page), **params},
        notes=notes or {},
    )
    try:
        items = loads(answer.body)["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise VenueError(venue, f"a page of {path} has no data: {error}") from error
    if type(items) is not list or not all(type(item) is dict for item in items):
        raise VenueError(venue, f"a page of {path} is not a list of objects")
    return items


def _number(venue: str, instrument: Instrument, item: Mapping[str, Any], name: str) -> int:
    number = whole(item.get(name))
    if number is None:
        raise VenueError(venue, f"a page of history has an item without {name}", symbol=instrument.symbol)
    return number


def _at_an_end(venue: str, instrument: Instrument, what: str) -> VenueError:
    return VenueError(venue, f"its {what} do not reach back so far", symbol=instrument.symbol, permanent=True)


def _further(venue: str, instrument: Instrument, oldest: int, before: int | None) -> int:
    if before is not None and oldest >= before:
        raise VenueError(venue, "pages of history do not go on", symbol=instrument.symbol)
    return oldest
