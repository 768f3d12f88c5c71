"""Greeting, pinging, asking, being refused, proving by data, taking books anew, asking for the past."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import orjson
import pytest

from collector.venues.events import Action, Reconnect, Send
from collector.venues.fmex.conversation import FmexConversation
from collector.venues.fmex.past import ANSWER_SECONDS
from collector.venues.fmex.pulse import HELLO_SECONDS
from collector.venues.kit.losses import LOSSES_ALLOWED
from collector.venues.kit.subscriptions import (
    ACK_SECONDS,
    DEAD_MARKET,
    FIRST_DATA_SECONDS,
    QUIET_SECONDS,
)
from collector.venues.plan import ConnectionPlan, Subscription
from tests.kit.headers import session_header
from tests.venues.fmex.reading import Reading, T, bar, change, ticker, trade, whole

DELTA = "depth-delta.L20"
BOOKS = Subscription(DELTA, "books", ("btcusd_p", "ethusd_p"))
TRADES = Subscription("trade", "trades", ("btcusd_p",), {"limit": 100}, prompt=False)
TICKS = Subscription("ticker", "ticks", ("btcusd_p",), prompt=False)
CANDLES = Subscription("candle.M1", "candles", ("btcusd_p",), {"limit": 50}, prompt=False)


class Talk:
    """A conversation with the venue's side played by hand; frames go through the real parser."""

    def __init__(self, *subscriptions: Subscription, greeted: bool = True) -> None:
        symbols = tuple(dict.fromkeys(symbol for one in subscriptions for symbol in one.symbols))
        self.reading = Reading(symbols)
        told = session_header({"ping_seconds": 10.0, "pong_seconds": 15.0})
        plan = ConnectionPlan("fmex-1", "ws://venue", subscriptions, told)
        self.conversation = FmexConversation(plan, self.reading.parser, Random(1))
        self.now = 1000.0
        self.sent: list[dict[str, Any]] = []
        self.reconnects: list[str] = []
        self._take(self.conversation.opened(self.now))
        if greeted:
            self.hear(f'{{"type":"hello","ts":{T}}}')

    def _take(self, actions: Sequence[Action]) -> list[dict[str, Any]]:
        new = [orjson.loads(action.payload) for action in actions if isinstance(action, Send)]
        self.sent += new
        self.reconnects += [action.reason for action in actions if isinstance(action, Reconnect)]
        return new

    @property
    def now_ms(self) -> int:
        return T + round((self.now - 1000) * 1000)

    def hear(self, text: str) -> list[dict[str, Any]]:
        events = self.reading.frame(text, at_ms=self.now_ms)
        return self._take(self.conversation.handle(events, self.now))

    def wait(self, seconds: float, *, pongs: bool = True) -> list[dict[str, Any]]:
        """Let time pass in steps of a second at most; pings are answered unless told otherwise."""
        new: list[dict[str, Any]] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 1.0, end)
            sent = self._take(self.conversation.tick(self.now))
            new += sent
            for ping in [one for one in sent if pongs and one["cmd"] == "ping"]:
                self.hear(f'{{"id":"{ping["id"]}","type":"ping","ts":{self.now_ms},"gap":0}}')
        return [one for one in new if one["cmd"] != "ping"]

    def acknowledge(self, *commands: dict[str, Any], beside: Sequence[str] = ()) -> list[dict[str, Any]]:
        new = []
        for command in commands:
            topics = orjson.dumps([*(topic.lower() for topic in command["args"]), *beside]).decode()
            new += self.hear(f'{{"id":"{command["id"]}","type":"topics","topics":{topics}}}')
        return new

    def refuse(self, command: dict[str, Any], status: int, message: str) -> list[dict[str, Any]]:
        return self.hear(f'{{"id":"{command["id"]}","status":{status},"msg":"{message}"}}')

    def state(self, channel: str, symbol: str = "btcusd_p") -> str:
        return next(str(s.state) for s in self.conversation.statuses() if (s.channel, s.symbol) == (channel, symbol))

    def reason(self, channel: str, symbol: str = "btcusd_p") -> str:
        return next(s.reason for s in self.conversation.statuses() if (s.channel, s.symbol) == (channel, symbol))


def asked(commands: Sequence[dict[str, Any]], name: str = "sub") -> list[list[Any]]:
    return [command["args"] for command in commands if command["cmd"] == name]


def test_nothing_is_sent_before_the_greeting() -> None:
    talk = Talk(TRADES, greeted=False)
    talk.wait(5)
    assert not talk.sent
    talk.hear(f'{{"type":"hello","ts":{T}}}')
    assert talk.sent == [{"cmd": "sub", "args": ["trade.btcusd_p"], "id": "c1"}]


def test_a_line_that_is_never_greeted_is_given_up() -> None:
    talk = Talk(TRADES, greeted=False)
    talk.wait(HELLO_SECONDS)
    assert talk.reconnects == ["no hello within 15 s"]


def test_each_channel_is_asked_for_in_the_documentations_case() -> None:
    talk = Talk(TRADES, BOOKS, CANDLES)
    assert asked(talk.sent) == [
        ["trade.btcusd_p"],
        ["depth-delta.L20.btcusd_p", "depth-delta.L20.ethusd_p"],
        ["candle.M1.btcusd_p"],
    ]


def test_a_command_holds_twenty_topics_at_the_most() -> None:
    talk = Talk(Subscription("trade", "trades", tuple(f"s{n}" for n in range(45)), prompt=False))
    assert [len(topics) for topics in asked(talk.sent)] == [20, 20, 5]


def test_pings_carry_our_time_in_milliseconds_and_an_id() -> None:
    talk = Talk(TRADES)
    talk.wait(20)
    pings = [one for one in talk.sent if one["cmd"] == "ping"]
    assert [(one["args"], one["id"]) for one in pings] == [([T + 10_000], "ping#1"), ([T + 20_000], "ping#2")]
    assert not talk.reconnects


def test_a_ping_that_is_not_answered_ends_the_line() -> None:
    talk = Talk(TRADES)
    talk.wait(24, pongs=False)
    assert not talk.reconnects
    talk.wait(1, pongs=False)
    assert talk.reconnects == ["a ping was not answered within 15 s"]


def test_a_subscription_flows_once_it_is_acknowledged_and_data_has_come() -> None:
    talk = Talk(TICKS)
    assert talk.state("ticker") == "requested"
    talk.acknowledge(talk.sent[0])
    assert talk.state("ticker") == "acknowledged"
    assert talk.conversation.proved
    talk.hear(ticker())
    talk.wait(1)
    assert talk.state("ticker") == "flowing"


def test_an_acknowledgement_may_list_all_topics_of_the_connection_in_any_case() -> None:
    talk = Talk(TICKS, BOOKS)
    ticks, books = talk.sent
    talk.acknowledge(books, beside=["TICKER.BTCUSD_P"])
    assert talk.state("ticker") == "requested"
    talk.acknowledge(ticks, beside=["depth-delta.L20.BTCUSD_P"])
    assert talk.state("ticker") == "acknowledged"


def test_an_acknowledgement_without_id_is_known_by_its_topics() -> None:
    talk = Talk(TICKS, TRADES)
    talk.hear('{"type":"topics","topics":["trade.btcusd_p"]}')
    assert (talk.state("ticker"), talk.state("trade")) == ("requested", "acknowledged")


def test_a_topic_left_out_of_the_acknowledgement_is_asked_for_again() -> None:
    talk = Talk(BOOKS)
    (books,) = talk.sent
    talk.acknowledge({**books, "args": books["args"][:1]})
    assert (talk.state(DELTA), talk.state(DELTA, "ethusd_p")) == ("acknowledged", "waiting")
    assert asked(talk.wait(3)) == [["depth-delta.L20.ethusd_p"]]


def test_a_command_that_nobody_answers_is_sent_again_under_another_id() -> None:
    talk = Talk(TICKS)
    again = talk.wait(ACK_SECONDS + 3)
    assert asked(again) == [["ticker.btcusd_p"]]
    assert again[0]["id"] != talk.sent[0]["id"]


def test_refused_topics_are_asked_for_one_by_one_and_only_the_wrong_one_is_given_up() -> None:
    talk = Talk(BOOKS)
    alone = talk.refuse(talk.sent[0], 41002, "invalid sub topic, depth-delta.L20.ethusd_p")
    assert asked(alone) == [["depth-delta.L20.btcusd_p"], ["depth-delta.L20.ethusd_p"]]
    talk.acknowledge(alone[0])
    talk.refuse(alone[1], 41002, "invalid sub topic, depth-delta.L20.ethusd_p")
    assert talk.state(DELTA) == "acknowledged"
    assert talk.state(DELTA, "ethusd_p") == "refused"
    assert "41002" in talk.reason(DELTA, "ethusd_p")
    talk.hear(whole(1))
    assert talk.conversation.proved


def test_a_refusal_without_id_is_known_by_the_topic_that_it_names() -> None:
    talk = Talk(TICKS, TRADES)
    talk.hear('{"status":41002,"msg":"invalid sub topic, trade.btcusd_p"}')
    assert (talk.state("ticker"), talk.state("trade")) == ("requested", "refused")


def test_a_refusal_that_may_pass_is_tried_again() -> None:
    talk = Talk(TICKS)
    talk.refuse(talk.sent[0], 500, "later")
    assert talk.state("ticker") == "waiting"
    assert asked(talk.wait(3)) == [["ticker.btcusd_p"]]


def test_a_book_is_proved_by_its_first_whole_message() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    talk.hear(change(5, 4))
    talk.wait(1)
    assert talk.state(DELTA) == "acknowledged"
    talk.hear(whole(6))
    assert talk.state(DELTA) == "flowing"


def flowing_book() -> Talk:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    talk.hear(whole(100))
    talk.hear(whole(100).replace("btcusd_p", "ethusd_p"))
    talk.sent.clear()
    return talk


def test_a_book_that_lost_messages_is_given_up_and_asked_for_anew_it_alone() -> None:
    talk = flowing_book()
    talk.hear(change(120, 110))
    assert [(one["cmd"], one["args"]) for one in talk.sent] == [
        ("unsub", ["depth-delta.L20.btcusd_p"]),
        ("sub", ["depth-delta.L20.btcusd_p"]),
    ]
    assert talk.state(DELTA, "ethusd_p") == "flowing"
    left, taken = talk.sent
    talk.acknowledge({**left, "args": ["depth-delta.L20.ethusd_p"]})
    talk.acknowledge(taken, beside=["depth-delta.l20.ethusd_p"])
    talk.hear(whole(200))
    assert talk.state(DELTA) == "flowing"


def test_losses_while_a_book_is_on_its_way_ask_for_nothing_more() -> None:
    talk = flowing_book()
    talk.hear(change(120, 110))
    before = len(talk.sent)
    talk.hear(change(130, 125))
    talk.hear(change(140, 139))
    assert len(talk.sent) == before


def test_a_book_that_breaks_again_and_again_ends_the_connection() -> None:
    talk = flowing_book()
    for number in range(LOSSES_ALLOWED + 1):
        talk.hear(change(1000 * number + 120, 7))
        subs = [one for one in talk.wait(30) if one["cmd"] == "sub"] or [talk.sent[-1]]
        if talk.reconnects:
            break
        talk.acknowledge(subs[-1])
        talk.hear(whole(1000 * (number + 1)))
    assert set(talk.reconnects) == {f"depth-delta.L20.btcusd_p: {LOSSES_ALLOWED + 1} losses in five minutes"}


def test_a_book_without_its_whole_message_is_asked_for_anew_and_then_the_line_is_given_up() -> None:
    talk = Talk(Subscription(DELTA, "books", ("btcusd_p",)))
    talk.acknowledge(*talk.sent)
    renewals = 0
    for _ in range(6):
        new = talk.wait(FIRST_DATA_SECONDS + 1)
        renewals += len(asked(new, "unsub"))
        talk.acknowledge(*[one for one in new if one["cmd"] == "sub"])
    assert renewals == 3
    assert "no data within 30 s" in talk.reconnects[0]


def test_a_dead_market_does_not_bring_the_line_down() -> None:
    talk = Talk(BOOKS)
    talk.acknowledge(*talk.sent)
    talk.hear(whole(100))
    for _ in range(6):
        talk.acknowledge(*[one for one in talk.wait(FIRST_DATA_SECONDS + 1) if one["cmd"] == "sub"])
    assert not talk.reconnects
    assert talk.reason(DELTA, "ethusd_p") == DEAD_MARKET
    assert talk.conversation.proved
    assert asked(talk.wait(QUIET_SECONDS), "unsub")


def test_trades_of_an_outage_are_asked_for_when_the_topic_is_acknowledged() -> None:
    talk = Talk(TRADES, CANDLES)
    new = talk.acknowledge(*talk.sent)
    assert [(one["args"], one["id"]) for one in new] == [
        (["trade.btcusd_p", 100], "trade.btcusd_p#1"),
        (["candle.M1.btcusd_p", 50], "candle.M1.btcusd_p#2"),
    ]
    talk.hear(f'{{"id":"trade.btcusd_p#1","ts":{T},"data":[{trade()}]}}')
    assert len(talk.reading.out.trades) == 1
    assert not asked(talk.wait(ANSWER_SECONDS - 2), "req")


def test_the_past_is_asked_for_twice_at_the_most() -> None:
    talk = Talk(TRADES)
    talk.acknowledge(*talk.sent)
    assert len(asked(talk.wait(10 * ANSWER_SECONDS), "req")) == 1
    assert talk.state("trade") == "acknowledged"


def test_a_refused_past_is_left_alone() -> None:
    talk = Talk(TRADES)
    (past,) = talk.acknowledge(*talk.sent)
    talk.refuse(past, 41002, "invalid req topic")
    assert not asked(talk.wait(60), "req")


def test_no_past_is_asked_for_where_none_is_wanted() -> None:
    talk = Talk(Subscription("trade", "trades", ("btcusd_p",), {"limit": 0}, prompt=False))
    assert not talk.acknowledge(*talk.sent)


def test_a_bar_that_was_closed_is_asked_for_once_more() -> None:
    talk = Talk(CANDLES)
    (past,) = talk.acknowledge(*talk.sent)
    talk.hear(f'{{"id":"{past["id"]}","data":[]}}')
    talk.hear(bar(T // 1000, kind="candle.m1.btcusd_p"))
    assert not asked(talk.wait(50), "req")
    talk.now += 11
    talk.hear(bar(T // 1000 + 60, kind="candle.m1.btcusd_p"))
    assert asked(talk.wait(5), "req") == [["candle.M1.btcusd_p", 3]]


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"c99","type":"topics","topics":[]}',
        '{"id":"x","status":1,"msg":null}',
        '{"type":"topics","topics":[]}',
        '{"status":41002}',
    ],
)
def test_answers_to_nothing_change_nothing(text: str) -> None:
    talk = Talk(TICKS)
    talk.hear(text)
    assert talk.state("ticker") == "requested"


def test_it_tells_how_it_stands() -> None:
    assert repr(Talk(BOOKS).conversation) == "<FmexConversation fmex-1 requested=2>"
