"""Fetches an instrument's history over REST: ticks forwards in time, candles backwards.

The generators yield calls and read the answers only as far as paging needs; whoever drives them journals the answers.
The terminal may first have to download what is asked for: the venue then answers 202, which ends the generator with a
temporary `VenueError`. All calls count under the quota `HISTORY_QUOTA`, so that they never delay those for live data.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.kit.ordinals import Moment
from collector.venues.metaapi.discovery import KnownAccounts, LocatedAccount, choose, look_up, servers
from collector.venues.metaapi.hosts import Hosts, path
from collector.venues.metaapi.periods import MT4_PERIODS, MT5_PERIODS, venue_name
from collector.venues.metaapi.rest import candles_channel, ticks_channel
from collector.venues.metaapi.settings import MetaapiSettings
from collector.venues.metaapi.ticks import contents
from collector.venues.metaapi.values import iso, loads, time_us
from collector.venues.rest import History, RestAnswer, RestCall

# The most items that the venue gives in one answer (vendor's documentation, "Historical market data": `limit`).
PAGE_MAX_ITEMS = 1000
# The name of the quota under which calls for history count.
HISTORY_QUOTA = "history"

R = TypeVar("R")
_Page = Generator[RestCall, RestAnswer, list[Any]]


def history(
    venue: str,
    settings: MetaapiSettings,
    instrument: Instrument,
    stream: str,
    from_us: int,
    to_us: int,
    known: KnownAccounts | None = None,
) -> History:
    """Page through a stream's history, both ends included. Raises `VenueError` where the venue keeps none of it.

    The account is looked up once and kept in `known`, since each call costs credits, until a call fails for good.
    """
    known = {} if known is None else known
    if stream not in ("trades", "ticks", "candles"):
        raise VenueError(venue, f"keeps no past of {stream}", symbol=instrument.symbol, permanent=True)
    account, symbol, base = yield from _account_of(venue, settings, instrument, known)
    if stream != "candles" and account.version < 5:
        raise VenueError(venue, "MetaTrader 4 keeps no past ticks", symbol=instrument.symbol, permanent=True)
    if stream == "ticks" and settings.ticks_of(account.settings) == "quotes":
        raise VenueError(venue, "keeps no past of quotes", symbol=instrument.symbol, permanent=True)
    pages = _Pages(venue, settings, instrument, f"{base}{path('users', 'current', 'accounts', account.id)}", symbol)
    try:
        if stream == "candles":
            for period in settings.candles_of(account.settings):
                if account.version >= 5 or period in MT4_PERIODS:
                    yield from pages.candles(period, from_us, to_us)
        else:
            yield from pages.ticks(stream, from_us, to_us)
    except VenueError as error:
        if error.permanent:  # the account may have moved to another region: look it up next time
            known.pop((venue, account.name), None)
        raise


def _account_of(
    venue: str, settings: MetaapiSettings, instrument: Instrument, known: KnownAccounts
) -> Generator[RestCall, RestAnswer, tuple[LocatedAccount, str, str]]:
    """Return the account that has an instrument, the broker's name of it, and the address that serves its history."""
    unavailable = ""
    for name, account in settings.accounts.items():
        prefix = settings.prefix(name)
        symbol = instrument.symbol.removeprefix(prefix)
        if not instrument.symbol.startswith(prefix):
            continue
        if not prefix and len(settings.accounts) > 1:
            chosen, _ = choose(LocatedAccount(name, account.id, "", 5, account), [symbol])
            if symbol not in chosen:
                continue
        settings_then, known_account, base = known.get((venue, name), (None, None, ""))
        if known_account is not None and settings_then == settings:
            return known_account, symbol, base
        located = yield from _under_history_quota(look_up(venue, settings, name, account))
        if isinstance(located, str):
            unavailable = f"account {name}: {located}"
            continue
        hostname, domain = yield from _under_history_quota(servers(venue, settings))
        base = Hosts.of_region(settings, hostname, domain, located.region).market_data
        known[venue, name] = settings, located, base
        return located, symbol, base
    reason = unavailable or "no configured account has it"
    raise VenueError(venue, reason, symbol=instrument.symbol, permanent=not unavailable)


def _under_history_quota(calls: Generator[RestCall, RestAnswer, R]) -> Generator[RestCall, RestAnswer, R]:
    """Drive `calls`, with each call counted under the quota of history."""
    try:
        call = next(calls)
        while True:
            try:
                answer = yield replace(call, quota=HISTORY_QUOTA)
            except VenueError as error:
                call = calls.throw(error)
            else:
                call = calls.send(answer)
    except StopIteration as done:
        result: R = done.value
        return result


class _Pages:
    """Pages through the history of one symbol. `account_url` is the account's address at the service for history."""

    def __init__(
        self, venue: str, settings: MetaapiSettings, instrument: Instrument, account_url: str, symbol: str
    ) -> None:
        self._venue = venue
        self._settings = settings
        self._instrument = instrument
        self._base = f"{account_url}/historical-market-data{path('symbols', symbol)}"
        self._headers = {"auth-token": settings.token.get_secret_value()}

    def ticks(self, stream: str, from_us: int, to_us: int) -> History:
        """Page forwards. `stream` is `ticks` or `trades`: which rows are made of the ticks."""
        start_ms, offset = from_us // 1000, 0
        moment = Moment(self._venue, self._instrument)
        channel = ticks_channel(stream, self._instrument.symbol)
        while True:
            params = {"startTime": iso(start_ms * 1000), "offset": str(offset), "limit": str(PAGE_MAX_ITEMS)}
            items = yield from self._page(channel, f"{self._base}/ticks", params, moment.notes)
            if not items:
                return
            times = [self._time_ms(item) for item in items]
            last_ms = max(times)
            if last_ms * 1000 > to_us or len(items) < PAGE_MAX_ITEMS:
                return
            # Ticks of the last millisecond may continue on the next page. That page therefore starts again with the
            # first tick of this millisecond, so that equal ticks can be counted within each page alone. Only where one
            # millisecond fills whole pages, the ticks that were taken of it are skipped by `offset`.
            if min(times) < last_ms:
                offset = 0
                moment.end()
            else:
                offset = len(items) + (offset if last_ms == start_ms else 0)
                moment.fill(last_ms, contents(items))
            start_ms = last_ms

    def candles(self, period: str, from_us: int, to_us: int) -> History:
        """Page backwards, since the venue's `startTime` is the latest candle of a page."""
        grace_us = round(self._settings.grace_seconds * 1_000_000)
        channel = candles_channel(self._settings.candle_series, grace_us, self._instrument.symbol)
        url = f"{self._base}{path('timeframes', venue_name(period))}/candles"
        length_ms = MT5_PERIODS[period] * 1000
        start_ms, first_ms = to_us // 1000, None
        while True:
            # As many as the span can hold, and one more on each side for bars that only overlap it.
            limit = max(1, min(PAGE_MAX_ITEMS, (start_ms - from_us // 1000) // length_ms + 2))
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
        answer = yield RestCall(channel, url, params, headers=self._headers, quota=HISTORY_QUOTA, notes=notes or {})
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
        at_us = time_us(item.get("time"))
        if at_us is None:
            raise VenueError(self._venue, "a page of history has an item without time", symbol=self._instrument.symbol)
        return at_us // 1000
