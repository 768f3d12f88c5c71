"""The JSON WebSocket: what a client has asked for, and the envelopes that it gets.

Quotes, books and bars are told once a slice of time, trades with their event. The payload is a JSON text inside the
envelope's JSON, as the venue sends it, unless the switch for objects is on.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import orjson
from aiohttp import web

from collector.simulator.finam import payloads
from collector.simulator.finam.bars import FRAME_MINUTES, NUMBERS, frame_start
from collector.simulator.finam.exchange import Exchange
from collector.simulator.finam.ledger import Ledger
from collector.simulator.finam.market import Event, Level, Market
from collector.simulator.kit.faults import Faults

KINDS: Final = ("QUOTES", "ORDER_BOOK", "INSTRUMENT_TRADES", "BARS")
# Messages that wait for a client; one that leaves more is cut off.
_WAITING_MAX: Final = 50_000
_RECENT_BARS: Final = 2

# Kind, symbol and, for bars, frame.
Topic = tuple[str, str, str]


class Client:
    """One connected socket."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.socket = socket
        self._transport = transport
        self._waiting: deque[str] = deque()
        self._news = asyncio.Event()
        self.topics: set[Topic] = set()
        self.quotes: dict[str, dict[str, Any]] = {}
        self.frozen = False

    def send(self, text: str) -> None:
        if len(self._waiting) >= _WAITING_MAX:
            self.cut()
            return
        self._waiting.append(text)
        self._news.set()

    def cut(self) -> None:
        """End the connection without saying goodbye."""
        if self._transport is not None:
            self._transport.abort()

    async def write(self, held: Callable[[], bool]) -> None:
        """Write what waits, for as long as the connection lives; nothing while `held` says so."""
        with suppress(ConnectionError):
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    while self.frozen or held():  # noqa: ASYNC110  faults that end by themselves
                        await asyncio.sleep(0.05)
                    await self.socket.send_str(self._waiting.popleft())


class Hub:
    """Who listens to what, and what they are told."""

    def __init__(
        self, exchange: Exchange, ledger: Ledger, faults: Faults, now_us: Callable[[], int], *, as_object: bool
    ) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._faults = faults
        self._now_us = now_us
        self._as_object = as_object
        self.clients: set[Client] = set()
        self._changed: dict[str, list[Level]] = {}
        self._traded: set[str] = set()

    def __repr__(self) -> str:
        return f"<Hub {len(self.clients)} clients>"

    def greet(self, client: Client) -> None:
        self.clients.add(client)
        client.send(self._envelope("EVENT", event_info={"event": "HANDSHAKE_SUCCESS", "code": 0, "reason": "ok"}))

    def error(self, client: Client, code: int, kind: str, message: str) -> None:
        client.send(self._envelope("ERROR", error_info={"code": code, "type": kind, "message": message}))

    def request(self, client: Client, text: str | bytes, valid: Callable[[str | None], bool]) -> None:
        """Take a client's message."""
        try:
            message = orjson.loads(text)
            action, token = message["action"], message.get("token")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            self.error(client, 3, "INVALID_REQUEST", "not a request")
            return
        if not valid(token):
            self.error(client, 16, "UNAUTHENTICATED", "token is not valid")
            return
        if action == "UNSUBSCRIBE_ALL":
            client.topics.clear()
            return
        topics = self._topics(message)
        if action not in ("SUBSCRIBE", "UNSUBSCRIBE") or not topics:
            self.error(client, 3, "INVALID_REQUEST", f"cannot be done: {action} {message.get('type')}")
            return
        for topic in topics:
            if action == "UNSUBSCRIBE":
                client.topics.discard(topic)
            elif self._faults.take("404", symbol=topic[1]):
                self.error(client, 5, "NOT_FOUND", f"Instrument {topic[1]} not found")
            elif topic not in client.topics or topic[0] == "ORDER_BOOK":
                client.topics.add(topic)
                self._begin(client, topic)

    def _topics(self, message: dict[str, Any]) -> list[Topic]:
        kind, asked = message.get("type"), message.get("data")
        if kind not in KINDS or not isinstance(asked, dict):
            return []
        symbols = asked.get("symbols") if kind == "QUOTES" else [asked.get("symbol")]
        frame: Any = asked.get("timeframe", "") if kind == "BARS" else ""
        if isinstance(frame, int):
            frame = NUMBERS.get(frame, "")
        if not isinstance(symbols, list) or (kind == "BARS" and frame not in FRAME_MINUTES):
            return []
        return [(str(kind), symbol, frame) for symbol in symbols if symbol in self._exchange.markets]

    def _begin(self, client: Client, topic: Topic) -> None:
        kind, symbol, frame = topic
        market = self._exchange.markets[symbol]
        if kind == "QUOTES":
            self._quote(client, market, snapshot=True)
        elif kind == "ORDER_BOOK":
            self._tell_book(client, market)
        elif kind == "INSTRUMENT_TRADES":
            self._tell_trades(client, market, market.trades[-1:], snapshot=True)
        else:
            self._tell_bars(client, market, frame, _RECENT_BARS, snapshot=True)

    def publish(self, event: Event) -> None:
        """Tell the trades of an event now, and remember the rest for the slice's end."""
        symbol = event.market.symbol
        self._changed.setdefault(symbol, []).extend(event.levels)
        if event.trades:
            self._traded.add(symbol)
            if self._faults.take("lose_trades", symbol=symbol):
                return
            for client in self.clients:
                if ("INSTRUMENT_TRADES", symbol, "") in client.topics:
                    self._tell_trades(client, event.market, event.trades)

    def close_slice(self) -> None:
        """Tell the quotes, books and bars that changed."""
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        traded, self._traded = self._traded, set()
        if not self.clients:
            return
        for symbol, levels in changed.items():
            market = self._exchange.markets[symbol]
            for client in self.clients:
                for kind, of, frame in client.topics:
                    if of != symbol:
                        continue
                    if kind == "QUOTES":
                        self._quote(client, market)
                    elif kind == "ORDER_BOOK" and levels:
                        self._tell_changes(client, market, levels)
                    elif kind == "BARS" and symbol in traded:
                        self._tell_bars(client, market, frame, 1)

    def repeat_trade(self, symbol: str) -> int:
        """Send the newest trade again; give to how many."""
        market = self._exchange.markets[symbol]
        listening = [one for one in self.clients if ("INSTRUMENT_TRADES", symbol, "") in one.topics]
        for client in listening:
            self._tell_trades(client, market, market.trades[-1:], snapshot=True)
        return len(listening)

    # -- envelopes ---------------------------------------------------------------------------------------------------

    def _quote(self, client: Client, market: Market, *, snapshot: bool = False) -> None:
        full = payloads.quote(market)
        before = {} if snapshot else client.quotes.get(market.symbol, {})
        client.quotes[market.symbol] = full
        told = {name: value for name, value in full.items() if before.get(name) != value or name == "symbol"}
        told["is_data_snapshot"] = snapshot
        self._ledger.tick(market.symbol, payloads.quote_row(full, market.changed_us))
        self._data(client, "QUOTES", market.symbol, {"quote": [told]})

    def _tell_book(self, client: Client, market: Market) -> None:
        rows = payloads.book(market)
        if rows:
            self._ledger.book(market.symbol, payloads.book_row(rows, market.changed_us, snapshot=True))
        book = {"symbol": market.symbol, "rows": rows, "is_data_snapshot": True}
        self._data(client, "ORDER_BOOK", market.symbol, {"order_book": [book]})

    def _tell_changes(self, client: Client, market: Market, levels: list[Level]) -> None:
        rows = payloads.changes(market, levels)
        if not rows or self._faults.take("lose_book", symbol=market.symbol):
            return
        self._ledger.book(market.symbol, payloads.book_row(rows, market.changed_us, snapshot=False))
        book = {"symbol": market.symbol, "rows": rows, "is_data_snapshot": False}
        self._data(client, "ORDER_BOOK", market.symbol, {"order_book": [book]})

    def _tell_trades(self, client: Client, market: Market, trades: list[Any], *, snapshot: bool = False) -> None:
        one = market.instrument
        for trade in trades:
            self._ledger.trade(one, trade)
        told = [payloads.trade(one, trade, snapshot=snapshot) for trade in trades]
        self._data(client, "INSTRUMENT_TRADES", market.symbol, {"symbol": market.symbol, "trades": told})

    def _tell_bars(self, client: Client, market: Market, frame: str, count: int, *, snapshot: bool = False) -> None:
        one = market.instrument
        newest = frame_start(frame, market.changed_us)
        length = FRAME_MINUTES[frame] * 60_000_000 * (count - 1)
        bars = market.series.bars(frame, newest - length if length else newest, newest + 1)
        for bar in bars:
            self._ledger.bar(one, frame, bar)
        told = [payloads.bar(one, bar, snapshot=snapshot) for bar in bars]
        self._data(client, "BARS", f"{market.symbol}:{frame}", {"symbol": market.symbol, "bars": told})

    def _data(self, client: Client, kind: str, key: str, payload: dict[str, Any]) -> None:
        shown = payload if self._as_object else orjson.dumps(payload).decode()
        client.send(self._envelope("DATA", subscription_type=kind, subscription_key=key, payload=shown))

    def _envelope(self, kind: str, **fields: Any) -> str:
        return orjson.dumps({"type": kind, "timestamp": self._now_us() // 1_000_000, **fields}).decode()
