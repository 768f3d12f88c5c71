"""Paging through the past: ticks forwards over milliseconds that fill pages, candles backwards, and late answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.metaapi import ADAPTER, MetaapiAdapter
from collector.venues.metaapi.values import iso, time_us
from collector.venues.rest import RestAnswer, RestCall

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
        self.version = 5
        self.refusal: VenueError | None = None
        self.venue = MetaapiAdapter().begin("metaapi", settings())

    def answer(self, call: RestCall) -> Any:
        if call.url.endswith("/accounts/A1"):
            self.looked_up += 1
            return account(version=self.version)
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
        return [{"time": iso(one * 1000), "bid": 1, "ask": 2} for one in found]

    def drive(self, stream: str, from_ms: int, to_ms: int, **more: Any) -> list[str]:
        self.venue.apply(settings(**more))
        generator = self.venue.history(EURUSD, stream, from_ms * 1000, to_ms * 1000)
        times: list[str] = []
        call = next(generator)
        try:
            while True:
                if self.late and not call.url.endswith(("/A1", "mt-client-api")):
                    self.late -= 1
                    call = generator.throw(VenueError("metaapi", "later", code="202", retry_after=1.0))
                    continue
                content = self.answer(call)
                if self.refusal and isinstance(content, list):
                    call = generator.throw(self.refusal)
                    continue
                if isinstance(content, list):
                    times += [one["time"] for one in content]
                call = generator.send(RestAnswer(200, {}, orjson.dumps(content), NOW_NS))
        except StopIteration:
            return times


def test_ticks_of_one_millisecond_that_fill_pages_come_once_each() -> None:
    ticks = [T] * 700 + [T + 1] * 2500 + [T + 2] * 3
    past = Past(ticks)
    # A page that ends within a millisecond is followed by one that begins with it, so some come again.
    again = ticks[:1000] + ticks[700:]
    assert past.drive("ticks", T, T + 10) == [iso(one * 1000) for one in again]
    assert [call.params["offset"] for call in past.calls] == ["0", "0", "1000", "2000"]
    said = f"{(T + 1) * 1000}|1|2||"
    assert [orjson.loads(call.notes["counted"]) for call in past.calls] == [{}, {}, {said: 1000}, {said: 2000}]
    assert {call.quota for call in past.calls} == {"history"}
    assert all(call.channel == "history/ticks/EURUSD" and call.record for call in past.calls)


def test_what_was_found_for_recording_is_not_looked_up_again_for_the_past() -> None:
    past = Past([T])
    generator = past.venue.discover()
    call = next(generator)
    try:
        while True:
            content = ["EURUSD"] if call.url.endswith("/symbols") else past.answer(call)
            call = generator.send(RestAnswer(200, {}, orjson.dumps(content), NOW_NS))
    except StopIteration:
        past.looked_up = 0
    past.drive("ticks", T, T)
    assert past.looked_up == 0


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
    past.refusal = VenueError("metaapi", "no such account", code="404", permanent=True)
    with pytest.raises(VenueError):
        past.drive("ticks", T, T)
    past.refusal = None
    past.drive("ticks", T, T)
    assert past.looked_up == 4
    past.drive("ticks", T, T, refresh_seconds=601)
    assert past.looked_up == 6


def test_gaps_of_what_has_a_past_are_repaired() -> None:
    assert ADAPTER.historic == {"trades", "ticks", "candles"}
    assert all(ADAPTER.begin("v", settings()).whole_past(EURUSD, stream) for stream in ADAPTER.historic)


@pytest.mark.parametrize("ticks", ["quotes", "both"])
def test_quotes_are_not_had_again(ticks: str) -> None:
    assert not ADAPTER.begin("v", settings(ticks=ticks)).whole_past(EURUSD, "ticks")
    assert ADAPTER.begin("v", settings(ticks=ticks)).whole_past(EURUSD, "trades")
    accounts = {"a": {"id": "A1", "symbols": ["*"], "ticks": ticks}, "b": {"id": "B1", "symbols": ["*"]}}
    two = settings(accounts=accounts)
    told = [ADAPTER.begin("v", two).whole_past(Instrument("metaapi", f"{name}:EURUSD"), "ticks") for name in "ab"]
    assert told == [False, True]


def test_candles_end_where_the_venue_has_no_more() -> None:
    past = Past([], T - 1_200 * 60_000, T)
    assert len(past.drive("candles", 0, T)) == 1201
    assert Past([], T + 60_000, T).drive("candles", 0, T) == []


def test_late_answer_is_a_failure_that_passes() -> None:
    past = Past([T])
    past.late = 1
    with pytest.raises(VenueError) as caught:
        past.drive("ticks", T, T)
    assert not caught.value.permanent
    assert len(past.drive("ticks", T, T)) == 1
    assert past.looked_up == 2


def test_metatrader_4_is_not_asked_for_periods_that_it_lacks() -> None:
    past = Past([], T - 60_000, T)
    past.version = 4
    past.drive("candles", T, T, candles=["2m", "1m", "3m"])
    assert [call.url.rpartition("/timeframes/")[2] for call in past.calls] == ["1m/candles"]


def test_no_ticks_are_fetched_where_quotes_are_recorded() -> None:
    past = Past([T])
    with pytest.raises(VenueError, match="no past of quotes") as caught:
        past.drive("ticks", T, T, ticks="quotes")
    assert caught.value.permanent
    assert past.calls == []


def test_symbol_is_percent_encoded() -> None:
    accounts = {"demo": {"id": "A1", "symbols": ["*"]}}
    generator = (
        MetaapiAdapter()
        .begin("metaapi", settings(accounts=accounts))
        .history(Instrument("metaapi", "#A/B c+d"), "ticks", T, T)
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
