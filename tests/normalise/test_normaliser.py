"""The guard around parsers, and the life of their sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from collector.model import Instrument, Quarantined, Rate, Records, Trade
from collector.normalise.entries import Answer
from collector.normalise.normaliser import Normaliser, SessionParser
from collector.venues.events import Acknowledged, Event, SnapshotTaken
from collector.venues.header import SessionHeader
from collector.venues.roles import Parser
from tests.feed.fakes import FakeAdapter

HEADER = {"venue": "fake", "adapter": "fake", "worker": "fake-1", "url": "ws://fake/ws"}
A = Instrument("fake", "A")
S = 1_000_000_000
ACK = Acknowledged(1, "trades", frozenset({"A"}))


class Clumsy:
    """Numbers its trades; on `boom` it fails after a good row and a bad one, with its own count out of step."""

    def __init__(self, count: int = 0) -> None:
        self.last_seen: dict[str, dict[str, int]] = {}
        self.count = count

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        self.count += 1
        out.trades.append(Trade(A, received_ns // 1000, self.count, None, "1", "2", 1, received_ns // 1000))
        if payload == b"boom":
            out.quarantine.append(Quarantined("fake", "trades", "bad", payload, 2, 0))
            out.items += 40
            raise ZeroDivisionError("a bug")
        out.items += 1
        return [ACK]

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        out.rates.append(Rate(channel, 0, repr(dict(params)), "1", 0))
        out.items += 1
        if body == b"boom":
            raise ZeroDivisionError("a bug")
        return [SnapshotTaken(channel, "A")]

    def beat(self, received_ns: int, out: Records) -> None:
        raise RuntimeError("no sense of time")

    def fork(self) -> Clumsy:
        return Clumsy(self.count)


class ClumsyAdapter(FakeAdapter):
    def parser(self, header: SessionHeader) -> Parser:
        return Clumsy()


def opened() -> tuple[Normaliser, SessionParser, Records]:
    of, out = Normaliser(lambda _name: ClumsyAdapter()), Records()
    return of, of.open(7, HEADER, S, out), out


def balanced(out: Records) -> bool:
    return out.items == out.rows + sum(bad.items for bad in out.quarantine)


def test_good_frames_give_rows_and_events() -> None:
    _, session, out = opened()
    assert session.frame(b"good", 2 * S, out) == [ACK]
    assert len(out.trades) == out.items == 1
    assert session.frames == 1


def test_parser_that_raises_costs_its_frame_and_the_counts_stay_right() -> None:
    _, session, out = opened()
    session.frame(b"good", 2 * S, out)
    assert session.frame(b"boom", 3 * S, out) == ()
    assert session.frame(b"good", 4 * S, out) == [ACK]
    *_, whole = out.quarantine
    assert whole == Quarantined("fake", None, "parser failed: ZeroDivisionError: a bug", b"boom", 1, 3_000_000)
    assert len(out.trades) == 3  # what it had made before it failed is good
    assert out.items == 3 + 2 + 1
    assert balanced(out)


def test_rest_answer_on_which_a_parser_raises_is_kept_with_its_request() -> None:
    _, session, out = opened()
    request = {"channel": "rest:trades", "params": {"symbol": "A"}, "status": 200}
    assert session.rest(request, b"{}", 2 * S, out) == [SnapshotTaken("rest:trades", "A")]
    assert session.rest(request, b"boom", 2 * S, out) == ()
    assert Answer.decode(out.quarantine[0].payload) == (request, b"boom")
    assert balanced(out)


def test_beat_on_which_a_parser_raises_is_told() -> None:
    _, session, out = opened()
    session.beat(2 * S, out)
    assert out.quarantine[0].error == "parser failed: RuntimeError: no sense of time"
    assert balanced(out)


def test_message_that_was_not_kept_is_counted_without_a_byte_of_it() -> None:
    _, session, out = opened()
    session.not_kept(1234, "KeyError", 2 * S, out)
    (told,) = out.quarantine
    reason = "1234 bytes not kept: KeyError while account data was taken out of them"
    assert told == Quarantined("fake", None, reason, b"", 1, 2_000_000)
    assert (session.frames, session.alive_ns) == (1, 2 * S)
    assert balanced(out)


def test_long_errors_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    _, session, out = opened()

    def fails(*_: object) -> Any:
        raise ValueError("x" * 10_000)

    monkeypatch.setattr(session.parser, "frame", fails)
    session.frame(b"", S, out)
    assert len(out.quarantine[0].error) == 500


def test_session_is_told_as_it_opens_and_as_it_closes() -> None:
    of, session, out = opened()
    session.frame(b"good", 2 * S, out)
    of.close(7, "the line was cut", 3 * S, out)
    first, last = out.sessions
    assert (first.session_id, first.worker, first.url, first.opened_us) == (7, "fake-1", "ws://fake/ws", 1_000_000)
    assert (first.closed_us, first.reason, first.frames) == (None, None, 0)
    assert last == first._replace(closed_us=3_000_000, reason="the line was cut", frames=1)
    assert of.sessions == {}


def test_closing_what_is_not_open_tells_nothing() -> None:
    of, _, out = opened()
    of.close(8, "never was", 3 * S, out)
    assert len(out.sessions) == 1
    assert list(of.sessions) == [7]


def test_new_run_closes_all_sessions_of_the_last_one() -> None:
    of, _, out = opened()
    of.open(9, HEADER, S, out)
    of.close_all("the daemon was ended without warning", 5 * S, out)
    assert of.sessions == {}
    assert [(one.session_id, one.closed_us) for one in out.sessions if one.closed_us] == [
        (7, 5_000_000),
        (9, 5_000_000),
    ]


def test_fork_goes_its_own_way_from_the_same_state() -> None:
    of, session, out = opened()
    session.frame(b"good", 2 * S, out)
    other, apart = of.fork(), Records()
    session.frame(b"good", 3 * S, out)
    copy = other.sessions[7]
    copy.frame(b"good", 3 * S, apart)
    assert out.trades[-1] == apart.trades[-1]  # both gave their second number
    of.close(7, "stopped", 4 * S, out)
    assert list(other.sessions) == [7]
    other.open(8, HEADER, 5 * S, apart)
    assert of.sessions == {}
    assert (copy.frames, copy.header, copy.opened_ns) == (2, session.header, session.opened_ns)


def test_frame_without_a_session_is_in_quarantine() -> None:
    of, _, out = opened()
    of.orphan(5 * S, b"whose?", out)
    of.orphan(5 * S, b"", out)  # a beat
    assert [(bad.venue, bad.payload, bad.items) for bad in out.quarantine] == [("unknown", b"whose?", 1)]
    assert balanced(out)


def test_rest_records_survive_the_journal() -> None:
    request = {"channel": "rest:symbol", "params": {"a": "1\n2"}, "status": 200}
    body = b'{"a":\n1}\n'
    payload = Answer(request, body).encode()
    assert Answer.decode(payload) == (request, body)
    assert orjson.loads(payload.split(b"\n")[0]) == request


def test_gap_of_an_ended_session_is_no_finding_of_the_next_ones_parser() -> None:
    out, of = Records(), Normaliser(lambda _name: FakeAdapter())
    header = HEADER | {"subscriptions": [["trades", "trades", ["A", "B"]]]}
    of.open(1, header, 10 * S, out)
    of.close(1, "stopped", 20 * S, out)
    session = of.open(2, header, 30 * S, out)
    session.frame(b"ack", 31 * S, out)  # of A alone, in the batch that holds the gaps of both
    of.close_all("ended without warning", 40 * S, out)
    assert [(gap.from_us, gap.to_us, gap.cause) for gap in out.gaps if gap.instrument.symbol == "B"] == [
        (10_000_000, None, "stopped")
    ]
    assert [(gap.to_us, gap.cause) for gap in out.gaps if gap.instrument.symbol == "A"] == [
        (None, "stopped"),
        (31_000_000, "stopped"),
        (None, "killed"),
    ]
