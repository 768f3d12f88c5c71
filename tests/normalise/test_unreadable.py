"""Sessions in a journal for which this program has no parser: kept and told, and no hindrance to the rest."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from collector import venues
from collector.journal import Kind, Position, Record
from collector.model import Instrument, Records
from collector.normalise.apply import apply
from collector.normalise.entries import Answer
from collector.normalise.normaliser import Normaliser
from collector.venues.header import SessionHeader

GOOD: dict[str, Any] = {
    "venue": "fmfw",
    "adapter": "fmfw",
    "worker": "fmfw-1",
    "url": "",
    "symbols": ["BTCUSDT"],
    "subscriptions": [["trades", "trades", ["BTCUSDT"]]],
}
TRADE = b'{"ch":"trades","update":{"BTCUSDT":[{"t":1700000000000,"i":1,"p":"1.5","q":"2","s":"buy"}]}}'
S = 1_000_000_000
BTC = Instrument("fmfw", "BTCUSDT")


def record(kind: Kind, session: int, payload: bytes, received_ns: int = 10 * S) -> Record:
    return Record(Position(1, 32), Position(1, 64), received_ns, session, kind, payload)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.CARRY])
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (GOOD | {"adapter": "gone"}, "this program has no adapter 'gone'"),
        (without("adapter"), "the header of its session cannot be used: adapter: is missing"),
        (without("venue"), "the header of its session cannot be used: venue: is missing"),
        (GOOD | {"symbols": 7}, "the header of its session cannot be used: "),
        (GOOD | {"subscriptions": [["trades"]]}, "the header of its session cannot be used: "),
        (["no", "object"], "the header of its session cannot be used: "),
        (None, "the header of its session cannot be used: "),
    ],
)
def test_frames_of_a_session_without_a_parser_are_quarantined_and_the_others_parsed(
    header: Any, reason: str, kind: Kind
) -> None:
    normaliser, out = Normaliser(venues.find), Records()
    with capture_logs() as logs:
        apply(record(kind, 1, orjson.dumps(header)), normaliser, out)
        apply(record(Kind.OPEN, 2, orjson.dumps(GOOD)), normaliser, out)
        for session in (1, 2):
            apply(record(Kind.FRAME, session, TRADE), normaliser, out)
            apply(record(Kind.BEAT, session, b""), normaliser, out)
        apply(record(Kind.REST, 1, Answer({"channel": "x", "params": {}}, b"answer").encode()), normaliser, out)
        apply(record(Kind.CLOSE, 1, orjson.dumps({"reason": "cut"}), 20 * S), normaliser, out)
    assert [trade.instrument for trade in out.trades] == [BTC]
    assert [(bad.payload, bad.items) for bad in out.quarantine] == [(TRADE, 1), (b"answer", 1)]
    assert all(bad.error.startswith(reason) for bad in out.quarantine)
    assert out.items == out.rows + 2
    assert [entry["event"] for entry in logs] == ["session_not_readable"]
    assert list(normaliser.sessions) == [2]


def test_what_a_session_without_a_parser_would_have_covered_is_a_gap_until_another_covers_it() -> None:
    normaliser, out = Normaliser(venues.find), Records()
    apply(record(Kind.OPEN, 1, orjson.dumps(GOOD | {"adapter": "gone"}), 10 * S), normaliser, out)
    apply(record(Kind.FRAME, 1, TRADE, 11 * S), normaliser, out)
    [gap] = out.gaps
    assert gap[:4] == (BTC, "trades", 10_000_000, None)
    assert gap.cause == "not readable"
    apply(record(Kind.OPEN, 2, orjson.dumps(GOOD), 12 * S), normaliser, out)
    apply(record(Kind.FRAME, 2, TRADE, 13 * S), normaliser, out)
    apply(record(Kind.BEAT, 2, b"", 14 * S), normaliser, out)
    assert out.gaps[-1] == gap._replace(to_us=14_000_000)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.OPEN, b"no json"),
        (Kind.CLOSE, b"no json"),
        (Kind.CLOSE, b"{}"),
        (Kind.NOTE, b"no json"),
        (Kind.NOTE, b"[]"),
        (Kind.NOTE, b'{"event":"clock"}'),
        (Kind.NOTE, b'{"event":"gaps closed","outcomes":[1]}'),
        (Kind.REST, b"no json\nbody"),
        (Kind.REST, b"{}\nbody"),
    ],
)
def test_entry_that_is_not_understood_goes_to_quarantine_whole(kind: Kind, payload: bytes) -> None:
    normaliser, out = Normaliser(venues.find), Records()
    apply(record(Kind.OPEN, 1, orjson.dumps(GOOD)), normaliser, out)
    with capture_logs():
        apply(record(kind, 1, payload), normaliser, out)
    apply(record(Kind.FRAME, 1, TRADE), normaliser, out)
    [bad] = out.quarantine
    assert payload.endswith(bad.payload)
    assert bad.venue == "fmfw"
    assert len(out.trades) == 1
    assert out.items == 2


def test_header_for_which_there_is_no_parser_is_refused_before_anything_is_known_of_it() -> None:
    normaliser = Normaliser(venues.find)
    with pytest.raises(KeyError):
        normaliser.prepare(1, SessionHeader("fmfw", "gone"), 10 * S)
    assert not normaliser.sessions


def test_fork_of_a_session_without_a_parser_goes_on_quarantining() -> None:
    normaliser, out = Normaliser(venues.find), Records()
    apply(record(Kind.OPEN, 1, orjson.dumps(GOOD | {"adapter": "gone"})), normaliser, Records())
    apply(record(Kind.FRAME, 1, TRADE), normaliser.fork(), out)
    assert out.items == len(out.quarantine) == 1
