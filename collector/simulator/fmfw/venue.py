"""The simulated venue as one object: its market, its hub, its ledger, and the slices of time in which it lives.

Tests that run in the same process use this directly: `step` makes events at once, `pause` makes everything sent final.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from collector.simulator.fmfw import bad_frames, channels
from collector.simulator.fmfw.connection import Connection
from collector.simulator.fmfw.faults import faults
from collector.simulator.fmfw.hub import Hub
from collector.simulator.fmfw.ledger import Ledger
from collector.simulator.fmfw.requests import Requests
from collector.simulator.fmfw.rest import Rest
from collector.simulator.fmfw.topics import Topic
from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.trading.instruments import instruments
from collector.simulator.fmfw.trading.rates import Rates
from collector.simulator.kit.faults import Fault, FaultError
from collector.simulator.kit.settings import settings_of
from collector.simulator.kit.venue import SocketVenue
from collector.simulator.kit.window import SlidingWindow
from collector.simulator.options import Options

# How long a slice of the market is, from 1,000 events a second on and below that.
_BUSY_SLICE_SECONDS: Final = 0.005
_QUIET_SLICE_SECONDS: Final = 0.010


@dataclass(frozen=True, slots=True)
class Settings:
    """The venue's own switches; the defaults are what the real venue does.

    `ids` is "real", or "time" for socket trade ids that equal the time.  Times are in seconds, limits per second and
    address, `buffer_limit` is in bytes left unread by one client.  `ack_delay` bounds the delay of acknowledgements.
    """

    ids: Literal["real", "time"] = "real"
    ping_every: float = 30.0
    pong_timeout: float = 60.0
    socket_limit: int = 20
    rest_limit: int = 80
    most_connections: int = 100
    buffer_limit: int = 32 * 1024 * 1024
    history_hours: float = 2.0
    history_events: int = 20_000
    kept_trades: int = 2_500_000
    ack_delay: tuple[float, float] = (0.0, 0.0)
    running: bool = True


class FmfwVenue(SocketVenue[Connection, Mapping[Topic, list[str]]]):
    """The running venue."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.settings = settings_of(Settings, "fmfw", options)
        self.running = self.settings.running
        self.exchange = Exchange(instruments(options.symbols), options.seed, kept_trades=self.settings.kept_trades)
        self.exchange.make_history(self.now_ms(), self.settings.history_hours, self.settings.history_events)
        self.live_from = {market.symbol: market.trades.end for market in self.exchange.markets.values()}
        self.ledger = Ledger()
        self.faults = faults(time.monotonic)
        self.rates = Rates(self.exchange)
        self.rest = Rest(self.exchange, self.rates, self.ledger, self.now_ms)
        self.rest_window = SlidingWindow(self.settings.rest_limit, 1.0)
        self.socket_window = SlidingWindow(self.settings.socket_limit, 1.0)
        time_ids = self.settings.ids == "time"
        self.hub = Hub(self.exchange, self.rates, self.ledger, self.faults, time_ids=time_ids)
        self.requests = Requests(
            self.hub,
            self.socket_window,
            Random(options.seed),  # noqa: S311  delays, not secrets
            self.now_ms,
            self.settings.ack_delay,
        )
        self._period_due = dict.fromkeys(channels.SPEEDS_MS, 0)

    def __repr__(self) -> str:
        state = "running" if self.running else "paused"
        return f"<FmfwVenue {state} at {self.rate:g}/s, {len(self.connections)} connections, {self.exchange}>"

    @property
    def config(self) -> str:
        """The TOML tables that point the collector at this venue."""
        lines = [f'{key} = "{value}"' for key, value in self.address.items()]
        streams = '"trades", "ticks", "books", "candles"'
        return "\n".join(["[venues.fmfw]", 'symbols = ["*"]', f"streams = [{streams}]", *lines, ""])

    async def run(self) -> None:
        """Live, slice by slice, until cancelled."""
        await self.slices.run(self.slice, lambda: _BUSY_SLICE_SECONDS if self.rate >= 1000 else _QUIET_SLICE_SECONDS)

    def slice(self, now: float) -> None:
        """Make and send what has become due since the last slice (`now` in monotonic seconds)."""
        if self.running:
            self._live(now)
        self.slices.last = now
        now_ms = self.now_ms()
        if self.running:
            for speed_ms, due in self._period_due.items():
                if now_ms >= due:
                    self._period_due[speed_ms] = now_ms - now_ms % speed_ms + speed_ms
                    self._close_period(speed_ms, now_ms)
        for connection in list(self.connections):
            if connection.frozen_until is not None and now >= connection.frozen_until:
                self._thaw(connection)
            connection.run_due(now)
            connection.keep_alive(now, self.settings.ping_every, self.settings.pong_timeout)
            connection.flush()

    def step(self, events: int = 1) -> None:
        """Make so many events now, at this millisecond, and send them; for tests, market running or not."""
        for _ in range(events):
            self.hub.publish(self.exchange.step(self.now_ms()))
        self.flush()

    def close_periods(self) -> None:
        """Send all states that changed, as if every period ended now."""
        for speed_ms in channels.SPEEDS_MS:
            self._close_period(speed_ms, self.now_ms())
        self.flush()

    def pause(self) -> None:
        """Stop the market; what has been sent then is final, pings and answers apart."""
        self.running = False
        self.close_periods()

    def resume(self) -> None:
        self.slices.begin()
        self.running = True

    def unsubscribed(self, connection: Connection) -> Mapping[Topic, list[str]]:
        return self.hub.drop(connection)

    def connections_of(self, address: str) -> int:
        return sum(connection.address == address for connection in self.connections)

    def has_symbol(self, symbol: str) -> bool:
        return symbol in self.exchange.markets or symbol in self.rates.currencies

    def _strike(self, fault: Fault) -> int:
        if fault.name in ("cut", "freeze"):
            chosen = self._chosen(fault)
            return self.cut_or_freeze(chosen, fault)
        if fault.name == "huge_snapshot":
            return self._huge_snapshot(fault)
        channel = channels.channel(fault.channel or "trades")
        if channel is None:
            raise FaultError(f"{fault.name} strikes a channel of the socket, not {fault.channel!r}")
        hits = 0
        for _ in range(int(fault.left or 1)):
            symbol = fault.symbol or self._listened(channel.name)
            trade_id = self.exchange.take_trade_id()
            text, items = bad_frames.spoilt(fault.name, channel, symbol, trade_id, self.now_ms())
            hits += self.hub.inject(fault.name, channel.name, symbol, text, items)
        return hits

    def _chosen(self, fault: Fault) -> list[Connection]:
        """List the connections that a cut or freeze is for: those with the channel and symbol, `count` at most."""
        chosen = [
            connection
            for connection in self.connections
            if (fault.channel is None and fault.symbol is None)
            or any(
                fault.channel in (None, topic.channel.name) and (fault.symbol is None or fault.symbol in symbols)
                for topic, symbols in self.hub.subscriptions(connection).items()
            )
        ]
        return chosen if fault.left is None else chosen[: int(fault.left)]

    def _listened(self, channel: str) -> str:
        """Give a symbol that somebody listens to on the channel, else the first listed."""
        for (name, _), topic in self.hub.topics.items():
            if name == channel and topic.subscribers:
                return next(iter(topic.subscribers))
        return next(iter(self.exchange.markets))

    def _huge_snapshot(self, fault: Fault) -> int:
        symbol = fault.symbol or self._listened("orderbook/full")
        market = self.exchange.markets[symbol]
        market.deepen(int(fault.number("levels", 60_000)))
        hits = 0
        for topic in list(self.hub.topics.values()):
            subscribers = topic.subscribers.get(symbol)
            if topic.channel.family == "book" and subscribers:
                self.hub.send_book_snapshot(topic, symbol, subscribers)
                hits += len(subscribers)
        return hits

    def _thaw(self, connection: Connection) -> None:
        connection.frozen_until = None
        connection.buffer.clear()
        connection.heard(time.monotonic())
        for topic, symbols in self.frozen.pop(connection, {}).items():
            self.hub.subscribe(connection, topic, symbols)

    def _live(self, now: float) -> None:
        for time_ms in self.slices.moments(now, self.rate, self.now_ms(), not_before_ms=self.exchange.time_ms):
            self.hub.publish(self.exchange.step(time_ms))

    def _close_period(self, speed_ms: int, now_ms: int) -> None:
        if speed_ms == channels.FUTURES_SPEED_MS:
            self.exchange.sample_contracts(now_ms)
        self.hub.publish_period(speed_ms, now_ms)
