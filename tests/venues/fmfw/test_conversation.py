"""Asking, being refused, proving by data and taking books anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest

from collector.venues.events import Acknowledged, Action, Event, Reconnect, Refused, Send, SequenceLost, SnapshotTaken
from collector.venues.fmfw.conversation import FmfwConversation
from collector.venues.fmfw.parser import FmfwParser
from collector.venues.kit.losses import LOSSES_ALLOWED
from collector.venues.kit.subscriptions import ACK_SECONDS, FIRST_DATA_SECONDS, QUIET_SECONDS
from collector.venues.plan import ConnectionPlan, Subscription
from tests.kit.headers import session_header

FULL = "orderbook/full"
TOP = "orderbook/top/100ms"

TRADES = Subscription("trades", "trades", ("A", "B", "C", "D"), {"limit": 10}, prompt=False)
BOOKS = Subscription(FULL, "books", ("A", "B", "C"))
TICKS = Subscription(TOP, "ticks", ("A", "B"))


class Talk:
    """A conversation with the venue's side played by hand."""

    def __init__(self, *subscriptions: Subscription) -> None:
        self.parser = FmfwParser.begin(session_header({"venue": "fmfw"}))
        plan = ConnectionPlan("fmfw-1", "ws://venue", subscriptions, session_header({}))
        self.conversation = FmfwConversation(plan, self.parser, Random(1))
        self.now = 1000.0
        self.sent: list[dict[str, Any]] = []
        self.reconnects: list[str] = []
        self._take(self.conversation.opened(self.now))

    def _take(self, actions: Sequence[Action]) -> list[dict[str, Any]]:
        new = [orjson.loads(action.payload) for action in actions if isinstance(action, Send)]
        self.sent += new
        self.reconnects += [action.reason for action in actions if isinstance(action, Reconnect)]
        return new

    def hear(self, *events: Event) -> list[dict[str, Any]]:
        return self._take(self.conversation.handle(events, self.now))

    def wait(self, seconds: float) -> list[dict[str, Any]]:
        """Let time pass in steps of a second at most."""
        new: list[dict[str, Any]] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 1.0, end)
            new += self._take(self.conversation.tick(self.now))
        return new

    def acknowledge(self, *requests: Mapping[str, Any]) -> list[dict[str, Any]]:
        new = []
        for request in requests:
            names = request["params"].get("symbols") or request["params"]["currencies"]
            new += self.hear(Acknowledged(request["id"], request["ch"], frozenset(names)))
        return new

    def show(self, channel: str, *symbols: str) -> None:
        for symbol in symbols:
            self.parser.last_seen.setdefault(channel, {})[symbol] = int(self.now * 1e9)

    def states(self, channel: str) -> dict[str, str]:
        return {s.symbol: str(s.state) for s in self.conversation.statuses() if s.channel == channel}

    def reason(self, channel: str, symbol: str) -> str:
        return next(s.reason for s in self.conversation.statuses() if (s.channel, s.symbol) == (channel, symbol))


def symbols(requests: Sequence[Mapping[str, Any]], method: str = "subscribe") -> list[list[str]]:
    return [request["params"]["symbols"] for request in requests if request["method"] == method]


def test_everything_is_asked_for_with_ids_of_its_own() -> None:
    talk = Talk(TRADES, BOOKS)
    assert talk.sent == [
        {"method": "subscribe", "ch": "trades", "params": {"symbols": ["A", "B", "C", "D"], "limit": 10}, "id": 1},
        {"method": "subscribe", "ch": FULL, "params": {"symbols": ["A", "B", "C"]}, "id": 2},
    ]


def test_many_symbols_are_asked_for_in_requests_of_a_hundred() -> None:
    talk = Talk(Subscription("trades", "trades", tuple(f"S{n}" for n in range(250)), prompt=False))
    assert [len(part) for part in symbols(talk.sent)] == [100, 100, 50]


def test_currencies_are_asked_for_under_their_own_name() -> None:
    talk = Talk(Subscription("price/rate/3s", "rates", ("*",), {"target_currency": "USDT"}))
    assert talk.sent[0]["params"] == {"currencies": ["*"], "target_currency": "USDT"}
    talk.hear(Acknowledged(1, "price/rate/3s", frozenset({"BTC", "ETH"})))
    assert talk.states("price/rate/3s") == {"*": "acknowledged"}
    talk.show("price/rate/3s", "ETH")
    talk.wait(1)
    assert talk.conversation.proved


def test_acknowledgements_may_come_in_any_order_with_other_symbols_beside() -> None:
    talk = Talk(TRADES, TICKS)
    trades, ticks = talk.sent
    talk.acknowledge(ticks)
    assert set(talk.states("trades").values()) == {"requested"}
    talk.hear(Acknowledged(trades["id"], "trades", frozenset("DCBAXYZ")))
    assert set(talk.states("trades").values()) == {"acknowledged"}


@pytest.mark.parametrize(
    "event",
    [
        Acknowledged(1, "ticker/1s", frozenset("ABCD")),
        Acknowledged(9, "trades", frozenset("ABCD")),
        Acknowledged(None, "trades", frozenset("ABCD")),
        Acknowledged("1", "trades", frozenset("ABCD")),
    ],
)
def test_an_acknowledgement_counts_only_with_its_id_and_channel(event: Acknowledged) -> None:
    talk = Talk(TRADES)
    talk.hear(event)
    assert set(talk.states("trades").values()) == {"requested"}


def test_a_quiet_channel_is_proved_by_its_acknowledgement_and_a_prompt_one_by_data() -> None:
    talk = Talk(TRADES, TICKS)
    talk.acknowledge(*talk.sent)
    assert not talk.conversation.proved
    talk.show(TOP, "A", "B")
    talk.wait(1)
    assert talk.states(TOP) == {"A": "flowing", "B": "flowing"}
    assert talk.conversation.proved


def test_a_full_book_is_proved_by_its_snapshot_even_before_the_acknowledgement() -> None:
    talk = Talk(BOOKS)
    talk.show(FULL, "A", "B", "C")
    talk.hear(SnapshotTaken(FULL, "A"))
    assert talk.states(FULL)["A"] == "requested"
    talk.acknowledge(*talk.sent)
    assert talk.states(FULL) == {"A": "flowing", "B": "acknowledged", "C": "acknowledged"}
    talk.hear(SnapshotTaken(FULL, "B"), SnapshotTaken(FULL, "C"))
    assert talk.conversation.proved


def test_without_acknowledgement_it_is_asked_again_with_a_new_id_and_growing_patience() -> None:
    talk = Talk(TRADES)
    assert talk.wait(ACK_SECONDS - 1) == []
    assert talk.wait(4) == [talk.sent[0] | {"id": 2}]
    times = [talk.now for _ in range(1500) if talk.wait(1)]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[0] < waits[-1] <= ACK_SECONDS + 61
    assert len({request["id"] for request in talk.sent}) == len(talk.sent)
    assert not talk.reconnects


def test_a_late_acknowledgement_of_a_former_request_counts() -> None:
    talk = Talk(TRADES)
    talk.wait(ACK_SECONDS)
    talk.acknowledge(talk.sent[0])
    assert set(talk.states("trades").values()) == {"acknowledged"}
    assert talk.wait(60) == []


def test_symbols_left_out_of_an_acknowledgement_are_asked_for_again_alone() -> None:
    talk = Talk(TRADES)
    talk.hear(Acknowledged(1, "trades", frozenset("ABC")))
    assert symbols(talk.wait(2)) == [["D"]]
    assert talk.states("trades")["D"] == "requested"


def test_a_bad_symbol_is_found_by_halving_and_the_others_go_on() -> None:
    talk = Talk(Subscription("trades", "trades", tuple("ABCDEFGH"), prompt=False))
    asked = list(talk.sent)
    while asked:
        request = asked.pop(0)
        if "F" in request["params"]["symbols"]:
            asked += talk.hear(Refused(request["id"], "2001", "No such symbol", permanent=True))
        else:
            talk.acknowledge(request)
    states = talk.states("trades")
    assert states.pop("F") == "refused"
    assert set(states.values()) == {"acknowledged"}
    assert len(talk.sent) == 7
    assert talk.reason("trades", "F") == "No such symbol (code 2001)"
    assert talk.conversation.proved
    assert talk.wait(600) == []


def test_a_refusal_that_names_the_symbol_spares_the_halving() -> None:
    talk = Talk(TRADES)
    assert symbols(talk.hear(Refused(1, "2001", "No such symbol: C", permanent=True))) == [["C"], ["A", "B", "D"]]


@pytest.mark.parametrize("code", ["429", "500", "503", "504"])
def test_a_passing_refusal_is_asked_again_after_a_second_and_then_ever_later(code: str) -> None:
    talk = Talk(TRADES)
    waits = []
    for _ in range(9):
        assert talk.hear(Refused(talk.sent[-1]["id"], code, "Later", permanent=False)) == []
        start = talk.now
        while not talk.wait(0.5):
            pass
        waits.append(talk.now - start)
        assert talk.sent[-1]["params"] == talk.sent[0]["params"]
    assert waits[0] >= 1
    assert waits[0] < waits[4] < waits[-1] <= 60.5
    assert not talk.reconnects


def test_after_a_429_nothing_at_all_is_sent_for_a_second() -> None:
    talk = Talk(TRADES, BOOKS)
    talk.acknowledge(talk.sent[1])
    talk.hear(Refused(None, "429", "Too many", permanent=False))
    assert talk.hear(SequenceLost(FULL, "A", 5, 7)) == []
    assert talk.wait(0.9) == []
    assert symbols(talk.wait(0.2)) == [["A"]]


def test_a_lost_book_is_subscribed_anew_alone_and_at_once() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    talk.hear(*(SnapshotTaken(FULL, symbol) for symbol in "ABC"))
    new = talk.hear(SequenceLost(FULL, "B", 5, 7))
    assert [(request["method"], request["params"]) for request in new] == [
        ("unsubscribe", {"symbols": ["B"]}),
        ("subscribe", {"symbols": ["B"]}),
    ]
    assert talk.states(FULL) == {"A": "flowing", "B": "requested", "C": "flowing"}
    assert talk.reason(FULL, "B") == "expected 5, got 7"
    talk.acknowledge(new[1])
    talk.hear(SnapshotTaken(FULL, "B"))
    assert talk.conversation.proved


def test_a_book_that_is_being_taken_anew_is_not_asked_for_twice() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    assert len(talk.hear(SequenceLost(FULL, "B", 5, 7))) == 2
    assert talk.hear(SequenceLost(FULL, "B", 8, 9)) == []
    assert talk.wait(5) == []


def test_books_lost_together_share_their_requests() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    assert symbols(talk.hear(SequenceLost(FULL, "A", 5, 7), SequenceLost(FULL, "C", 5, 7))) == [["A", "C"]]
    assert talk.hear(SequenceLost(FULL, "B", 5, 7)) == []
    assert symbols(talk.wait(1)) == [["B"]]


def test_repeated_losses_are_answered_ever_later_and_at_last_by_a_new_connection() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    waits = []
    for _ in range(LOSSES_ALLOWED):
        start = talk.now
        new = talk.hear(SequenceLost(FULL, "B", 5, 7))
        while not new:
            new = talk.wait(0.5)
        waits.append(talk.now - start)
        talk.acknowledge(new[1])
        talk.hear(SnapshotTaken(FULL, "B"))
        talk.wait(1)
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert not talk.reconnects
    talk.hear(SequenceLost(FULL, "B", 5, 7))
    assert talk.reconnects == [f"{FULL} B: 6 losses in five minutes"]


def test_losses_far_apart_do_not_add_up() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    talk.hear(*(SnapshotTaken(FULL, symbol) for symbol in "ABC"))
    for _ in range(3 * LOSSES_ALLOWED):
        new = talk.hear(SequenceLost(FULL, "B", 5, 7))
        talk.acknowledge(new[1])
        talk.hear(SnapshotTaken(FULL, "B"))
        talk.wait(301)
    assert not talk.reconnects


def test_a_snapshot_that_does_not_come_is_asked_for_again() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    talk.hear(SnapshotTaken(FULL, "A"), SnapshotTaken(FULL, "B"))
    assert talk.wait(FIRST_DATA_SECONDS - 1) == []
    new = talk.wait(2)
    assert symbols(new, "unsubscribe") == symbols(new) == [["C"]]


def test_a_channel_that_stays_silent_costs_the_connection_after_three_more_tries() -> None:
    talk = Talk(TICKS)
    asked = talk.sent[:]
    for _ in range(4):
        assert not talk.reconnects
        talk.acknowledge(asked[-1])
        asked = talk.wait(FIRST_DATA_SECONDS)
    assert len(symbols(talk.sent)) == 4
    assert talk.reconnects
    assert "no data within 30 s" in talk.reconnects[0]


def test_a_dead_market_beside_living_ones_does_not_cost_the_connection() -> None:
    talk = Talk(TICKS)
    talk.show(TOP, "A")
    talk.acknowledge(*talk.sent)

    def go_on(seconds: int) -> None:
        for _ in range(seconds):
            talk.acknowledge(*[request for request in talk.wait(1) if request["method"] == "subscribe"])

    go_on(5 * int(FIRST_DATA_SECONDS))
    assert talk.states(TOP) == {"A": "flowing", "B": "acknowledged"}
    assert "dead market" in talk.reason(TOP, "B")
    before = len(talk.sent)
    go_on(3600)
    assert 0 < len(talk.sent) - before <= 2 * 3600 / QUIET_SECONDS
    assert "dead market" in talk.reason(TOP, "B")
    assert talk.conversation.proved
    assert not talk.reconnects
    talk.show(TOP, "B")
    talk.wait(1)
    assert talk.states(TOP)["B"] == "flowing"
    assert talk.reason(TOP, "B") == ""


def test_old_data_does_not_prove_a_new_subscription() -> None:
    talk = Talk(TICKS)
    talk.show(TOP, "A", "B")
    talk.acknowledge(*talk.sent)
    assert set(talk.states(TOP).values()) == {"flowing"}
    late = Talk(TICKS)
    late.acknowledge(*late.sent)
    late.wait(1)
    assert set(late.states(TOP).values()) == {"acknowledged"}


def test_events_about_what_was_not_asked_for_are_nothing() -> None:
    talk = Talk(TRADES)
    assert talk.hear(SequenceLost(FULL, "X", 1, 3), SnapshotTaken(FULL, "X"), Refused(99, "2001", "?", True)) == []
    assert not talk.reconnects


def test_its_repr_tells_how_it_stands() -> None:
    assert repr(Talk(TRADES).conversation) == "<FmfwConversation fmfw-1 requested=4>"


@pytest.mark.parametrize("seed", range(60))
def test_whatever_went_wrong_all_is_proved_once_the_venue_behaves(seed: int) -> None:
    random = Random(seed)
    talk = Talk(TRADES, BOOKS, TICKS)
    pending: list[dict[str, Any]] = []
    answered = 0
    for second in range(600):
        faulty = second < 120
        pending += talk.sent[answered:]
        answered = len(talk.sent)
        random.shuffle(pending)
        kept = []
        for request in pending:
            channel, names = request["ch"], request["params"]["symbols"]
            fate = random.random() if faulty else 1.0
            if fate < 0.2:
                kept.append(request)
            elif fate < 0.3:
                talk.hear(Refused(request["id"], random.choice(["429", "500"]), "later", permanent=False))
            elif fate < 0.4 or "D" in names:
                talk.hear(Refused(request["id"], "2001", "no such symbol", permanent="D" in names))
            elif fate < 0.5:
                talk.hear(Acknowledged(request["id"], channel, frozenset(names[1:])))
            elif fate > 0.6:
                talk.hear(Acknowledged(request["id"], channel, frozenset(names)))
                if request["method"] == "subscribe" and (not faulty or random.random() < 0.5):
                    talk.show(channel, *names)
                    talk.hear(*(SnapshotTaken(FULL, name) for name in names if channel == FULL))
        pending = kept
        if faulty and random.random() < 0.02:
            talk.hear(SequenceLost(FULL, random.choice("ABC"), 5, 7))
        talk.wait(1)
    assert talk.reconnects or talk.conversation.proved, talk.conversation
    if not talk.reconnects:
        assert talk.states("trades")["D"] == "refused"
        before = len(talk.sent)
        talk.wait(600)
        assert len(talk.sent) == before
