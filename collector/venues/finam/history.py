"""The past of an instrument by REST: bars by time, trades only as far back as the list of the latest reaches.

The generators only page; the answers are recorded by whoever drives them, and are paced under a quota of their own so
that the past never takes calls from the present.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import orjson

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.finam import requests
from collector.venues.finam.desk import Desk
from collector.venues.finam.discovery import log_in
from collector.venues.finam.failures import is_unauthorised
from collector.venues.finam.periods import FRAMES, length_seconds, span_seconds
from collector.venues.finam.values import time_us
from collector.venues.rest import History, RestAnswer, RestCall

EMPTY_RETRIES = 2
# Minutes in the longest span that is asked for at once.
MOST_BARS = 8640

_Asked = Generator[RestCall, RestAnswer, RestAnswer]


def history(desk: Desk, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
    """Page through a stream's past, both ends included. VenueError for a stream of which the venue keeps no past."""
    if desk.token is None:
        yield from log_in(desk)
    if stream == "trades":
        right = desk.permission(instrument.symbol)
        delay_us = 0 if right is None else right.delay_minutes * 60_000_000
        yield from _trades(desk, instrument.symbol, from_us - delay_us)
    elif stream == "candles":
        for name in desk.settings.candles:
            yield from _bars(desk, instrument.symbol, FRAMES[name], from_us, to_us)
    else:
        raise VenueError(desk.venue, f"keeps no past of {stream}", symbol=instrument.symbol, permanent=True)


def minutes(desk: Desk, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
    """Ask for one-minute bars, a call for each instrument, as `Adapter.minutes` tells."""
    if desk.token is None:
        yield from log_in(desk)
    # A bar is only taken for final where the question's end lies behind its own, and the venue's moment of grace.
    end_us = to_us + 60_000_000 + round(desk.settings.grace_seconds * 1_000_000)
    for instrument in instruments:
        yield from _bars(desk, instrument.symbol, FRAMES["1m"], from_us, end_us)


def _trades(desk: Desk, symbol: str, from_us: int) -> History:
    answer = yield from _ask(
        desk,
        lambda token: requests.of_instrument(
            desk.settings, requests.TRADES, symbol, token, reading=requests.PAST, past=True
        ),
    )
    oldest_us = _oldest_us(answer.body)
    if oldest_us is None or oldest_us > from_us:
        reach = "is empty" if oldest_us is None else f"reaches back to {requests.iso(oldest_us)} only"
        raise VenueError(desk.venue, f"the list of the latest trades {reach}", symbol=symbol, permanent=True)


def _oldest_us(body: bytes) -> int | None:
    times = [time_us(item.get("timestamp")) for item in _items(body, "trades")]
    return min((time for time in times if time is not None), default=None)


def _bars(desk: Desk, symbol: str, frame: str, from_us: int, to_us: int) -> History:
    span_us = span_seconds(frame) * 1_000_000
    begin_us = from_us - length_seconds(frame) * 1_000_000 + 1  # the bar that holds the span's begin opens before it
    while begin_us <= to_us:
        end_us = min(begin_us + span_us, to_us + 1)
        for _ in range(1 + EMPTY_RETRIES):
            # The venue answers with nothing now and then where there is something.
            answer = yield from _ask(desk, _bars_call(desk, symbol, frame, begin_us, end_us))
            if _items(answer.body, "bars"):
                break
        begin_us = end_us


def _bars_call(desk: Desk, symbol: str, frame: str, begin_us: int, end_us: int) -> Callable[[str], RestCall]:
    def call(token: str) -> RestCall:
        return requests.bars(desk.settings, symbol, frame, token, begin_us, end_us, past=True)

    return call


def _items(body: bytes, name: str) -> list[dict[str, Any]]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    items = content.get(name) if type(content) is dict else None
    return [item for item in items if type(item) is dict] if type(items) is list else []


def _ask(desk: Desk, make: Callable[[str], RestCall]) -> _Asked:
    """Make a call; where its token is refused, once more with a new one."""
    assert desk.token is not None
    call = make(desk.token)
    try:
        return (yield call)
    except VenueError as error:
        if not is_unauthorised(error, token_is_old=True):
            raise
        desk.reject(call.headers)
    token = desk.token or (yield from log_in(desk))
    return (yield make(token))
