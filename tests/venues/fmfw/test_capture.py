"""Twelve seconds of the venue's real traffic, where the capture is at hand."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from collector.venues.events import Acknowledged, SnapshotTaken
from collector.venues.fmfw import ADAPTER, FmfwSettings
from collector.venues.rest import RestAnswer
from tests.venues.fmfw.reading import Reading

CAPTURES = Path(os.environ.get("FMFW_CAPTURES") or Path(__file__).parents[4] / "shared" / "captures")
SOCKET = CAPTURES / "fmfw-2021-10-09-socket.ndjson"
SYMBOLS = CAPTURES / "fmfw-2021-10-09-symbol.json"

pytestmark = pytest.mark.skipif(not SOCKET.exists(), reason="no capture here; FMFW_CAPTURES names its folder")


def received() -> Iterator[tuple[bytes, int]]:
    for line in SOCKET.read_bytes().splitlines():
        frame = orjson.loads(line)
        if frame["dir"] == "in":
            yield frame["text"].encode(), round(frame["received_at"] * 1000)


@pytest.fixture(scope="module")
def reading() -> Reading:
    reading = Reading(None)
    for payload, at_ms in received():
        reading.raw(payload, at_ms)
    return reading


def test_every_item_becomes_a_row(reading: Reading) -> None:
    expected: Counter[str] = Counter()
    for payload, _ in received():
        message = orjson.loads(payload)
        channel = message.get("ch", "").partition("/")[0]
        for content in (message.get("data") or message.get("update") or message.get("snapshot") or {}).values():
            expected[channel] += len(content) if isinstance(content, list) else 1
    assert reading.out.quarantine == []
    assert len(reading.out.trades) == expected["trades"]
    assert len(reading.out.books) == expected["orderbook"]
    assert len(reading.out.ticks) == expected["ticker"]
    assert len(reading.out.candles) == expected["candles"]


def test_the_books_chain_from_their_snapshots(reading: Reading) -> None:
    assert reading.out.gaps == []
    last: dict[str, int] = {}
    for book in reading.out.books:
        symbol = book.instrument.symbol
        assert book.snapshot == (symbol not in last)
        assert book.snapshot or book.seq == last[symbol] + 1
        last[symbol] = book.seq
    assert len(last) == 10


def test_the_levels_are_those_of_the_frames(reading: Reading) -> None:
    books = iter(reading.out.books)
    for payload, _ in received():
        message = orjson.loads(payload)
        if message.get("ch") == "orderbook/full":
            (content,) = (message.get("update") or message["snapshot"]).values()
            book = next(books)
            for side, prices, sizes in (("a", book.ask_prices, book.ask_sizes), ("b", book.bid_prices, book.bid_sizes)):
                assert [p for p, _ in content[side]] == (prices.split(",") if prices else [])
                assert [q for _, q in content[side]] == (sizes.split(",") if sizes else [])


def test_ids_that_are_times_are_not_kept(reading: Reading) -> None:
    assert [trade.trade_id for trade in reading.out.trades] == [None] * len(reading.out.trades)


def test_the_events_are_acknowledgements_and_snapshots(reading: Reading) -> None:
    assert Counter(type(event) for event in reading.events) == {Acknowledged: 4, SnapshotTaken: 10}


def test_the_list_of_symbols_is_understood() -> None:
    settings = FmfwSettings(symbols="*")
    discovery = ADAPTER.begin("fmfw", settings).discover()
    next(discovery)
    with pytest.raises(StopIteration) as stopped:
        discovery.send(RestAnswer(200, {}, SYMBOLS.read_bytes(), 10**18))
    plan = stopped.value.value
    specs = {spec.instrument.symbol: spec for spec in plan.instruments}
    assert plan.problems == ()
    assert set(plan.connections[0].header.symbols) == set(specs) == set(orjson.loads(SYMBOLS.read_bytes()))
    assert specs["MATICUSD"].quote == "USDT"
