"""The client's side of a socket: greeting, pings, the way to market data, refusals, and what makes it begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import orjson
import pytest

from collector.venues.events import Action, Event, Reconnect, Refused, Send, SequenceLost
from collector.venues.metaapi.conversation import MetaapiConversation
from collector.venues.metaapi.happenings import (
    BrokerStatus,
    Downgraded,
    LimitReached,
    LineConnected,
    LineOpened,
    PingAnswered,
    RequestAnswered,
    SynchronisationFinished,
    SynchronisationStarted,
    TerminalAttached,
    TerminalDetached,
)
from collector.venues.metaapi.parser import MetaapiParser
from collector.venues.plan import ConnectionPlan
from tests.kit.headers import session_header

from .reading import ACCOUNT, DEMO, HEADER

OTHER = "0b1d4c5e"


class Talk:
    """A conversation with what it has sent and not been answered yet."""

    def __init__(self, **accounts: Any) -> None:
        header = session_header({**HEADER, "accounts": {ACCOUNT: DEMO, **accounts}})
        self.parser = MetaapiParser(header)
        self.conversation = MetaapiConversation(ConnectionPlan("m", "", (), header), self.parser, Random(5))
        self.now = 0.0
        self.sent: list[dict[str, Any]] = []
        self.pings = 0
        self.reconnect: str | None = None
        self._take(self.conversation.opened(self.now))

    def _take(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Reconnect):
                self.reconnect = action.reason
            elif action.payload == b"2":
                self.pings += 1
            else:
                assert isinstance(action, Send)
                assert action.payload.startswith(b"42[")
                self.sent.append(orjson.loads(action.payload[2:])[1])

    def tell(self, *events: Event) -> None:
        self._take(self.conversation.handle(events, self.now))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1)
            self._take(self.conversation.tick(self.now))

    def take(self, kind: str) -> list[dict[str, Any]]:
        """The requests of a kind since the last time that they were taken."""
        found = [one for one in self.sent if one["type"] == kind]
        self.sent = [one for one in self.sent if one["type"] != kind]
        return found

    def answer(self, requests: Sequence[dict[str, Any]]) -> None:
        self.tell(*[RequestAnswered(one["requestId"]) for one in requests])

    def refuse(self, request: dict[str, Any], code: str, *, permanent: bool = False, **limit: Any) -> None:
        identity = request["requestId"]
        if limit:
            facts = {"wait_seconds": None, "limit": "L", "new_client_id": False, **limit}
            self.tell(LimitReached(identity, **facts), Refused(identity, code, "m", permanent))
        else:
            self.tell(Refused(identity, code, "m", permanent))

    def greet(self, interval: float = 25.0) -> None:
        self.tell(LineOpened(interval, 5.0), LineConnected())

    def attach(self) -> None:
        [subscribe] = self.take("subscribe")
        self.answer([subscribe])
        self.tell(TerminalAttached("demo", "h", subscribe["sessionId"], "2024-05-06T07:08:09.010Z"))

    def synchronise(self) -> None:
        self.attach()
        self.answer(self.take("synchronize"))
        self.tell(SynchronisationStarted("demo"))
        self.tell(BrokerStatus("demo", connected=True))
        self.tell(SynchronisationFinished("demo"))

    def live(self) -> None:
        self.greet()
        self.tell(PingAnswered())
        self.synchronise()
        while asked := self.take("subscribeToMarketData"):
            self.answer(asked)

    def states(self) -> dict[tuple[str, str], str]:
        return {(one.channel, one.symbol): str(one.state) for one in self.conversation.statuses()}


def test_server_that_does_not_greet_is_given_up() -> None:
    talk = Talk()
    talk.wait(16)
    assert "greet" in (talk.reconnect or "")
    assert talk.sent == []


def test_way_to_market_data_is_subscribe_authenticated_synchronize_refresh_and_each_symbol() -> None:
    talk = Talk()
    talk.greet()
    assert talk.pings == 1
    [subscribe] = talk.sent
    assert (subscribe["type"], subscribe["accountId"], subscribe["instanceIndex"]) == ("subscribe", ACCOUNT, 0)
    talk.attach()
    [synchronize] = talk.take("synchronize")
    assert (synchronize["version"], synchronize["host"]) == (2, "h")
    assert synchronize["startingDealTime"] == "2024-05-06T07:08:09.010Z"
    talk.tell(SynchronisationStarted("demo"))
    [refresh] = talk.take("refreshMarketDataSubscriptions")
    assert [one["symbol"] for one in refresh["subscriptions"]] == ["EURUSD", "SBER"]
    assert {"type": "candles", "timeframe": "1mn"} in refresh["subscriptions"][0]["subscriptions"]
    proved = talk.conversation.proved
    assert not proved
    talk.tell(SynchronisationFinished("demo"))
    asked = talk.take("subscribeToMarketData")
    assert [one["symbol"] for one in asked] == ["EURUSD", "SBER"]
    talk.answer(asked)
    assert talk.conversation.proved
    talk.wait(1)
    assert set(talk.states().values()) == {"acknowledged"}
    assert len({one["requestId"] for one in [subscribe, synchronize, refresh, *asked]}) == 5


def test_authentication_of_another_session_is_not_ours() -> None:
    talk = Talk()
    talk.greet()
    talk.tell(TerminalAttached("demo", "h", "another", ""))
    assert talk.take("synchronize") == []


def test_data_prove_a_subscription() -> None:
    talk = Talk()
    talk.live()
    talk.parser.last_seen["demo/quotes"]["EURUSD"] = 5
    talk.wait(1)
    assert talk.states()["demo/quotes", "EURUSD"] == "flowing"
    assert talk.states()["demo/account", "demo"] == "flowing"
    assert talk.states()["demo/ticks", "EURUSD"] == "acknowledged"


def test_four_states_of_an_account_are_told_apart() -> None:
    talk = Talk()
    talk.greet()
    talk.tell(PingAnswered())

    def reason() -> str:
        talk.wait(1)
        return talk.conversation.statuses()[0].reason

    assert "terminal not attached" in reason()
    talk.attach()
    assert "terminal attached, broker status unknown, synchronising" in reason()
    talk.tell(BrokerStatus("demo", connected=False))
    assert "broker not connected" in reason()
    talk.tell(BrokerStatus("demo", connected=True))
    talk.tell(SynchronisationFinished("demo"))
    assert "broker connected, synchronised, no quotes" in reason()
    talk.parser.last_seen["demo/quotes"]["EURUSD"] = 5
    assert "quotes streaming" in reason()


def test_ping_without_an_answer_ends_the_line_and_answered_ones_go_on() -> None:
    talk = Talk()
    talk.greet(interval=10.0)
    talk.tell(PingAnswered())
    talk.wait(11)
    assert talk.pings == 2
    assert talk.reconnect is None
    talk.wait(6)
    assert "ping" in (talk.reconnect or "")


def test_terminal_that_is_not_there_is_asked_for_ever_more_seldom() -> None:
    talk = Talk()
    talk.greet(interval=10_000.0)
    talk.tell(PingAnswered())
    talk.wait(60)
    soon = len(talk.take("subscribe"))
    talk.wait(3000)
    assert 4 <= soon <= 6
    assert 10 <= len(talk.take("subscribe")) <= 16
    assert talk.reconnect is None


def test_silent_terminal_is_subscribed_to_again() -> None:
    talk = Talk()
    talk.live()
    talk.tell(LineOpened(10_000.0, 5.0))
    talk.conversation._ping_at = float("inf")
    talk.wait(59)
    assert talk.take("subscribe") == []
    talk.wait(3)
    assert len(talk.take("subscribe")) == 1
    assert set(talk.states().values()) == {"waiting"}


def test_detached_terminal_is_asked_for_after_one_to_five_seconds() -> None:
    talk = Talk()
    talk.live()
    talk.tell(TerminalDetached("demo"))
    assert talk.take("subscribe") == []
    talk.wait(6)
    assert len(talk.take("subscribe")) == 1


def test_synchronisation_without_progress_is_asked_for_again() -> None:
    talk = Talk()
    talk.greet(interval=10_000.0)
    talk.tell(PingAnswered())
    talk.attach()
    talk.answer(talk.take("synchronize"))
    for _ in range(13):
        talk.wait(10)
        talk.tell(BrokerStatus("demo", connected=True))
    assert len(talk.take("synchronize")) == 1


def test_one_bad_kind_does_not_take_the_others_of_its_symbol() -> None:
    talk = Talk()
    talk.greet()
    talk.tell(PingAnswered())
    talk.synchronise()
    euro, share = talk.take("subscribeToMarketData")
    talk.answer([share])
    talk.refuse(euro, "ValidationError", permanent=True)
    talk.wait(1)
    singles = talk.take("subscribeToMarketData")
    assert [[one["type"] for one in single["subscriptions"]] for single in singles] == [
        ["quotes"],
        ["ticks"],
        ["marketDepth"],
        ["candles"],
        ["candles"],
    ]
    talk.answer(singles[:2] + singles[3:])
    talk.refuse(singles[2], "ValidationError", permanent=True)
    states = talk.states()
    assert states["demo/marketDepth", "EURUSD"] == "refused"
    assert [one for one, state in states.items() if state == "refused"] == [("demo/marketDepth", "EURUSD")]
    assert talk.conversation.proved


def test_refused_for_now_is_asked_again_when_the_venue_says() -> None:
    talk = Talk()
    talk.greet()
    talk.tell(PingAnswered())
    talk.synchronise()
    euro, _ = talk.take("subscribeToMarketData")
    talk.refuse(euro, "TooManyRequestsError", wait_seconds=7.0)
    talk.wait(6)
    assert talk.take("subscribeToMarketData") == []
    talk.wait(2)
    assert [one["symbol"] for one in talk.take("subscribeToMarketData")] == ["EURUSD"]


def test_full_server_is_left_for_another_with_a_new_client_id() -> None:
    talk = Talk()
    talk.greet()
    talk.refuse(talk.take("subscribe")[0], "TooManyRequestsError", new_client_id=True)
    assert "full" in (talk.reconnect or "")


def test_refused_token_is_told_and_not_tried_in_a_loop() -> None:
    talk = Talk()
    talk.greet(interval=10_000.0)
    talk.tell(PingAnswered())
    talk.refuse(talk.take("subscribe")[0], "UnauthorizedError")
    talk.wait(290)
    assert talk.take("subscribe") == []
    assert "correct token in [venues.metaapi]" in talk.conversation.statuses()[0].reason


def test_request_that_nobody_answers_is_made_again() -> None:
    talk = Talk()
    talk.greet(interval=10_000.0)
    talk.tell(PingAnswered())
    talk.synchronise()
    talk.take("subscribeToMarketData")
    for _ in range(7):
        talk.wait(10)
        talk.tell(BrokerStatus("demo", connected=True))
    assert len(talk.take("subscribeToMarketData")) == 2


def test_only_a_few_requests_for_data_are_open_at_a_time() -> None:
    many = {**DEMO, "symbols": [f"S{number}" for number in range(50)]}
    talk = Talk()
    talk.conversation = MetaapiConversation(
        ConnectionPlan("m", "", (), session_header({**HEADER, "accounts": {ACCOUNT: many}})),
        MetaapiParser(session_header(HEADER)),
        Random(1),
    )
    talk.conversation.opened(0)
    talk.greet()
    talk.synchronise()
    first = talk.take("subscribeToMarketData")
    assert len(first) == 8
    talk.answer(first[:3])
    assert len(talk.take("subscribeToMarketData")) == 3


def test_subscriptions_are_renewed_at_random_moments_within_the_limit() -> None:
    talk = Talk()
    talk.live()
    talk.take("refreshMarketDataSubscriptions")
    talk.conversation._ping_at = float("inf")
    for _ in range(125):
        talk.wait(10)
        talk.tell(BrokerStatus("demo", connected=True))
        talk.parser.last_seen["demo/quotes"]["EURUSD"] = int(talk.now * 1e9)
        talk.answer(talk.take("refreshMarketDataSubscriptions") and [])
    assert talk.conversation.proved


def test_downgraded_subscription_stays_reduced_in_every_later_list() -> None:
    talk = Talk()
    talk.live()
    talk.take("refreshMarketDataSubscriptions")
    talk.tell(Downgraded("demo", "EURUSD", {"quotes": 5000}, ["marketDepth"]))
    talk.wait(1)
    [refresh] = talk.take("refreshMarketDataSubscriptions")
    euro = {one["type"]: one for one in refresh["subscriptions"][0]["subscriptions"]}
    assert euro["quotes"]["intervalInMilliseconds"] == 5000
    assert "marketDepth" not in euro
    assert "downgraded" in next(
        one.reason for one in talk.conversation.statuses() if (one.channel, one.symbol) == ("demo/quotes", "EURUSD")
    )


def test_losses_that_repeat_begin_the_account_anew_and_then_the_line() -> None:
    talk = Talk()
    talk.live()
    for _ in range(3):
        talk.tell(SequenceLost("demo", "", 1, 3))
    assert len(talk.take("subscribe")) == 1
    for _ in range(3):
        talk.tell(SequenceLost("demo", "", 1, 3))
    assert "losses" in (talk.reconnect or "")


@pytest.mark.parametrize("away", [True, False])
def test_account_that_is_away_does_not_hold_up_the_others_of_its_socket(away: bool) -> None:
    talk = Talk(**{OTHER: {**DEMO, "name": "second"}})
    talk.greet(interval=10_000.0)
    talk.tell(PingAnswered())
    subscribe = next(one for one in talk.take("subscribe") if one["accountId"] == ACCOUNT)
    talk.tell(TerminalAttached("demo", "h", subscribe["sessionId"], ""))
    talk.tell(SynchronisationFinished("demo"))
    talk.answer(talk.take("subscribeToMarketData"))
    for _ in range(7 if away else 3):
        talk.tell(BrokerStatus("demo", connected=True))
        talk.wait(10)
    assert talk.conversation.proved is away
