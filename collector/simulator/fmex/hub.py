"""Who is subscribed to what, and the messages that go out for an event or a period.

Whatever is sent here as market data is written into the ledger in the same breath.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from collector.simulator.fmex import indexes, payloads
from collector.simulator.fmex.connection import Connection
from collector.simulator.fmex.ledger import Ledger
from collector.simulator.fmex.market import Market
from collector.simulator.fmex.topics import Topic, parse
from collector.simulator.kit.faults import Faults
from collector.simulator.kit.sockets import text_frame
from collector.simulator.kit.trade import Trade

_FIRST_TICKER_SEQ: Final = 980_518_546_020


class Hub:
    """The venue's publisher. With `echo` types have the case of the subscription, else all are in lower case."""

    def __init__(
        self,
        markets: Mapping[str, Market],
        ledger: Ledger,
        faults: Faults,
        *,
        echo: bool,
        ticker_ts: bool,
        index_step_ms: int,
    ) -> None:
        self.markets = markets
        self.ledger = ledger
        self.faults = faults
        self.echo = echo
        self.ticker_ts = ticker_ts
        self.index_step_ms = index_step_ms
        self.subscribers: dict[str, dict[Connection, None]] = {}
        self.ticker_seq: dict[str, int] = dict.fromkeys(markets, _FIRST_TICKER_SEQ)
        self._told: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"<Hub {len(self.subscribers)} topics>"

    def subscribe(self, connection: Connection, topic: Topic, written: str) -> None:
        connection.topics[topic.text] = written
        self.subscribers.setdefault(topic.text, {})[connection] = None

    def unsubscribe(self, connection: Connection, topic: str) -> None:
        connection.topics.pop(topic, None)
        listeners = self.subscribers.get(topic)
        if listeners is not None:
            listeners.pop(connection, None)
            if not listeners:
                del self.subscribers[topic]
                self._told.pop(topic, None)

    def drop(self, connection: Connection) -> dict[str, str]:
        """End all subscriptions of a connection and give what they were."""
        held = dict(connection.topics)
        for topic in held:
            self.unsubscribe(connection, topic)
        return held

    def listeners(self, topic: str) -> Iterable[Connection]:
        return self.subscribers.get(topic, ())

    def emit(self, topic: str, body: str, listeners: Iterable[Connection], *, whole_of: str = "") -> None:
        """Send one message of a topic; `whole_of` is the topic of changes that a whole book is sent for."""
        kind = topic.partition(".")[0]
        self.ledger.frames[topic] += 1
        if not self.echo:
            frame = text_frame(f'{{"type":"{topic}",{body}}}')
            for connection in listeners:
                connection.buffer.append(frame)
            return
        for connection in listeners:
            written = connection.topics.get(whole_of or topic, topic)
            shown = kind + "." + written.partition(".")[2] if whole_of else written
            connection.send(f'{{"type":"{shown}",{body}}}')

    def trades(self, market: Market, made: Iterable[Trade], first_index: int) -> None:
        """Tell of each trade, in a message of its own."""
        topic = f"trade.{market.symbol}"
        listeners = self.subscribers.get(topic)
        if not listeners:
            return
        for index, one in enumerate(made, start=first_index):
            if self.faults.armed and self.faults.take("lose_trades", market.symbol):
                continue
            self.ledger.trade(market.symbol, index)
            body = payloads.trade(one)
            times = 2 if self.faults.armed and self.faults.take("repeat_trade", market.symbol) else 1
            for _ in range(times):
                self.emit(topic, body, listeners)

    def tickers(self, now_ms: int) -> None:
        """Tell the tickers that changed."""
        for symbol, market in self.markets.items():
            topic = f"ticker.{symbol}"
            listeners = self.subscribers.get(topic)
            if listeners:
                said = payloads.ticker(market, market.minutes.day())
                if self._told.get(topic) == said:
                    continue
                self._told[topic] = said
                self.ticker_seq[symbol] += 1 + market.seq % 7
                seq = self.ticker_seq[symbol]
                self.ledger.tick(symbol, now_ms if self.ticker_ts else None, seq, said)
                ts = f',"ts":{now_ms}' if self.ticker_ts else ""
                self.emit(topic, f'"ticker":{said.sent},"seq":{seq}{ts}', listeners)

    def candles(self) -> None:
        """Tell the running bars that changed, each again and again within its time."""
        for text, listeners in list(self.subscribers.items()):
            topic = parse(text) if text.startswith("candle.") else None
            if topic is None or topic.symbol not in self.markets:
                continue
            bar = self.markets[topic.symbol].minutes.current(topic.variant)
            state = (bar.start, bar.seq, bar.count)
            if self._told.get(text) == state:
                continue
            self._told[text] = state
            said = payloads.bar(bar)
            self.ledger.candle(topic.symbol, topic.variant, bar.start, said)
            self.emit(text, said.sent, listeners)

    def index_topics(self, now_ms: int) -> None:
        """Tell the indexes whose time has changed."""
        for text, listeners in list(self.subscribers.items()):
            if not text.startswith("index."):
                continue
            name = text.removeprefix("index.")
            found = next((all_[name] for all_ in self._indexes(now_ms) if name in all_), None)
            if found is None or self._told.get(text) == found[0]:
                continue
            self._told[text] = found[0]
            self.ledger.rate(name, found[0], found[1].plain)
            self.emit(text, f'"index":[{found[0]},{found[1].sent}]', listeners)

    def _indexes(self, now_ms: int) -> Iterable[indexes.Values]:
        return (indexes.values(market, now_ms, self.index_step_ms) for market in self.markets.values())

    def inject(self, fault: str, topic: str, text: str) -> int:
        """Send a bad frame to all who listen to a topic; give how many they are."""
        listeners = list(self.listeners(topic))
        for connection in listeners:
            connection.send(text)
        self.ledger.injected[fault] += len(listeners)
        return len(listeners)
