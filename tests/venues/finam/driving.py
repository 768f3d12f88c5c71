"""The polling with a venue behind it and no network: a simulated venue answers, on a clock of its own."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import orjson

from collector.errors import VenueError
from collector.model import Records
from collector.simulator.finam.rest import ApiError, method_of
from collector.simulator.finam.text import status
from collector.simulator.finam.venue import FinamVenue
from collector.simulator.options import Options
from collector.venues import finam
from collector.venues.events import Event, SubscriptionStatus
from collector.venues.finam import FinamAdapter, FinamParser, FinamPolling, FinamSettings
from collector.venues.plan import Plan
from collector.venues.rest import RestAnswer, RestCall

START_NS = 1_795_250_000_000_000_000  # 2026-11-21 08:33 UTC, a quiet hour of no maintenance
BASE = "http://finam/v1"


class Driven:
    """One polling, one simulated venue, and the time between them."""

    def __init__(
        self,
        *,
        symbols: int = 3,
        rate: float = 50.0,
        start_ns: int = START_NS,
        latency: float = 0.05,
        longest_wait: float = 1.0,
        venue: Mapping[str, object] | None = None,
        **settings: Any,
    ) -> None:
        self.start_ns = start_ns
        self.now = 0.0
        self.latency = latency
        self.rate = rate
        self._longest_wait = longest_wait
        self._made = 0.0
        self.venue = FinamVenue(
            Options(seed=3, rate=rate, symbols=symbols, clock_ns=self.now_ns, settings=dict(venue or {}))
        )
        self.adapter = FinamAdapter()
        listed = tuple(self.venue.exchange.markets)
        self.settings = FinamSettings(
            **{
                "secret": "tapi_sk_simulated",
                "symbols": listed,
                "rest_url": BASE,
                "ws_url": "ws://finam/ws",
                **settings,
            }
        )
        spoken = self.adapter.begin("finam", self.settings)
        assert isinstance(spoken, finam.FinamVenue)
        self.spoken = spoken
        self.out = Records()
        self.statuses_seen: Counter[int] = Counter()
        self.calls: list[tuple[float, RestCall]] = []
        self.failures: list[VenueError] = []
        self.broken: str | None = None
        self.plan = self._discover()
        poll = self.plan.polls[0]
        self.poll_plan = poll
        parser = self.adapter.parser(poll.session_header())
        assert isinstance(parser, FinamParser)
        self.parser = parser
        polling = self.spoken.polling(poll, parser, Random(1))
        assert isinstance(polling, FinamPolling)
        self.polling = polling
        self._lanes = [(0.0, number, lane) for number, lane in enumerate(poll.lanes)]
        heapq.heapify(self._lanes)

    def now_ns(self) -> int:
        return self.start_ns + int(self.now * 1e9)

    def _discover(self) -> Plan:
        steps = self.spoken.discover()
        call = next(steps)
        while True:
            try:
                answer = self._answer(call)
                failure = self.spoken.failure(call, answer)
                call = steps.throw(failure) if failure else steps.send(answer)
            except StopIteration as done:
                plan: Plan = done.value
                return plan

    def run(self, seconds: float) -> None:
        """Let time pass: lanes ask, the market moves, answers come."""
        end = self.now + seconds
        while self._lanes[0][0] <= end:
            at, number, lane = heapq.heappop(self._lanes)
            self.now = max(self.now, at)
            heapq.heappush(self._lanes, (self.now + self._work(lane), number, lane))
        self.now = end
        self._move()

    def _work(self, lane: str) -> float:
        step = self.polling.next(lane, self.now, self.now_ns())
        if not isinstance(step, RestCall):
            return min(max(step, 0.001), self._longest_wait)
        self.calls.append((self.now, step))
        self._move()
        began = self.now
        answer = self._answer(step)
        self.now = began + self.latency
        failure = self.spoken.failure(step, answer) if answer.status else VenueError("finam", "not reached")
        if failure is not None:
            self.failures.append(failure)
            self.polling.failed(lane, step, failure, self.now)
        else:
            events: Sequence[Event] = ()
            if step.record:
                events = self.parser.rest(step.channel, step.params, answer.body, answer.received_ns, self.out)
            self.polling.answered(lane, step, answer, events, self.now)
        self.now = began
        return self.latency

    def _move(self) -> None:
        while self._made + 1 / self.rate <= self.now if self.rate else False:
            self._made += 1 / self.rate
            if self.venue.running:
                self.venue.exchange.step(self.start_ns // 1000 + int(self._made * 1e6))

    def _answer(self, call: RestCall) -> RestAnswer:
        status_code, body = self._reply(call)
        self.statuses_seen[status_code] += 1
        return RestAnswer(status_code, {}, orjson.dumps(body), self.now_ns())

    def _reply(self, call: RestCall) -> tuple[int, Any]:
        if self.broken == "line":
            return 0, {}
        path, _, query = call.url.removeprefix(BASE + "/").partition("?")
        params = dict(pair.split("=") for pair in query.split("&") if pair) | dict(call.params)
        try:
            return 200, self._serve(call, path, params)
        except ApiError as error:
            return error.status, status(error.code, error.message)

    def _serve(self, call: RestCall, path: str, params: Mapping[str, str]) -> Any:
        venue = self.venue
        if path.startswith("sessions"):
            assert "Authorization" not in call.headers
            body = orjson.loads(call.body or b"")
            if not venue.quotas.take("Auth" if path == "sessions" else "TokenDetails"):
                raise ApiError(429, 8, "Too many requests")
            if path == "sessions":
                token = venue.sessions.open(body["secret"])
                if token is None:
                    raise ApiError(401, 16, "secret is not valid")
                return {"token": token}
            return venue.sessions.details(body["token"])
        found = method_of(path)
        assert found is not None, path
        method, symbol = found
        if not venue.sessions.valid(call.headers["Authorization"]) or venue.faults.take("401", channel=method):
            raise ApiError(401, 16, "token is invalid")
        if not venue.quotas.take(method) or venue.faults.take("429", channel=method):
            raise ApiError(429, 8, "Too many requests")
        if venue.faults.take("5xx", channel=method):
            raise ApiError(503, 14, "Service unavailable")
        return venue.rest.answer(method, symbol, params)

    # -- what tests look at ------------------------------------------------------------------------------------------

    def asked(self, method: str, symbol: str | None = None) -> list[float]:
        """When a method was called."""
        return [
            at
            for at, call in self.calls
            if call.channel.split("/")[0] == method and (symbol is None or call.channel.split("/")[1] == symbol)
        ]

    def status(self, channel: str, symbol: str) -> SubscriptionStatus:
        return next(one for one in self.polling.statuses() if (one.channel, one.symbol) == (channel, symbol))

    def answered_trades(self) -> Iterator[tuple[str, str]]:
        """Symbol and id of every trade that any answer held."""
        for symbol, rows in self.venue.ledger.trades.items():
            yield from ((symbol, str(number)) for number in rows)

    def stored_trades(self) -> list[tuple[str, str | None]]:
        return [(trade.instrument.symbol, trade.trade_id) for trade in self.out.trades]


def gaps_between(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]
