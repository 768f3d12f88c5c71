"""The simulated venue as one object: its markets, its hub, its ledger, and the slices of time in which it lives.

Tests that run in the same process use this directly: `step` makes events at once, `pause` makes everything sent final.
"""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, count
from random import Random
from typing import Final, Literal

from collector.simulator.fmex import bad_frames
from collector.simulator.fmex.books import Depth
from collector.simulator.fmex.commands import Commands
from collector.simulator.fmex.connection import Connection
from collector.simulator.fmex.contracts import contracts
from collector.simulator.fmex.faults import faults
from collector.simulator.fmex.hub import Hub
from collector.simulator.fmex.ledger import Ledger
from collector.simulator.fmex.market import TRADES_MAX, Market
from collector.simulator.fmex.rest import Rest
from collector.simulator.fmex.topics import Topic
from collector.simulator.kit.faults import Fault
from collector.simulator.kit.settings import settings_of
from collector.simulator.kit.venue import SocketVenue
from collector.simulator.kit.window import SlidingWindow
from collector.simulator.options import Options

# The limit of REST calls is for each window of this length.
_REST_WINDOW_SECONDS: Final = 10.0
_SLICE_SECONDS: Final = 0.02
_PERIODS_MS: Final = {"l20": 100, "l150": 300, "ticker": 250, "candle": 500, "index": 1000}
_HISTORY_TRADE_SHARE: Final = 0.6


@dataclass(frozen=True, slots=True)
class Settings:
    """The venue's own switches; the defaults are what is known, or most likely, of the real venue.

    `case` "echo" answers with the case of the subscription. `topics` says whose topics the answer to `sub` lists.
    `ticker_ts` is whether tickers on the socket have a time. `ping_timeout` seconds without a ping end a connection.
    """

    case: Literal["lower", "echo"] = "lower"
    topics: Literal["connection", "command"] = "connection"
    ticker_ts: bool = True
    ping_timeout: float = 60.0
    rest_limit: int = 100
    index_step_ms: int = 1000
    history_hours: float = 3.0
    history_events: int = 6000
    kept_trades: int = TRADES_MAX
    buffer_limit: int = 32 * 1024 * 1024
    running: bool = True


class FmexVenue(SocketVenue[Connection, dict[str, str]]):
    """The running venue."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.settings = settings_of(Settings, "fmex", options)
        self.events = 0
        self._stopped_ms: int | None = None
        self._indexes_at = 0
        self._random = Random(options.seed)  # noqa: S311  a market, not a secret
        begin_ms = self.now_ms() - int(self.settings.history_hours * 3_600_000)
        listed, kept = contracts(options.symbols), self.settings.kept_trades
        self.markets = {
            one.symbol: Market(one, Random(self._random.random()), begin_ms, kept_trades=kept)  # noqa: S311
            for one in listed
        }
        self._order = list(self.markets.values())
        self._weights = list(accumulate(one.weight for one in listed))
        self._make_history(begin_ms)
        self.ledger = Ledger()
        self.faults = faults(time.monotonic)
        self.window = SlidingWindow(self.settings.rest_limit, _REST_WINDOW_SECONDS)
        self.hub = Hub(
            self.markets,
            self.ledger,
            self.faults,
            echo=self.settings.case == "echo",
            ticker_ts=self.settings.ticker_ts,
            index_step_ms=self.settings.index_step_ms,
        )
        self.depth = Depth(self.hub, self.markets, Random(options.seed + 1))  # noqa: S311
        self.rest = Rest(self.markets, self.hub, self.depth, self.ledger, self.faults, self.now_ms, self._index_ms)
        self.commands = Commands(self, of_command=self.settings.topics == "command")
        self._later: list[tuple[float, int, Connection, Callable[[], None]]] = []
        self._numbers = count()
        self._due_ms = dict.fromkeys(_PERIODS_MS, 0)
        if not self.settings.running:
            self._stopped_ms = self.now_ms()

    def __repr__(self) -> str:
        state = "running" if self.running else "paused"
        return f"<FmexVenue {state} at {self.rate:g}/s, {len(self.connections)} connections, {self.events} events>"

    @property
    def config(self) -> str:
        """The TOML tables that point the collector at this venue."""
        streams = '"trades", "ticks", "books", "candles", "derivatives", "rates"'
        lines = [f'{key} = "{value}"' for key, value in self.address.items()]
        statistics = f'statistics_url = "{self.address["rest_url"]}/api/contracts/web/v3/public/statistics"'
        return "\n".join(["[venues.fmex]", 'symbols = ["*"]', f"streams = [{streams}]", *lines, statistics, ""])

    @property
    def running(self) -> bool:
        return self._stopped_ms is None

    def _market_ms(self) -> int:
        return self.now_ms() if self._stopped_ms is None else self._stopped_ms

    def _index_ms(self) -> int:
        """Give the time of the indexes; in a paused market that of the last answer, so that no new value comes."""
        if self._stopped_ms is None or not self._indexes_at:
            self._indexes_at = self._market_ms()
        return self._indexes_at

    def _make_history(self, begin_ms: int) -> None:
        length = self.now_ms() - begin_ms
        events = self.settings.history_events
        for number in range(events):
            # A quiet half hour, so that there are bars without trades.
            if not events * 4 // 10 < number < events // 2:
                market = self._pick()
                market.step(begin_ms + length * number // events, _HISTORY_TRADE_SHARE)
        for market in self._order:
            market.step(self.now_ms() - 1, 1.0)

    def _pick(self) -> Market:
        place = self._random.random() * self._weights[-1]
        return next(market for market, weight in zip(self._order, self._weights, strict=True) if place < weight)

    # Time

    async def run(self) -> None:
        """Live, slice by slice, until cancelled."""
        await self.slices.run(self.slice, lambda: _SLICE_SECONDS)

    def slice(self, now: float) -> None:
        """Make and send what has become due since the last slice (`now` in monotonic seconds)."""
        if self.running:
            self._make(self.slices.due(now, self.rate))
            now_ms = self.now_ms()
            for kind, due_ms in self._due_ms.items():
                if now_ms >= due_ms:
                    period_ms = _PERIODS_MS[kind]
                    self._due_ms[kind] = now_ms - now_ms % period_ms + period_ms
                    self._period(kind, now_ms)
        self.slices.last = now
        while self._later and self._later[0][0] <= now:
            _, _, connection, action = heapq.heappop(self._later)
            if not connection.closed:
                action()
        for connection in list(self.connections):
            if connection.frozen_until is not None and now >= connection.frozen_until:
                self._thaw(connection, now)
            if now - connection.pinged >= self.settings.ping_timeout and not connection.frozen:
                connection.cut("no_ping")
            connection.flush()

    def step(self, events: int = 1) -> None:
        """Make so many events now and send what they tell at once; for tests, market running or not."""
        if self._stopped_ms is not None:
            self._stopped_ms = self.now_ms()
        self._make(events)
        self.flush()

    def close_periods(self) -> None:
        """Send all states that changed, as if every period ended now."""
        for kind in _PERIODS_MS:
            self._period(kind, self._market_ms())
        self.flush()

    def pause(self) -> None:
        """Stop the market; what has been sent then is final, answers to pings apart."""
        if self._stopped_ms is None:
            self._stopped_ms = self.now_ms()
        self.close_periods()

    def resume(self) -> None:
        self.slices.begin()
        self._stopped_ms = None

    def _make(self, events: int) -> None:
        for _ in range(events):
            market = self._pick()
            first = market.end
            trades = market.step(self._market_ms())
            self.events += 1
            if trades:
                self.hub.trades(market, trades, first)

    def _period(self, kind: str, now_ms: int) -> None:
        match kind:
            case "ticker":
                self.hub.tickers(now_ms)
            case "candle":
                for market in self._order:
                    market.roll(now_ms)
                self.hub.candles()
            case "index":
                self.hub.index_topics(self._index_ms())
            case level:
                self.depth.publish(level, now_ms)

    # What commands ask (see `commands.Shop`)

    def has(self, topic: Topic) -> bool:
        if topic.kind == "index":
            return any(topic.symbol.startswith(market.contract.prefix) for market in self._order)
        return topic.symbol in self.markets

    def subscribe(self, connection: Connection, topic: Topic, written: str) -> None:
        self.hub.subscribe(connection, topic, written)
        if topic.kind == "depth-delta":
            self.depth.begin(topic.variant, topic.symbol, connection, self._market_ms())

    def unsubscribe(self, connection: Connection, topic: Topic) -> None:
        self.hub.unsubscribe(connection, topic.text)

    def past(self, topic: Topic, limit: int, before: int | None) -> str | None:
        market = self.markets.get(topic.symbol)
        if market is None:
            return None
        if topic.kind == "trade":
            return self.rest.trades(market, limit, before)
        if topic.kind == "candle":
            return self.rest.candles(market, topic.variant, limit, before, newest_first=False)
        return None

    # Connections

    def connected(self, connection: Connection) -> None:
        super().connected(connection)
        if not self.faults.take("no_hello"):
            connection.send(f'{{"type":"hello","ts":{self.now_ms()}}}')
            connection.flush()

    def unsubscribed(self, connection: Connection) -> dict[str, str]:
        return self.hub.drop(connection)

    def handle(self, connection: Connection, text: str, now: float) -> None:
        """Answer a client's message."""

        def later(due: float, action: Callable[[], None]) -> None:
            heapq.heappush(self._later, (due, next(self._numbers), connection, action))

        self.commands.handle(connection, text, now, later)
        connection.flush()

    # Faults

    def has_symbol(self, symbol: str) -> bool:
        return symbol in self.markets

    def _strike(self, fault: Fault) -> int:
        if fault.name in ("cut", "silence"):
            chosen = list(self.connections)[: int(fault.left) if fault.left else None]
            return self.cut_or_freeze(chosen, fault)
        symbol = fault.symbol or self._order[0].symbol
        if fault.name == "whole_in_the_middle":
            hit = 0
            for view in self.depth.views.values():
                topic = f"depth-delta.{view.level}.{view.market.symbol}"
                if view.market.symbol == symbol and (listeners := list(self.hub.listeners(topic))):
                    self.depth.send_whole(view, listeners, whole_of=topic)
                    hit += len(listeners)
            return hit
        return sum(
            self.hub.inject(fault.name, f"trade.{symbol}", bad_frames.spoilt(fault.name, symbol, self.now_ms()))
            for _ in range(int(fault.left or 1))
        )

    def _thaw(self, connection: Connection, now: float) -> None:
        connection.frozen_until = None
        connection.buffer.clear()
        connection.pinged = now
        for topic, written in self.frozen.pop(connection, {}).items():
            connection.topics[topic] = written
            self.hub.subscribers.setdefault(topic, {})[connection] = None
