"""The socket's client side: asking, proof by data, trouble."""

from __future__ import annotations

from random import Random

import orjson

from collector.venues.events import (
    Acknowledged,
    Reconnect,
    Refused,
    Send,
    SequenceLost,
    SnapshotTaken,
    SubscriptionState,
)
from collector.venues.finam import FinamConversation, FinamParser, FinamSettings
from collector.venues.finam.discovery import _streamed
from collector.venues.finam.shared import SharedState
from collector.venues.header import SessionHeader

A, B = "SBER@MISX", "GAZP@MISX"
HELLO = Acknowledged(None, "HANDSHAKE_SUCCESS", frozenset())


def begin(*streams: str) -> tuple[FinamConversation, SharedState, FinamParser]:
    settings = FinamSettings(secret="tapi_sk_x", symbols=(A, B), transport="stream")
    shared = SharedState("finam", settings)
    shared.token = "tapi_ak_1"
    wanted: dict[str, tuple[str, ...]] = dict.fromkeys(streams or ("trades", "ticks", "books", "candles"), (A, B))
    header = SessionHeader("finam", "finam", (A, B))
    [plan], _ = _streamed(shared, wanted, header)
    parser = FinamParser.begin(plan.header)
    conversation = FinamConversation(plan, shared, parser, Random(1))
    conversation.opened(0.0)
    return conversation, shared, parser


def sent(actions: object) -> list[dict[str, object]]:
    return [orjson.loads(action.payload) for action in actions if isinstance(action, Send)]  # type: ignore[attr-defined]


def proof(channel: str, *symbols: str) -> Acknowledged:
    return Acknowledged(None, channel, frozenset(symbols))


def test_nothing_is_asked_before_the_greeting_and_everything_after_it() -> None:
    conversation, _, _ = begin()
    assert conversation.tick(1.0) == ()
    requests = sent(conversation.handle([HELLO], 1.0))
    assert len([one for one in requests if one["type"] == "QUOTES"]) == 1
    assert {one["type"] for one in requests} == {"QUOTES", "ORDER_BOOK", "INSTRUMENT_TRADES", "BARS"}
    assert len(requests) == 7
    assert all(one["token"] == "tapi_ak_1" and one["action"] == "SUBSCRIBE" for one in requests)
    [bars, _] = [one["data"] for one in requests if one["type"] == "BARS"]
    assert bars == {"symbol": A, "timeframe": "TIME_FRAME_M1"}


def test_venue_that_does_not_greet_is_left() -> None:
    conversation, _, _ = begin()
    assert isinstance(conversation.tick(21.0)[0], Reconnect)


def test_first_data_prove_a_subscription_and_send_rest_after_its_hole() -> None:
    conversation, shared, _ = begin("trades")
    conversation.handle([HELLO], 0.0)
    assert not conversation.proved
    conversation.handle([proof("INSTRUMENT_TRADES", A)], 1.0)
    assert shared.urgent == {A}
    conversation.handle([proof("INSTRUMENT_TRADES", B)], 1.0)
    assert conversation.proved


def test_silent_subscription_is_made_again_and_then_taken_for_a_quiet_market() -> None:
    conversation, _, _ = begin("trades")
    conversation.handle([HELLO, proof("INSTRUMENT_TRADES", B)], 0.0)
    again = []
    for second in range(1, 60):
        again += sent(conversation.tick(float(second)))
        conversation._data_at = float(second)
    assert [one["action"] for one in again] == ["UNSUBSCRIBE", "SUBSCRIBE"] * 2
    assert conversation.proved
    assert "quiet market" in conversation.statuses()[0].reason


def test_book_that_crossed_is_subscribed_anew_alone() -> None:
    conversation, _, _ = begin("books")
    conversation.handle([HELLO, proof("ORDER_BOOK", A, B)], 0.0)
    requests = sent(conversation.handle([SequenceLost("ORDER_BOOK", A, 0, 0)], 1.0))
    assert [(one["action"], one["data"]) for one in requests] == [
        ("UNSUBSCRIBE", {"symbol": A}),
        ("SUBSCRIBE", {"symbol": A}),
    ]
    conversation.handle([SnapshotTaken("ORDER_BOOK", A)], 2.0)
    assert conversation.proved
    assert sent(conversation.handle([SequenceLost("ORDER_BOOK", A, 0, 0)], 3.0)) == []
    assert sent(conversation.tick(6.0)) != []


def test_token_that_is_not_accepted_any_more_ends_the_connection_and_is_replaced() -> None:
    conversation, shared, _ = begin("trades")
    conversation.handle([HELLO], 0.0)
    [action] = conversation.handle([Refused(None, "UNAUTHENTICATED", "token expired", permanent=False)], 1.0)
    assert isinstance(action, Reconnect)
    assert "tapi" not in action.reason
    assert shared.token is None


def test_without_a_token_nothing_is_asked_until_there_is_one() -> None:
    conversation, shared, _ = begin("trades")
    shared.token = None
    assert sent(conversation.handle([HELLO], 0.0)) == []
    shared.token = "tapi_ak_2"
    assert len(sent(conversation.tick(1.0))) == 2


def test_refused_symbol_is_told_and_the_others_are_not_disturbed() -> None:
    conversation, _, _ = begin("trades")
    conversation.handle([HELLO], 0.0)
    conversation.handle([Refused(None, "NOT_FOUND", f"Instrument {A} not found", permanent=True)], 1.0)
    states = {one.symbol: one.state for one in conversation.statuses()}
    assert states == {A: SubscriptionState.REFUSED, B: SubscriptionState.REQUESTED}


def test_silence_of_an_open_market_ends_the_connection_and_that_of_a_closed_one_does_not() -> None:
    conversation, shared, parser = begin("trades")
    conversation.handle([HELLO, proof("INSTRUMENT_TRADES", A, B)], 0.0)
    parser.last_seen["INSTRUMENT_TRADES"] = {A: 1}
    assert not conversation.tick(10.0)
    shared.closed = frozenset({A, B})
    assert not conversation.tick(75.0)
    shared.closed = frozenset({A})
    assert isinstance(conversation.tick(76.0)[0], Reconnect)


def test_connection_is_made_anew_before_the_venue_ends_it() -> None:
    conversation, shared, _ = begin("trades")
    shared.closed = frozenset({A, B})
    conversation.handle([HELLO, proof("INSTRUMENT_TRADES", A, B)], 0.0)
    assert isinstance(conversation.tick(23.5 * 3600)[0], Reconnect)
