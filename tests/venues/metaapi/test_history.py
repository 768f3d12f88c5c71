"""Paging through the past: ticks forwards over milliseconds that fill pages, candles backwards, and late answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.adapter import RestAnswer, RestCall
from collector.venues.metaapi import ADAPTER, MetaapiAdapter
from collector.venues.metaapi.checks import iso, time_us

from .test_discovery import NOW_NS, SERVERS, account, settings

EURUSD = Instrument("metaapi", "EURUSD")
T = 1_714_979_280_000


class Past:
    """A venue that keeps ticks at these milliseconds, and a candle each minute from `first` to `last`."""

    def __init__(self, ticks: list[int], first: int = T, last: int = T) -> None:
        self.ticks = sorted(ticks)
        self.minutes = list(range(first, last + 1, 60_000))
        self.calls: list[RestCall] = []
        self.late = 0
        self.looked_up = 0
        self.adapter = MetaapiAdapter()

    def answer(self, call: RestCall) -> Any:
        if call.url.endswith("/accounts/A1"):
            self.looked_up += 1
            return account()
        if call.url.endswith("mt-client-api"):
            self.looked_up += 1
            return SERVERS
        self.calls.append(call)
        start = (time_us(call.params["startTime"]) or 0) // 1000
        limit = int(call.params["limit"])
        if call.url.endswith("/ticks"):
            begin = sum(one < start for one in self.ticks) + int(call.params["offset"])
            found = self.ticks[begin : begin + limit]
        else:
            found = [one for one in self.minutes if one <= start][-limit:]
        return [{"time": iso(one * 1000)} for one in found]

    def drive(self, stream: str, from_ms: int, to_ms: int, **more: Any) -> list[str]:
        generator = self.adapter.history("metaapi", settings(**more), EURUSD, stream, from_ms * 1000, to_ms * 1000)
        times: list[str] = []
        call = next(generator)
        try:
            while True:
                if self.late and not call.url.endswith(("/A1", "mt-client-api")):
                    self.late -= 1
                    call = generator.throw(VenueError("metaapi", "later", code="202", retry_after=1.0))
                    continue
                content = self.answer(call)
                if isinstance(content, list):
                    times += [one["time"] for one in content]
                call = generator.send(RestAnswer(200, {}, orjson.dumps(content), NOW_NS))
        except StopIteration:
            return times


def test_ticks_of_one_millisecond_that_fill_pages_come_once_each() -> None:
    ticks = [T] * 700 + [T + 1] * 2500 + [T + 2] * 3
    past = Past(ticks)
    assert past.drive("ticks", T, T + 10) == [iso(one * 1000) for one in ticks]
    assert [call.params["offset"] for call in past.calls] == ["0", "300", "1300", "2300", "3"]
    assert all(call.channel == "history/ticks/EURUSD" and call.record for call in past.calls)


def test_ticks_end_where_the_wanted_time_ends() -> None:
    past = Past([T + number for number in range(5000)])
    assert len(past.drive("trades", T, T + 1500)) == 2000
    assert past.calls[0].channel == "history/trades/EURUSD"


def test_candles_are_read_backwards_until_the_wanted_time() -> None:
    past = Past([], T - 5_000 * 60_000, T)
    times = past.drive("candles", T - 2_500 * 60_000, T)
    assert len(set(times)) == len(times) == 2502
    assert min(times) <= iso((T - 2_500 * 60_000) * 1000)
    assert past.calls[0].url.endswith("/symbols/EURUSD/timeframes/1m/candles")


def test_no_more_candles_are_asked_for_than_lie_in_the_span() -> None:
    past = Past([], T - 5_000 * 60_000, T)
    past.drive("candles", T - 90_000, T)
    assert [call.params["limit"] for call in past.calls] == ["3"]


def test_account_is_looked_up_once_and_again_after_a_failure() -> None:
    past = Past([T])
    past.drive("ticks", T, T)
    past.drive("trades", T, T)
    assert past.looked_up == 2
    past.late = 1000
    with pytest.raises(VenueError):
        past.drive("ticks", T, T)
    past.late = 0
    past.drive("ticks", T, T)
    assert past.looked_up == 4
    past.drive("ticks", T, T, refresh_seconds=601)
    assert past.looked_up == 6


def test_gaps_of_what_has_a_past_are_repaired() -> None:
    assert ADAPTER.historic == {"trades", "ticks", "candles"}
    assert all(ADAPTER.whole_past(settings(), EURUSD, stream) for stream in ADAPTER.historic)


@pytest.mark.parametrize("ticks", ["quotes", "both"])
def test_quotes_are_not_had_again(ticks: str) -> None:
    assert not ADAPTER.whole_past(settings(ticks=ticks), EURUSD, "ticks")
    assert ADAPTER.whole_past(settings(ticks=ticks), EURUSD, "trades")
    accounts = {"a": {"id": "A1", "symbols": ["*"], "ticks": ticks}, "b": {"id": "B1", "symbols": ["*"]}}
    two = settings(accounts=accounts)
    told = [ADAPTER.whole_past(two, Instrument("metaapi", f"{name}:EURUSD"), "ticks") for name in "ab"]
    assert told == [False, True]


def test_candles_end_where_the_venue_has_no_more() -> None:
    past = Past([], T - 1_200 * 60_000, T)
    assert len(past.drive("candles", 0, T)) == 1201
    assert Past([], T + 60_000, T).drive("candles", 0, T) == []


def test_late_answer_is_asked_for_again_for_ten_minutes() -> None:
    past = Past([T])
    past.late = 20
    assert len(past.drive("ticks", T, T)) == 1
    past.late = 1000
    with pytest.raises(VenueError):
        past.drive("ticks", T, T)


def test_symbol_is_percent_encoded() -> None:
    accounts = {"demo": {"id": "A1", "symbols": ["*"]}}
    generator = MetaapiAdapter().history(
        "metaapi", settings(accounts=accounts), Instrument("metaapi", "#A/B c+d"), "ticks", T, T
    )
    next(generator)
    generator.send(RestAnswer(200, {}, orjson.dumps(account()), NOW_NS))
    call = generator.send(RestAnswer(200, {}, orjson.dumps(SERVERS), NOW_NS))
    assert "/symbols/%23A%2FB%20c%2Bd/ticks" in call.url


@pytest.mark.parametrize("stream", ["books", "rates"])
def test_what_the_venue_keeps_no_past_of_is_told(stream: str) -> None:
    with pytest.raises(VenueError, match="keeps no past") as caught:
        Past([]).drive(stream, T, T)
    assert caught.value.permanent
