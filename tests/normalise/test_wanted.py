"""What the configuration asks for: what does not flow of it is missing since then, what it drops is not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector import venues
from collector.journal import Kind, Position, Record
from collector.model import Gap, Instrument, Records, Wanted
from collector.normalise.apply import apply
from collector.normalise.entries import Asked, Started, encode_note
from collector.normalise.gaps import Gaps
from collector.normalise.normaliser import Normaliser

S = 1_000_000_000
US = 1_000_000
BTC, ETH = Instrument("fmfw", "BTCUSDT"), Instrument("fmfw", "ETHUSDT")
HEADER: dict[str, Any] = {
    "venue": "fmfw",
    "adapter": "fmfw",
    "worker": "fmfw-1",
    "url": "",
    "symbols": ["BTCUSDT", "ETHUSDT"],
    "subscriptions": [["trades", "trades", ["BTCUSDT"]], ["orderbook/full", "books", ["BTCUSDT", "ETHUSDT"]]],
}
ACKNOWLEDGED = b'{"ch":"subscription","result":{"ch":"%s","subscriptions":%s},"id":1}'


class Journal:
    """Entries applied one after another, and what came of them."""

    def __init__(self, known: Gaps | None = None) -> None:
        self.normaliser = Normaliser(venues.find, Gaps() if known is None else known)
        self.out = Records()

    def entry(self, kind: Kind, at_s: float, payload: bytes, session: int = 0) -> None:
        record = Record(Position(1, 32), Position(1, 64), round(at_s * S), session, kind, payload)
        apply(record, self.normaliser, self.out)

    def ask(self, at_s: float, *spans: tuple[float, str, list[str]], whole: bool = True) -> None:
        told = [(round(since_s * S), stream, symbols) for since_s, stream, symbols in spans]
        self.entry(Kind.NOTE, at_s, encode_note(Asked("fmfw", told, whole)))

    def open(self, at_s: float, session: int = 1) -> None:
        self.entry(Kind.OPEN, at_s, orjson.dumps(HEADER), session)

    def acknowledge(self, at_s: float, channel: str, *symbols: str, session: int = 1) -> None:
        frame = b'{"result":{"ch":"%s","subscriptions":%s},"id":1}' % (channel.encode(), orjson.dumps(symbols))
        self.entry(Kind.FRAME, at_s, frame, session)

    @property
    def gaps(self) -> list[tuple[Any, ...]]:
        return [(gap.instrument.symbol, gap.stream, gap.from_us, gap.to_us, gap.cause) for gap in self.out.gaps]


def test_what_is_asked_for_is_missing_until_it_is_acknowledged() -> None:
    journal = Journal()
    journal.ask(1000, (1000, "books", ["BTCUSDT", "ETHUSDT"]))
    journal.open(1030)
    journal.acknowledge(1040, "orderbook/full", "BTCUSDT")
    assert journal.out.wanted == [Wanted(BTC, "books", 1000 * US, None), Wanted(ETH, "books", 1000 * US, None)]
    assert journal.gaps == [
        ("BTCUSDT", "books", 1000 * US, None, "starting"),
        ("ETHUSDT", "books", 1000 * US, None, "starting"),
        ("BTCUSDT", "books", 1000 * US, 1040 * US, "starting"),
    ]


@pytest.mark.parametrize("stream", ["trades", "candles"])
def test_what_has_a_past_is_asked_for_since_the_beginning_of_the_minute(stream: str) -> None:
    journal = Journal()
    journal.ask(1000, (1000.5, stream, ["BTCUSDT"]))
    assert journal.gaps == [("BTCUSDT", stream, 960 * US, None, "starting")]


def test_what_is_asked_for_again_is_asked_for_once() -> None:
    journal = Journal()
    for at_s in (1000, 2000):
        journal.ask(at_s, (at_s, "books", ["BTCUSDT"]))
    assert journal.out.wanted == [Wanted(BTC, "books", 1000 * US, None)]
    assert len(journal.gaps) == 1


def test_what_is_dropped_ends_with_its_gap_and_its_line_s_end_is_none() -> None:
    journal = Journal()
    journal.ask(1000, (1000, "books", ["BTCUSDT", "ETHUSDT"]))
    journal.open(1001)
    journal.acknowledge(1002, "orderbook/full", "ETHUSDT")
    journal.out = Records()
    journal.ask(1100, (1000, "books", ["ETHUSDT"]))
    assert journal.out.wanted == [Wanted(BTC, "books", 1000 * US, 1100 * US)]
    assert journal.gaps == [("BTCUSDT", "books", 1000 * US, 1100 * US, "starting")]
    journal.out = Records()
    journal.entry(Kind.CLOSE, 1200, orjson.dumps({"reason": "cut"}), 1)
    assert [(symbol, stream) for symbol, stream, *_ in journal.gaps] == [("ETHUSDT", "books")]


def test_names_alone_are_not_the_whole_of_it() -> None:
    journal = Journal(Gaps(wanted=[Wanted(ETH, "books", 7 * US, None)]))
    journal.ask(1000, (1000, "books", ["BTCUSDT"]), whole=False)
    assert journal.out.wanted == [Wanted(BTC, "books", 1000 * US, None)]
    journal.ask(1001, (1000, "books", ["BTCUSDT"]))
    assert journal.out.wanted[1:] == [Wanted(ETH, "books", 7 * US, 1001 * US)]


def test_what_is_missing_already_stays_one_gap() -> None:
    known = Gap(BTC, "books", 500 * US, None, None, None, "stopped")
    journal = Journal(Gaps([known], [Wanted(BTC, "books", 7 * US, None)]))
    journal.ask(1000, (1000, "books", ["BTCUSDT"]))
    assert journal.gaps == []
    journal.open(1001)
    journal.acknowledge(1002, "orderbook/full", "BTCUSDT")
    assert journal.gaps == [("BTCUSDT", "books", 500 * US, 1002 * US, "stopped")]


def test_gap_that_an_earlier_version_left_of_what_nobody_asks_for_ends() -> None:
    journal = Journal(Gaps([Gap(ETH, "books", 500 * US, None, None, None, "stopped")]))
    journal.ask(1000, (1000, "books", ["BTCUSDT"]))
    assert ("ETHUSDT", "books", 500 * US, 1000 * US, "stopped") in journal.gaps


def test_start_that_tells_its_venues_asks_nothing_of_others() -> None:
    other = Instrument("gone", "X")
    journal = Journal(
        Gaps([Gap(other, "trades", 9 * US, None, None, None, "stopped")], [Wanted(other, "trades", 7 * US, None)])
    )
    journal.entry(Kind.NOTE, 1000, encode_note(Started(["fmfw"])))
    assert journal.out.wanted == [Wanted(other, "trades", 7 * US, 1000 * US)]
    assert journal.gaps == [("X", "trades", 9 * US, 1000 * US, "stopped")]


def test_start_of_an_earlier_version_changes_nothing() -> None:
    journal = Journal(Gaps(wanted=[Wanted(BTC, "trades", 7 * US, None)]))
    journal.entry(Kind.NOTE, 1000, orjson.dumps({"event": "started"}))
    assert not journal.out


def test_everything_may_be_wanted_of_a_venue_that_told_nothing() -> None:
    journal = Journal()
    journal.open(1000)
    journal.entry(Kind.CLOSE, 1001, orjson.dumps({"reason": "cut"}), 1)
    assert len(journal.gaps) == 3


def test_fork_goes_its_own_way() -> None:
    journal = Journal()
    journal.ask(1000, (1000, "books", ["BTCUSDT"]))
    copy = journal.normaliser.fork()
    copy.ask("fmfw", (), 1001 * S, Records(), whole=True)
    assert (BTC, "books") in journal.normaliser.gaps.wanted
    assert (BTC, "books") not in copy.gaps.wanted
