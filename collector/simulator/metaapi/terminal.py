"""One stream of packets: an account's terminal as one socket sees it, from `subscribe` to market data.

Everything sequenced takes the stream's next number, whatever its type. Market data are collected between two slices of
the venue's time and sent as one packet, each kind of each symbol no more often than it was asked for.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import orjson

from collector.simulator.metaapi.accounts import INFORMATION, MARGINS, ORDER, POSITION, Account
from collector.simulator.metaapi.bars import Bar
from collector.simulator.metaapi.engine import Session
from collector.simulator.metaapi.faults import Faults
from collector.simulator.metaapi.ledger import Ledger, Moments
from collector.simulator.metaapi.market import Quoted, Tick

_SPECIFICATIONS_PER_PACKET: Final = 4


def event(name: str, body: str, *, as_text: bool = False) -> str:
    """Write a Socket.IO event; `body` is JSON."""
    return f'42["{name}",{orjson.dumps(body).decode() if as_text else body}]'


class Stream:
    """A terminal's packets for one session. `name_of` gives an instrument's name in the ledger."""

    def __init__(
        self,
        session: Session,
        account: Account,
        instance: int,
        session_id: str,
        ledger: Ledger,
        faults: Faults,
        name_of: Callable[[Account, str], str],
        stamp: int,
    ) -> None:
        self.session = session
        self.account = account
        self.instance = instance
        self.host = f"ps-mpa-{instance}"
        self.session_id = session_id
        self.number = -1
        self.stamp = stamp
        self.attached = False
        self.attach_at = 0.0
        self.status_at = 0.0
        self.flowing = False
        self._ledger = ledger
        self._faults = faults
        self._name_of = name_of
        self._script: deque[tuple[float, Callable[[], None]]] = deque()
        self._quotes: dict[str, tuple[Quoted, Tick]] = {}
        self._ticks: list[tuple[Quoted, Tick]] = []
        self._candles: dict[tuple[str, str, int], tuple[Quoted, Bar]] = {}
        self._books: dict[str, tuple[Quoted, Tick]] = {}
        self._sent_ms: dict[tuple[str, str], int] = {}
        self._moments = Moments()
        self._clock_told = False
        self._held: str | None = None

    def __repr__(self) -> str:
        return f"<Stream {self.account.name}:{self.instance} number {self.number}>"

    # -- the terminal ------------------------------------------------------------------------------------------------

    def unsequenced(self, kind: str, **facts: Any) -> None:
        """Send a packet without a number."""
        body = {"type": kind, "accountId": self.account.id, "instanceIndex": self.instance, "host": self.host, **facts}
        self._send(orjson.dumps(body).decode())

    def attach(self) -> None:
        """The terminal is there."""
        self.attached = True
        self.unsequenced("authenticated", replicas=1, sessionId=self.session_id)

    def status(self) -> None:
        health = {"restApiHealthy": True, "copyFactorySubscriberHealthy": True, "copyFactoryProviderHealthy": True}
        self.unsequenced(
            "status", connected=self.account.connected, authenticated=True, healthStatus=health, replicas=1
        )

    def detach(self) -> None:
        """The terminal is gone until it is subscribed to again."""
        self.attached = self.flowing = False
        self._script.clear()
        self.unsequenced("disconnected")

    def synchronize(self, identity: str, now: float, pause: float) -> None:
        """Send the account's state, its packets `pause` seconds apart; numbers begin again."""
        self.number = -1
        self._moments = Moments()
        self._script.clear()
        sync = f',"synchronizationId":"{identity}"'
        specs = [quoted.symbol.specification() for quoted in self.account.broker.quoted.values()]
        chunks = [
            specs[start : start + _SPECIFICATIONS_PER_PACKET]
            for start in range(0, len(specs), _SPECIFICATIONS_PER_PACKET)
        ]
        packets = [
            ("synchronizationStarted", ""),
            ("accountInformation", f',"accountInformation":{INFORMATION}'),
            *(("specifications", f',"specifications":[{",".join(chunk)}],"removedSymbols":[]') for chunk in chunks),
            ("positions", f',"positions":[{POSITION}]'),
            ("orders", f',"orders":[{ORDER}]'),
            ("orderSynchronizationFinished", ""),
            ("dealSynchronizationFinished", ""),
        ]
        for place, (kind, body) in enumerate(packets):
            self._script.append((now + place * pause, self._sender(kind, sync + body)))

    def _sender(self, kind: str, body: str) -> Callable[[], None]:
        return lambda: self.sequenced(kind, body)

    def update(self) -> None:
        """Send account activity."""
        self.sequenced(
            "update",
            f',"accountInformation":{INFORMATION},"updatedPositions":[{POSITION}],"completedOrderIds":["46871284"]',
        )

    def sequenced(self, kind: str, body: str) -> None:
        """Send a packet with the next number."""
        self._send(self._numbered(kind, body))

    def _numbered(self, kind: str, body: str) -> str:
        self.number += 1
        self.stamp += 1 + self.number % 3
        return (
            f'{{"type":"{kind}","accountId":"{self.account.id}","instanceIndex":{self.instance},"host":"{self.host}",'
            f'"sequenceNumber":{self.number},"sequenceTimestamp":{self.stamp}{body}}}'
        )

    def _send(self, text: str) -> bool:
        as_text = "as_text" in self._faults.armed and self._faults.take("as_text") is not None
        self._ledger.packets["synchronization"] += 1
        return self.session.send(event("synchronization", text, as_text=as_text))

    # -- market data -------------------------------------------------------------------------------------------------

    def take(self, quoted: Quoted, tick: Tick) -> None:
        """Note a tick for the next packet, as far as it is subscribed."""
        kinds = self.account.subscriptions.get(quoted.symbol.name)
        if not kinds or not self.flowing or not self.account.connected:
            return
        name = quoted.symbol.name
        for kind in kinds:
            if kind == "quotes":
                self._quotes[name] = quoted, tick
            elif kind == "ticks":
                self._ticks.append((quoted, tick))
            elif kind == "marketDepth":
                if quoted.symbol.exchange:
                    self._books[name] = quoted, tick
            else:
                timeframe = kind.partition("/")[2]
                bar = quoted.series.bars[timeframe][-1]
                self._candles[name, timeframe, bar.start] = quoted, bar

    def run(self, now: float, now_ms: int) -> None:
        """Send what has become due."""
        while self._script and self._script[0][0] <= now:
            self._script.popleft()[1]()
        if self._quotes or self._ticks or self._candles or self._books:
            self.flush(now_ms)

    def flush(self, now_ms: int, *, everything: bool = False) -> None:
        """Send one packet of market data, if anything is due."""
        if self.number < 0:
            return
        lists: list[str] = []
        records: list[Callable[[], None]] = []
        first: Tick | None = None
        quotes = [pair for symbol, pair in self._quotes.items() if everything or self._due(symbol, "quotes", now_ms)]
        if quotes:
            lists.append(f'"prices":[{",".join([quoted.price_json(tick) for quoted, tick in quotes])}]')
            first = quotes[0][1]
            for quoted, tick in quotes:
                del self._quotes[quoted.symbol.name]
                records.append(self._quote_record(quoted, tick))
        ticks = [
            pair for pair in self._ticks if everything or self._due(pair[0].symbol.name, "ticks", now_ms, mark=False)
        ]
        if ticks:
            lists.append(f'"ticks":[{",".join([quoted.tick_json(tick) for quoted, tick in ticks])}]')
            first = first or ticks[0][1]
            self._ticks = [pair for pair in self._ticks if pair not in ticks] if len(ticks) < len(self._ticks) else []
            for quoted, tick in ticks:
                self._sent_ms[quoted.symbol.name, "ticks"] = now_ms
                records.append(self._tick_record(quoted, tick))
        self._add_candles(lists, records, now_ms, everything=everything)
        self._add_books(lists, records, now_ms, everything=everything)
        if not lists:
            return
        if first is not None and not self._clock_told:
            self._clock_told = True
            records.append(self._clock_record(first))
        self._deliver(self._numbered("prices", f",{','.join(lists)},{MARGINS}"), records)

    def _add_candles(
        self, lists: list[str], records: list[Callable[[], None]], now_ms: int, *, everything: bool
    ) -> None:
        due = [key for key in self._candles if everything or self._due(key[0], f"candles/{key[1]}", now_ms, mark=False)]
        if not due:
            return
        texts = []
        for key in due:
            quoted, bar = self._candles.pop(key)
            self._sent_ms[key[0], f"candles/{key[1]}"] = now_ms
            texts.append(bar.json(quoted.symbol, key[1], quoted.offset_ms))
            records.append(self._candle_record(quoted, key[1], bar))
        lists.append(f'"candles":[{",".join(texts)}]')

    def _add_books(self, lists: list[str], records: list[Callable[[], None]], now_ms: int, *, everything: bool) -> None:
        due = [symbol for symbol in self._books if everything or self._due(symbol, "marketDepth", now_ms)]
        if not due:
            return
        texts = []
        for place, symbol in enumerate(due):
            quoted, tick = self._books.pop(symbol)
            asks, bids = quoted.book(tick)
            texts.append(quoted.book_json(tick, asks, bids))
            records.append(self._book_record(quoted, tick, place, asks, bids))
        lists.append(f'"books":[{",".join(texts)}]')

    def _due(self, symbol: str, kind: str, now_ms: int, *, mark: bool = True) -> bool:
        interval = self.account.subscriptions.get(symbol, {}).get(kind)
        if interval is None:
            return True  # taken away since; what is left goes out
        if interval and now_ms - self._sent_ms.get((symbol, kind), 0) < interval:
            return False
        if mark:
            self._sent_ms[symbol, kind] = now_ms
        return True

    def _deliver(self, text: str, records: list[Callable[[], None]]) -> None:
        if self._faults.armed:
            if self._faults.take("skip"):
                return
            if self._held is None and self._faults.take("reorder"):
                self._held = text
                for record in records:
                    record()
                return
        if not self._send(text):
            return
        for record in records:
            record()
        if self._held is not None:
            self._send(self._held)
            self._held = None
        if self._faults.armed and self._faults.take("duplicate"):
            self._send(text)

    def _name(self, quoted: Quoted) -> str:
        return self._name_of(self.account, quoted.symbol.name)

    def _quote_record(self, quoted: Quoted, tick: Tick) -> Callable[[], None]:
        return lambda: self._ledger.quote(self._name(quoted), quoted, tick)

    def _tick_record(self, quoted: Quoted, tick: Tick) -> Callable[[], None]:
        return lambda: self._ledger.tick(self._name(quoted), quoted, tick, self._moments)

    def _candle_record(self, quoted: Quoted, timeframe: str, bar: Bar) -> Callable[[], None]:
        return lambda: self._ledger.candle(self._name(quoted), quoted, timeframe, bar)

    def _book_record(
        self, quoted: Quoted, tick: Tick, place: int, asks: list[tuple[str, str]], bids: list[tuple[str, str]]
    ) -> Callable[[], None]:
        return lambda: self._ledger.book(self._name(quoted), tick, self.stamp * 1000 + place, asks, bids)

    def _clock_record(self, first: Tick) -> Callable[[], None]:
        return lambda: self._ledger.offset(self.account.name, first.time_ms, self.account.broker.offset_ms)
