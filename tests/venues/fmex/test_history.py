"""Paging backwards through trades and bars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from collector.errors import VenueError
from collector.venues.fmex.history import history, minutes
from collector.venues.fmex.settings import FmexSettings
from collector.venues.rest import RestAnswer, RestCall
from tests.venues.fmex.reading import BTC, T, bar, trade

S = T // 1000


def drive(
    stream: str, pages: list[str], from_us: int, to_us: int = (T + 10**6) * 1000, **settings: Any
) -> list[RestCall]:
    """Answer the calls with these pages of `data`; returns the calls. Fails where a page is not asked for."""
    generator = history("fmex", FmexSettings(**settings), BTC, stream, from_us, to_us)
    calls = [next(generator)]
    for number, page in enumerate(pages, start=1):
        try:
            calls.append(generator.send(RestAnswer(200, {}, f'{{"status":0,"data":{page}}}'.encode(), 0)))
        except StopIteration:
            assert number == len(pages)
            return calls
    raise AssertionError("more pages were asked for")


def test_trades_go_back_until_before_the_beginning() -> None:
    pages = [f"[{trade(9, T)},{trade(8, T - 5)}]", f"[{trade(8, T - 5)},{trade(7, T - 10)},{trade(6, T - 20)}]"]
    first, second = drive("trades", pages, (T - 15) * 1000)
    assert first.url == "https://api.fmex.com/v2/market/trades/btcusd_p"
    assert first.channel == "rest:trades/btcusd_p"
    assert first.params == {"limit": "500"}
    assert second.params == {"limit": "500", "before": "9"}
    assert first.notes == second.notes == {"counted": "{}"}


def test_millisecond_that_fills_pages_goes_on_below_its_smallest_id_and_what_was_counted_of_it_is_told() -> None:
    pages = [f"[{trade(9, T)},{trade(8, T)}]", f"[{trade(7, T)},{trade(6, T - 1)}]", f"[{trade(6, T - 1)}]"]
    _, second, third = drive("trades", [*pages, f"[{trade(5, T - 9)}]"], (T - 5) * 1000)[:3]
    assert second.told == {"limit": "500", "before": "8", "counted": f'{{"{T * 1000}|7140.5|10|1":2}}'}
    assert third.told == {"limit": "500", "before": "7", "counted": "{}"}


def test_page_whose_ids_are_out_of_order_is_followed_by_one_with_all_of_its_oldest_millisecond() -> None:
    pages = [f"[{trade(9, T + 1)},{trade(11, T)},{trade(10, T)}]", f"[{trade(1, T - 9)}]"]
    _, second = drive("trades", pages, (T - 5) * 1000)
    assert second.params["before"] == "12"


def test_a_page_that_ends_at_the_very_beginning_is_not_the_last() -> None:
    with pytest.raises(AssertionError, match="more pages"):
        drive("trades", [f"[{trade(9, T)}]"], T * 1000)


def test_a_past_that_does_not_reach_back_so_far_is_told() -> None:
    with pytest.raises(VenueError, match="do not reach back so far") as failed:
        drive("trades", [f"[{trade(9, T)}]", "[]"], (T - 10**6) * 1000)
    assert failed.value.permanent


def test_pages_that_do_not_go_on_are_an_error_and_no_loop() -> None:
    with pytest.raises(VenueError, match="do not go on"):
        drive("trades", [f"[{trade(9, T)}]", f"[{trade(9, T)}]"], 0)


def test_a_span_that_lies_far_back_is_found_in_few_calls() -> None:
    """A market of 100,000 trades, one a second, each a thousand ids after the one before."""
    count, page = 100_000, 50

    def ask(params: Mapping[str, str]) -> str:
        newest = min(count, -(-int(params.get("before", count * 1000)) // 1000)) - 1
        numbers = range(newest, max(-1, newest - int(params["limit"])), -1)
        return "[" + ",".join(trade(number * 1000, T + number * 1000) for number in numbers) + "]"

    def calls_for(first: int, last: int) -> tuple[int, set[int]]:
        generator = history(
            "fmex", FmexSettings(history_page=page), BTC, "trades", (T + first * 1000) * 1000, (T + last * 1000) * 1000
        )
        call, calls, got = next(generator), 0, set()
        try:
            while True:
                data = ask(call.params)
                got |= {item["id"] // 1000 for item in json.loads(data)}
                calls += 1
                call = generator.send(RestAnswer(200, {}, f'{{"data":{data}}}'.encode(), 0))
        except StopIteration:
            return calls, got

    for first, last in ((40_000, 40_100), (99_000, 99_010), (99_990, 99_999), (5, 7), (70_000, 70_000)):
        calls, got = calls_for(first, last)
        assert set(range(first, last + 1)) <= got
        assert calls < 45


def test_bars_are_asked_for_from_the_end_in_seconds() -> None:
    to_us = (S + 120) * 1_000_000 + 500_000
    (call, again) = drive(
        "candles", [f"[{bar(S + 120)},{bar(S + 60)}]", f"[{bar(S)},{bar(S - 60)}]"], (S + 30) * 1_000_000, to_us
    )
    assert call.channel == "rest:candles/M1/btcusd_p"
    assert call.params == {"limit": "500", "before": str(S + 121)}
    assert again.params["before"] == str(S + 60)


def test_minutes_ask_for_as_many_bars_as_are_wanted_and_the_one_before() -> None:
    asked = minutes("fmex", FmexSettings(candles=("1d",)), [BTC], S * 1_000_000, (S + 120) * 1_000_000)
    call = next(asked)
    assert call.channel == "rest:candles/M1/btcusd_p"
    assert call.params == {"limit": "4", "before": str(S + 121)}
    page = ",".join(bar(S + seconds) for seconds in (120, 60, 0, -60))
    with pytest.raises(StopIteration):
        asked.send(RestAnswer(200, {}, f'{{"status":0,"data":[{page}]}}'.encode(), 0))


def test_every_period_has_its_pages() -> None:
    calls = drive(
        "candles",
        [f"[{bar(S - 86_400 * 2)}]", f"[{bar(S - 86_400 * 32)}]"],
        T * 1000,
        candles=("1d", "1mo"),
    )
    assert [call.channel for call in calls] == ["rest:candles/D1/btcusd_p", "rest:candles/MN/btcusd_p"]


def test_quotes_and_books_have_no_past() -> None:
    with pytest.raises(VenueError, match="keeps no past of books") as failed:
        drive("books", [], 0)
    assert failed.value.permanent


@pytest.mark.parametrize("page", ["7", "[7]", '[{"ts":1}]', '[{"id":"x"}]'])
def test_a_page_that_is_none_is_an_error(page: str) -> None:
    with pytest.raises(VenueError):
        drive("trades", [page], 0)
