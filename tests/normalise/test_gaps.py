from __future__ import annotations

from collector.model import Gap, Instrument, Records
from collector.normalise.gaps import Gaps
from collector.normalise.normaliser import Normaliser
from collector.venues.events import Acknowledged
from tests.feed.fakes import FakeAdapter, FakeParser

A = Instrument("fake", "A")
HEADER = {"venue": "fake", "adapter": "fake", "subscriptions": [["trades", "trades", ["A", "B"]]]}
S = 1_000_000_000


def normaliser(gaps: Gaps | None = None) -> Normaliser:
    return Normaliser(lambda _name: FakeAdapter(), gaps)


def told(out: Records) -> list[tuple[str, int, int | None, str]]:
    return [(gap.instrument.symbol, gap.from_us, gap.to_us, gap.cause) for gap in out.gaps]


def test_gap_lasts_from_the_last_sign_of_life_to_the_next_acknowledgement() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out).frame(b"x", 12 * S, out)
    of.close(1, "the line was cut", 20 * S, out)
    assert told(out) == [("A", 12_000_000, None, "disconnect"), ("B", 12_000_000, None, "disconnect")]
    assert out.gaps[0].reason == "the line was cut"
    out.gaps.clear()
    of.open(2, HEADER, 30 * S, out).frame(b"ack", 31 * S, out)  # of A alone
    assert told(out) == [("A", 12_000_000, 31_000_000, "disconnect")]


def test_gap_of_a_line_that_was_read_too_slowly_begins_where_it_was_last_read_to_its_end() -> None:
    out, of = Records(), normaliser()
    session = of.open(1, HEADER, 10 * S, out)
    session.behind_ns = 12 * S
    session.frame(b"x", 20 * S, out)
    of.fork().close(1, "disk full: no room", 21 * S, out, "disk full")
    assert told(out)[0] == ("A", 12_000_000, None, "disk full")


def test_streams_of_the_venue_itself_have_no_gaps_since_their_symbols_are_no_instruments() -> None:
    out, of = Records(), normaliser()
    subscriptions = [["trades", "trades", ["A"]], ["price/rate/3s", "rates", ["*"]], ["rss", "news", ["*"]]]
    of.open(1, {**HEADER, "subscriptions": subscriptions}, 10 * S, out)
    of.close(1, "cut", 11 * S, out)
    assert told(out) == [("A", 10_000_000, None, "disconnect")]


def ended(since_us: int | None, *, now_us: int = 60_000_000) -> Records:
    """A gap from the second 20 on, which a list ends that reaches back to a time."""
    out, gaps = Records(), Gaps([Gap(A, "trades", 20_000_000, None, None, None, "killed", "no power")])
    gaps.end([((A, "trades"), since_us)], now_us, out)
    assert len(gaps) == 0
    return out


def test_list_that_reaches_back_beyond_a_gap_repairs_it() -> None:
    out = ended(15_000_000)
    assert told(out) == [("A", 20_000_000, 60_000_000, "killed")]
    (outcome,) = out.outcomes
    assert outcome[:5] == (A, "trades", 20_000_000, "killed", "repaired")
    assert outcome.reason == "no power; the venue's list reached back to 1970-01-01T00:00:15Z"
    assert outcome.filled_us == 60_000_000


def test_list_that_reaches_into_a_gap_leaves_what_was_before_it() -> None:
    for since_us, to_us in ((15_000_001, 20_000_000), (40_000_000, 40_000_000), (70_000_000, 60_000_000)):
        out = ended(since_us)
        assert told(out) == [("A", 20_000_000, to_us, "killed")]
        assert out.outcomes == []


def test_gap_of_what_is_polled_begins_with_its_last_list() -> None:
    out, of = Records(), normaliser()
    session = of.open(1, HEADER, 10 * S, out)
    session._observe([Acknowledged(1, "trades", frozenset("A"), 7_000_000)], 0, 11 * S, out)
    session.frame(b"x", 70 * S, out)  # of whatever else
    of.fork().close(1, "cut", 80 * S, out)
    assert told(out) == [("A", 11_000_000, None, "disconnect"), ("B", 70_000_000, None, "disconnect")]


def test_acknowledgement_tells_since_when() -> None:
    out, of = Records(), normaliser()
    session = of.open(1, HEADER, 10 * S, out)
    event = Acknowledged(1, "trades", frozenset("A"), 7_000_000)
    assert session.coverage.acknowledged([event], 11) == [((A, "trades"), 7_000_000)]


def test_what_another_session_receives_already_is_no_gap() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out).frame(b"x", 12 * S, out)
    of.open(2, HEADER, 12 * S, out).frame(b"ack", 13 * S, out)  # of A alone
    of.close(1, "stopped", 20 * S, out)
    assert told(out) == [("B", 12_000_000, None, "stopped")]
    out.gaps.clear()
    of.close(2, "cut", 30 * S, out)
    assert told(out) == [("A", 13_000_000, None, "disconnect")]


def test_session_of_another_venue_covers_nothing() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out)
    of.open(2, {**HEADER, "venue": "sister"}, 10 * S, out).frame(b"ack", 11 * S, out)
    of.close(1, "stopped", 20 * S, out)
    assert told(out) == [("A", 10_000_000, None, "stopped"), ("B", 10_000_000, None, "stopped")]


def test_beats_are_signs_of_life() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out).beat(15 * S, out)
    of.close(1, "stopped", 20 * S, out)
    assert told(out)[0] == ("A", 15_000_000, None, "stopped")


def test_data_ends_a_gap_where_a_venue_acknowledges_nothing() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out)
    of.close(1, "cut", 11 * S, out)
    out.gaps.clear()
    session = of.open(2, HEADER, 30 * S, out)
    assert isinstance(session.parser, FakeParser)
    session.parser.last_seen["trades"] = {"B": 31 * S}
    session.beat(32 * S, out)
    assert told(out) == [("B", 10_000_000, 32_000_000, "disconnect")]


def test_reconnects_in_vain_make_one_gap_of_it() -> None:
    out, of = Records(), normaliser()
    for number in range(1, 4):
        of.open(number, HEADER, number * S, out)
        of.close(number, "cut again", number * S + 1, out)
    assert told(out) == [("A", 1_000_000, None, "disconnect"), ("B", 1_000_000, None, "disconnect")]


def test_sessions_that_a_kill_left_open_are_gaps_of_their_own_kind() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out).frame(b"x", 12 * S, out)
    of.close_all("the daemon was ended without warning", 40 * S, out)
    assert told(out)[0] == ("A", 12_000_000, None, "killed")
    assert out.sessions[-1].reason == "the daemon was ended without warning"


def test_gap_within_a_session_ends_where_the_session_does() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out).frame(b"x", 12 * S, out)
    lost = Gap(A, "trades", 11_000_000, None, 5, 9, "sequence lost")
    of.gaps.note([lost])
    of.close(1, "cut", 12 * S, out)
    assert told(out)[0] == ("A", 11_000_000, 12_000_000, "sequence lost")


def test_what_is_known_to_be_missing_is_not_missing_twice() -> None:
    known = Gaps([Gap(A, "trades", 1, None, None, None, "killed")])
    out, of = Records(), normaliser(known)
    session = of.open(1, HEADER, 10 * S, out)
    session.coverage.acknowledged([], 10)
    of.close(1, "cut", 11 * S, out)
    assert told(out) == [("B", 10_000_000, None, "disconnect")]
    out.gaps.clear()
    of.open(2, HEADER, 30 * S, out)
    known.end(of.sessions[2].coverage.acknowledged([Acknowledged(1, "trades", frozenset("A"))], 31), 31, out)
    assert told(out) == [("A", 1, 31, "killed")]


def test_damage_is_a_gap_of_what_was_received_then_and_has_both_ends() -> None:
    out, of = Records(), normaliser(Gaps([Gap(A, "trades", 1, None, None, None, "killed")]))
    of.open(1, HEADER, 10 * S, out).frame(b"x", 12 * S, out)
    of.damaged(13 * S, out)
    assert told(out) == [("B", 12_000_000, 13_000_000, "journal damaged")]
    assert len(of.gaps) == 1


def test_fork_goes_its_own_way() -> None:
    out, of = Records(), normaliser()
    of.open(1, HEADER, 10 * S, out)
    copy = of.fork()
    copy.close(1, "cut", 11 * S, Records())
    assert (len(of.gaps), len(copy.gaps)) == (0, 2)
    assert 1 in of.sessions
