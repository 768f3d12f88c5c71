"""Fetches an instrument's history over REST: bars of any time, trades only as far back as the list of latest trades.

The generators yield calls and read the answers only as far as paging needs; whoever drives them journals the answers.
The calls have quotas of their own, so that history never takes calls from live data.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import orjson

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.finam import requests
from collector.venues.finam.discovery import log_in
from collector.venues.finam.failures import is_unauthorised
from collector.venues.finam.hours import MINUTE_US
from collector.venues.finam.periods import EMPTY_ANSWER_RETRIES_MAX, FRAMES, length_seconds, span_seconds
from collector.venues.finam.shared import SharedState
from collector.venues.finam.values import time_us
from collector.venues.rest import History, RestAnswer, RestCall

# The most bars that one call gives: one-minute bars of `span_seconds`, six days.
BARS_PER_CALL_MAX = 8640

_AnsweredCall = Generator[RestCall, RestAnswer, RestAnswer]


def history(shared: SharedState, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
    """Page through a stream's history, both ends included. Raises `VenueError` where the venue keeps none of it."""
    if shared.token is None:
        yield from log_in(shared)
    if stream == "trades":
        # With delayed data a trade's time is that much before we can see it.
        permission = shared.permission(instrument.symbol)
        delay_us = 0 if permission is None else permission.delay_minutes * MINUTE_US
        yield from _trades(shared, instrument.symbol, from_us - delay_us)
    elif stream == "candles":
        for name in shared.settings.candles:
            yield from _bars(shared, instrument.symbol, FRAMES[name], from_us, to_us)
    else:
        raise VenueError(shared.venue, f"keeps no past of {stream}", symbol=instrument.symbol, permanent=True)


def minutes(shared: SharedState, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
    """Fetch one-minute bars, with one call for each instrument (see `collector.venues.adapter.Venue.minutes`)."""
    if shared.token is None:
        yield from log_in(shared)
    # A bar counts as final only where the call's interval ends later than the bar plus the grace period.
    end_us = to_us + MINUTE_US + round(shared.settings.grace_seconds * 1_000_000)
    for instrument in instruments:
        yield from _bars(shared, instrument.symbol, FRAMES["1m"], from_us, end_us)


def _trades(shared: SharedState, symbol: str, from_us: int) -> History:
    answer = yield from _ask(
        shared,
        lambda token: requests.of_instrument(
            shared.settings, requests.TRADES, symbol, token, reading=requests.HISTORY, history=True
        ),
    )
    oldest_us = _oldest_us(answer.body)
    if oldest_us is None or oldest_us > from_us:
        reach = "is empty" if oldest_us is None else f"reaches back to {requests.iso(oldest_us)} only"
        raise VenueError(shared.venue, f"the list of the latest trades {reach}", symbol=symbol, permanent=True)


def _oldest_us(body: bytes) -> int | None:
    times = [time_us(item.get("timestamp")) for item in _items(body, "trades")]
    return min((time for time in times if time is not None), default=None)


def _bars(shared: SharedState, symbol: str, frame: str, from_us: int, to_us: int) -> History:
    span_us = span_seconds(frame) * 1_000_000
    begin_us = from_us - length_seconds(frame) * 1_000_000 + 1  # the bar in which the span begins opens before it
    while begin_us <= to_us:
        end_us = min(begin_us + span_us, to_us + 1)
        for _ in range(1 + EMPTY_ANSWER_RETRIES_MAX):
            # The venue sometimes answers with an empty list where there are bars.
            answer = yield from _ask(shared, _bars_call(shared, symbol, frame, begin_us, end_us))
            if _items(answer.body, "bars"):
                break
        begin_us = end_us


def _bars_call(shared: SharedState, symbol: str, frame: str, begin_us: int, end_us: int) -> Callable[[str], RestCall]:
    def call(token: str) -> RestCall:
        return requests.bars(shared.settings, symbol, frame, token, begin_us, end_us, history=True)

    return call


def _items(body: bytes, name: str) -> list[dict[str, Any]]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    items = content.get(name) if type(content) is dict else None
    return [item for item in items if type(item) is dict] if type(items) is list else []


def _ask(shared: SharedState, make_call: Callable[[str], RestCall]) -> _AnsweredCall:
    """Make the call for a token; where the token is refused, once more with a new one."""
    assert shared.token is not None
    call = make_call(shared.token)
    try:
        return (yield call)
    except VenueError as error:
        if not is_unauthorised(error, token_is_old=True):
            raise
        shared.reject(call.headers)
    token = shared.token or (yield from log_in(shared))
    return (yield make_call(token))
