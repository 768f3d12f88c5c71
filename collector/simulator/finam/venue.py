"""The simulated venue as one object: its market, its ledger, and the slices of time in which it lives."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

from collector.simulator.finam.exchange import Exchange
from collector.simulator.finam.faults import faults
from collector.simulator.finam.instruments import instruments
from collector.simulator.finam.ledger import Ledger
from collector.simulator.finam.news import PATHS, Feeds
from collector.simulator.finam.rest import Rest
from collector.simulator.finam.sessions import Quotas, Sessions
from collector.simulator.finam.socket import Client, Hub
from collector.simulator.kit.faults import Fault, FaultyVenue
from collector.simulator.kit.settings import settings_of
from collector.simulator.kit.slices import Slices
from collector.simulator.options import Options

_SLICE_SECONDS: Final = 0.05

SECRET: Final = "tapi_sk_simulated"  # noqa: S105  it opens nothing but this simulator
ACCOUNT: Final = "1000001"


@dataclass(frozen=True, slots=True)
class Settings:
    """The venue's own switches."""

    running: bool = True
    history_hours: float = 3.0
    history_events: int = 3000
    trades_kept: int = 50
    quota: int = 200
    session_seconds: float = 903.0
    page: int = 3
    retry_after: bool = False
    range_error: Literal["empty", "400"] = "empty"
    schedule: Literal["open", "closed"] = "open"
    payload_as_object: bool = False
    delayed_mic: str = "XNGS"
    news: bool = False


class FinamVenue(FaultyVenue):
    """One running venue; `step` makes events at once, `pause` lets the market stand still."""

    def __init__(self, options: Options) -> None:
        self.settings = settings_of(Settings, "finam", options)
        self.address: dict[str, str] = {}
        self.rate = options.rate
        self.running = self.settings.running
        self._answering = asyncio.Event()
        self._answering.set()
        self._clock_ns = options.clock_ns
        self.exchange = Exchange(instruments(options.symbols), options.seed)
        self.exchange.make_history(self.now_us(), self.settings.history_hours, self.settings.history_events)
        self.ledger = Ledger()
        self.feeds = Feeds(options.seed, self.now_us)
        self.faults = faults(time.monotonic)
        chance = Random(options.seed)  # noqa: S311  a simulated token guards nothing
        self.sessions = Sessions(
            SECRET, ACCOUNT, self.settings.session_seconds, self._clock_ns, chance, self.settings.delayed_mic
        )
        self.quotas = Quotas(self.settings.quota, self._clock_ns)
        self.rest = Rest(
            self.exchange,
            self.ledger,
            self.faults,
            self.now_us,
            account=ACCOUNT,
            trades_kept=self.settings.trades_kept,
            page=self.settings.page,
            range_error=self.settings.range_error,
            schedule=self.settings.schedule,
        )
        self.hub = Hub(self.exchange, self.ledger, self.faults, self.now_us, as_object=self.settings.payload_as_object)
        self.slices = Slices()

    def __repr__(self) -> str:
        return f"<FinamVenue {'running' if self.running else 'paused'} at {self.rate:g}/s, {self.exchange}>"

    @property
    def config(self) -> str:
        """The TOML tables that point the collector at this venue, which has no hour of maintenance."""
        symbols = ", ".join(f'"{symbol}"' for symbol in self.exchange.markets)
        return "\n".join(
            [
                "[venues.finam]",
                f'secret = "{self.address["secret"]}"',
                f'account_id = "{self.address["account"]}"',
                f"symbols = [{symbols}]",
                'maintenance = ""',
                f'rest_url = "{self.address["rest_url"]}"',
                f'ws_url = "{self.address["ws_url"]}"',
                *(self._news_config if self.settings.news else ()),
                "",
            ]
        )

    @property
    def _news_config(self) -> tuple[str, ...]:
        feeds = ", ".join(f'{source} = "{self.address["news_url"]}{path}"' for source, path in PATHS.items())
        return (
            'streams = ["trades", "ticks", "books", "candles", "news"]',
            f"news = {{ {feeds} }}",
            "news_seconds = 1",
        )

    def headlines(self, source: str) -> bytes:
        """Answer a feed of headlines."""
        body, items = self.feeds.answer(source, more=self.running)
        for one in items:
            self.ledger.headline(source, one)
        return body

    def now_us(self) -> int:
        """Give the venue's wall clock."""
        return self._clock_ns() // 1000

    async def run(self) -> None:
        """Live, slice by slice, until cancelled."""
        await self.slices.run(self.slice, lambda: _SLICE_SECONDS)

    def slice(self, now: float) -> None:
        """Make and send what has become due since the last slice (`now` in monotonic seconds)."""
        if self.running:
            count = self.slices.due(now, self.rate)
            now_us = self.now_us()
            span = int((now - self.slices.last) * 1_000_000)
            for number in range(count):
                self.hub.publish(self.exchange.step(now_us - span + span * (number + 1) // count))
            self.hub.close_slice()
        self.slices.last = now

    def step(self, events: int = 1, *, symbol: str | None = None, trade_share: float = 0.35) -> None:
        """Make so many events now and send them."""
        for _ in range(events):
            if symbol is None:
                event = self.exchange.step(self.now_us(), trade_share)
            else:
                event = self.exchange.step_market(self.exchange.markets[symbol], self.now_us(), trade_share)
            self.hub.publish(event)
        self.hub.close_slice()

    async def stop(self) -> None:
        """Cut who is still connected."""
        for client in list(self.hub.clients):
            client.cut()

    def pause(self, *, hold: bool = False) -> None:
        """Stop the market; with `hold`, answer nothing more about it either."""
        self.hub.close_slice()
        self.running = False
        if hold:
            self._answering.clear()

    def resume(self) -> None:
        self.slices.begin()
        self.running = True
        self._answering.set()

    @property
    def held(self) -> bool:
        """Over for the day: nothing is answered about the market, so that what was answered stays all that was."""
        return not self._answering.is_set()

    async def answering(self, patience_seconds: float) -> bool:
        """Wait until the market is answered for again; False where that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                await self._answering.wait()
        return not self.held

    def has_symbol(self, symbol: str) -> bool:
        return symbol in self.exchange.markets

    def fault(self, name: str, **asked: Any) -> dict[str, object]:
        if "method" in asked:
            asked["channel"] = asked.pop("method")
        return super().fault(name, **asked)

    def _strike(self, fault: Fault) -> int:
        clients = list(self.hub.clients)[: fault.left]
        if fault.name == "expire":
            return self.sessions.expire()
        if fault.name in ("burst", "repeat_trade"):
            symbol = fault.symbol or next(iter(self.exchange.markets))
            if fault.name == "repeat_trade":
                return self.hub.repeat_trade(symbol)
            before = self.exchange.trades
            while self.exchange.trades - before < (fault.left or 1):
                self.step(symbol=symbol, trade_share=1.0)
            return self.exchange.trades - before
        for client in clients:
            self._strike_socket(fault, client)
        return len(clients)

    def _strike_socket(self, fault: Fault, client: Client) -> None:
        if fault.name == "cut":
            client.cut()
        elif fault.name == "freeze":
            client.frozen = True
        elif fault.name == "ws_garbage":
            client.send('{"type":"DATA","payload":')
        else:
            self.hub.error(client, 16, "UNAUTHENTICATED", "token expired")

    def state(self) -> dict[str, Any]:
        """Tell how the venue stands."""
        return {
            "running": self.running,
            "held": self.held,
            "rate": self.rate,
            "events": self.exchange.events,
            "trades": self.exchange.trades,
            "sockets": len(self.hub.clients),
            "sessions": self.sessions.given,
            "calls": self.quotas.calls,
            "refused": self.quotas.refused,
        }
