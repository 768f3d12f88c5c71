"""The past of an instrument by REST: ticks forwards, candles backwards.

The generators only page; the answers are recorded by whoever drives them. A terminal may have to download what is
asked for: the venue answers 202 until then, which ends them as any failure that passes does. Calls have a quota of
their own, so that a limit of the past never holds back the present.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.kit.ordinals import Moment
from collector.venues.metaapi.discovery import Found, Known, choose, look_up, servers
from collector.venues.metaapi.hosts import Hosts, path
from collector.venues.metaapi.periods import MT4_PERIODS, MT5_PERIODS, venue_name
from collector.venues.metaapi.rest import candles_channel, ticks_channel
from collector.venues.metaapi.settings import MetaapiSettings
from collector.venues.metaapi.ticks import contents
from collector.venues.metaapi.values import iso, loads, time_us
from collector.venues.rest import History, RestAnswer, RestCall

PAGE = 1000
# What calls for the past are counted under.
QUOTA = "history"

R = TypeVar("R")
_Page = Generator[RestCall, RestAnswer, list[Any]]


def history(
    venue: str,
    settings: MetaapiSettings,
    instrument: Instrument,
    stream: str,
    from_us: int,
    to_us: int,
    known: Known | None = None,
) -> History:
    """Page through a stream's past, both ends included. VenueError for a stream of which the venue keeps no past.

    Each call costs credits: what was looked up stays in `known` until a call fails.
    """
    known = {} if known is None else known
    if stream not in ("trades", "ticks", "candles"):
        raise VenueError(venue, f"keeps no past of {stream}", symbol=instrument.symbol, permanent=True)
    one, symbol, base = yield from _account_of(venue, settings, instrument, known)
    if stream != "candles" and one.version < 5:
        raise VenueError(venue, "MetaTrader 4 keeps no past ticks", symbol=instrument.symbol, permanent=True)
    if stream == "ticks" and settings.ticks_of(one.settings) == "quotes":
        raise VenueError(venue, "keeps no past of quotes", symbol=instrument.symbol, permanent=True)
    pages = _Pages(venue, settings, instrument, f"{base}{path('users', 'current', 'accounts', one.id)}", symbol)
    try:
        if stream == "candles":
            for period in settings.candles_of(one.settings):
                if one.version >= 5 or period in MT4_PERIODS:
                    yield from pages.candles(period, from_us, to_us)
        else:
            yield from pages.ticks(stream, from_us, to_us)
    except VenueError as error:
        if error.permanent:  # as where the account has moved
            known.pop((venue, one.name), None)
        raise


def _account_of(
    venue: str, settings: MetaapiSettings, instrument: Instrument, known: Known
) -> Generator[RestCall, RestAnswer, tuple[Found, str, str]]:
    """Return the account that has an instrument, the broker's name of it, and where its past is served."""
    away = ""
    for name, account in settings.accounts.items():
        prefix = settings.prefix(name)
        symbol = instrument.symbol.removeprefix(prefix)
        if not instrument.symbol.startswith(prefix):
            continue
        if not prefix and len(settings.accounts) > 1:
            chosen, _ = choose(Found(name, account.id, "", 5, account), [symbol])
            if symbol not in chosen:
                continue
        then, one, base = known.get((venue, name), (None, None, ""))
        if one is not None and then == settings:
            return one, symbol, base
        found = yield from _of_the_past(look_up(venue, settings, name, account))
        if isinstance(found, str):
            away = f"account {name}: {found}"
            continue
        hostname, domain = yield from _of_the_past(servers(venue, settings))
        base = Hosts.of(settings, hostname, domain, found.region).market_data
        known[venue, name] = settings, found, base
        return found, symbol, base
    raise VenueError(venue, away or "no configured account has it", symbol=instrument.symbol, permanent=not away)


def _of_the_past(calls: Generator[RestCall, RestAnswer, R]) -> Generator[RestCall, RestAnswer, R]:
    """Count calls under the quota of the past."""
    try:
        call = next(calls)
        while True:
            try:
                answer = yield replace(call, quota=QUOTA)
            except VenueError as error:
                call = calls.throw(error)
            else:
                call = calls.send(answer)
    except StopIteration as done:
        found: R = done.value
        return found


class _Pages:
    """Asks for the pages of one symbol."""

    def __init__(
        self, venue: str, settings: MetaapiSettings, instrument: Instrument, account_url: str, symbol: str
    ) -> None:
        self._venue = venue
        self._settings = settings
        self._instrument = instrument
        self._base = f"{account_url}/historical-market-data{path('symbols', symbol)}"
        self._headers = {"auth-token": settings.token.get_secret_value()}

    def ticks(self, stream: str, from_us: int, to_us: int) -> History:
        start_ms, offset = from_us // 1000, 0
        moment = Moment(self._venue, self._instrument)
        channel = ticks_channel(stream, self._instrument.symbol)
        while True:
            params = {"startTime": iso(start_ms * 1000), "offset": str(offset), "limit": str(PAGE)}
            items = yield from self._page(channel, f"{self._base}/ticks", params, moment.notes)
            if not items:
                return
            times = [self._time_ms(item) for item in items]
            last_ms = max(times)
            if last_ms * 1000 > to_us or len(items) < PAGE:
                return
            # The last millisecond may go on, on the next page, which begins with its first tick: so each page can be
            # numbered by itself. Only where a millisecond fills pages, those that were taken of it are skipped.
            if min(times) < last_ms:
                offset = 0
                moment.end()
            else:
                offset = len(items) + (offset if last_ms == start_ms else 0)
                moment.fill(last_ms, contents(items))
            start_ms = last_ms

    def candles(self, period: str, from_us: int, to_us: int) -> History:
        grace_us = round(self._settings.grace_seconds * 1_000_000)
        channel = candles_channel(self._settings.candle_series, grace_us, self._instrument.symbol)
        url = f"{self._base}{path('timeframes', venue_name(period))}/candles"
        length_ms = MT5_PERIODS[period] * 1000
        start_ms, first_ms = to_us // 1000, None
        while True:
            limit = max(1, min(PAGE, (start_ms - from_us // 1000) // length_ms + 2))
            items = yield from self._page(channel, url, {"startTime": iso(start_ms * 1000), "limit": str(limit)})
            if not items:
                return
            oldest_ms = min(self._time_ms(item) for item in items)
            if oldest_ms * 1000 <= from_us or (first_ms is not None and oldest_ms >= first_ms):
                return
            if len(items) < limit and first_ms is not None:
                return
            first_ms = oldest_ms
            start_ms = oldest_ms - length_ms

    def _page(self, channel: str, url: str, params: Mapping[str, str], notes: Mapping[str, str] | None = None) -> _Page:
        answer = yield RestCall(channel, url, params, headers=self._headers, quota=QUOTA, notes=notes or {})
        try:
            items = loads(answer.body.decode()) if answer.body.strip() else None
        except (ValueError, RecursionError) as error:
            raise VenueError(self._venue, "a page of history is not JSON", symbol=self._instrument.symbol) from error
        if items is None:
            return []
        if type(items) is not list or not all(type(item) is dict for item in items):
            raise VenueError(self._venue, "a page of history is not a list", symbol=self._instrument.symbol)
        return items

    def _time_ms(self, item: Mapping[str, Any]) -> int:
        found = time_us(item.get("time"))
        if found is None:
            raise VenueError(self._venue, "a page of history has an item without time", symbol=self._instrument.symbol)
        return found // 1000
