"""Indexes, exchange rates and open interest, each as often as it is wanted."""

from __future__ import annotations

from random import Random
from typing import Any

from collector.errors import VenueError
from collector.venues.fmex.discovery import discover
from collector.venues.fmex.polling import PERMANENT_SECONDS, FmexPolling
from collector.venues.fmex.settings import FmexSettings
from collector.venues.plan import PollPlan
from collector.venues.rest import RestAnswer, RestCall
from tests.venues.fmex.reading import Reading, T

INDEXES = f'{{".btcusd_spot":[{T},7758.57]}}'


class Polled:
    """A polling whose answers are given by hand."""

    def __init__(self, **settings: Any) -> None:
        chosen = FmexSettings(**{"streams": ("derivatives", "rates"), **settings})
        generator = discover("fmex", chosen)
        next(generator)
        try:
            generator.send(RestAnswer(200, {}, b'{"data":[{"name":"btcusd_p"}]}', T * 1_000_000))
        except StopIteration as done:
            (self.plan,) = done.value.polls
        assert isinstance(self.plan, PollPlan)
        self.reading = Reading(self.plan.header.symbols, streams=self.plan.header.own["streams"])
        self.polling = FmexPolling(self.plan, chosen, self.reading.parser, Random(1))
        self.now = 0.0

    def next(self) -> RestCall | float:
        return self.polling.next("rest", self.now, 0)

    def answer(self, call: RestCall | float, data: str) -> None:
        assert isinstance(call, RestCall)
        self.reading.rest(call.channel.removeprefix("rest:"), data)
        self.polling.answered("rest", call, RestAnswer(200, {}, b"", 0), (), self.now)

    def fail(self, call: RestCall | float, *, permanent: bool) -> None:
        assert isinstance(call, RestCall)
        self.polling.failed("rest", call, VenueError("fmex", "gone", permanent=permanent), self.now)

    def run(self, seconds: float) -> list[tuple[float, str]]:
        """Answer everything for so long; returns when what was asked."""
        asked = []
        end = self.now + seconds
        while self.now < end:
            step = self.next()
            if isinstance(step, RestCall):
                asked.append((self.now, step.channel))
                self.answer(step, INDEXES if step.channel == "rest:indexes" else f'{{"usdcny":[{T},7]}}')
            else:
                self.now += step
        return asked

    def states(self) -> dict[str, str]:
        return {status.channel: str(status.state) for status in self.polling.statuses()}


def test_each_is_asked_for_as_often_as_it_is_wanted() -> None:
    asked = Polled(indexes_seconds=5, exchange_rates_seconds=20).run(41)
    assert [at for at, channel in asked if channel == "rest:indexes"] == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    assert [at for at, channel in asked if channel == "rest:fex"] == [0, 20, 40]


def test_open_interest_is_asked_for_first_and_only_where_an_address_is_set() -> None:
    polled = Polled(statistics_url="http://other/statistics")
    call = polled.next()
    assert isinstance(call, RestCall)
    assert (call.channel, call.url) == ("rest:statistics", "http://other/statistics")
    assert all(channel != "rest:statistics" for _, channel in Polled().run(10))


def test_everything_flows_once_it_was_answered() -> None:
    polled = Polled()
    assert set(polled.states().values()) == {"waiting"}
    assert not polled.polling.proved
    polled.run(1)
    assert set(polled.states().values()) == {"flowing"}
    assert polled.polling.proved


def test_an_answer_with_nothing_of_it_is_told() -> None:
    polled = Polled(streams=("derivatives",))
    polled.answer(polled.next(), f'{{".ethusd_spot":[{T},140]}}')
    (status,) = polled.polling.statuses()
    assert (status.state, status.reason) == ("acknowledged", "the venue's answer has nothing of it")


def test_a_call_that_fails_is_made_later_and_the_others_go_on() -> None:
    polled = Polled(indexes_seconds=5, exchange_rates_seconds=1)
    indexes = polled.next()
    polled.fail(indexes, permanent=False)
    assert polled.states()["indexes"] == "waiting"
    assert {channel for _, channel in polled.run(4)} == {"rest:fex"}
    assert "rest:indexes" in {channel for _, channel in polled.run(10)}
    assert polled.states()["indexes"] == "flowing"


def test_what_the_venue_does_not_have_is_refused_and_asked_for_seldom() -> None:
    polled = Polled()
    polled.answer(polled.next(), INDEXES)
    polled.fail(polled.next(), permanent=True)
    assert polled.states()["fex"] == "refused"
    assert polled.polling.proved
    asked = polled.run(PERMANENT_SECONDS + 10)
    assert [channel for _, channel in asked].count("rest:fex") == 1
