"""Who is subscribed to what, and the messages that go out for an event or a period.

Whatever is sent here as market data is written into the ledger in the same breath.
"""

import json
from collections.abc import Iterable, Sequence

from collector.simulator.fmfw import payloads
from collector.simulator.fmfw.channels import Channel
from collector.simulator.fmfw.connection import Connection
from collector.simulator.fmfw.ledger import SNAPSHOT, UPDATE, Injected, Ledger
from collector.simulator.fmfw.text import levels_checksum, plain_text
from collector.simulator.fmfw.topics import Subscribers, Topic
from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.trading.market import Event, Market
from collector.simulator.fmfw.trading.rates import Rates
from collector.simulator.kit.faults import Faults
from collector.simulator.kit.sockets import text_frame


class Hub:
    """The venue's publisher."""

    def __init__(self, exchange: Exchange, rates: Rates, ledger: Ledger, faults: Faults, *, time_ids: bool) -> None:
        self.exchange = exchange
        self.rates = rates
        self.ledger = ledger
        self.faults = faults
        self.time_ids = time_ids
        self.topics: dict[tuple[str, str], Topic] = {}

    def __repr__(self) -> str:
        return f"<Hub {' '.join(map(repr, self.topics.values()))}>"

    def topic(self, channel: Channel, target: str) -> Topic:
        topic = self.topics.get((channel.name, target))
        if topic is None:
            topic = self.topics[channel.name, target] = Topic(channel, target)
        return topic

    def subscribe(self, connection: Connection, topic: Topic, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            topic.subscribers.setdefault(symbol, {})[connection] = None

    def unsubscribe(self, connection: Connection, topic: Topic, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            subscribers = topic.subscribers.get(symbol)
            if subscribers is not None:
                subscribers.pop(connection, None)
                if not subscribers:
                    del topic.subscribers[symbol]
                    topic.last.pop(symbol, None)

    def subscriptions(self, connection: Connection) -> dict[Topic, list[str]]:
        """List what a connection is subscribed to."""
        found = {
            topic: [symbol for symbol, subscribers in topic.subscribers.items() if connection in subscribers]
            for topic in self.topics.values()
        }
        return {topic: symbols for topic, symbols in found.items() if symbols}

    def drop(self, connection: Connection) -> dict[Topic, list[str]]:
        """End all subscriptions of a connection and give what they were."""
        held = self.subscriptions(connection)
        for topic, symbols in held.items():
            self.unsubscribe(connection, topic, symbols)
        return held

    def publish(self, event: Event) -> None:
        """Send one event to whom it concerns: trades, then candles, then the book, as the venue does."""
        market = event.market
        symbol = market.symbol
        if self.faults.armed and self.faults.take("fall_silent", symbol):
            return
        if event.trades:
            trades = self.topics.get(("trades", ""))
            if trades is not None and (subscribers := trades.subscribers.get(symbol)):
                self._trades(trades, market, event, subscribers)
            for topic in self.topics.values():
                if topic.channel.period and (subscribers := topic.subscribers.get(symbol)):
                    self._bar(topic, market, subscribers)
        book = self.topics.get(("orderbook/full", ""))
        if book is not None and (subscribers := book.subscribers.get(symbol)):
            self._book_update(book, event, subscribers)

    def publish_period(self, speed_ms: int, now_ms: int) -> None:
        """Send the states that changed in the period that ends now."""
        for topic in list(self.topics.values()):
            if topic.channel.speed_ms != speed_ms or not topic.subscribers:
                continue
            changed: list[tuple[str, str]] = []
            for symbol in topic.subscribers:
                state = self._state(topic, symbol, now_ms)
                if state is None:
                    continue
                before = topic.last.get(symbol)
                if before is None or before[0] != state[0]:
                    topic.last[symbol] = state
                    changed.append((symbol, state[1]))
            if changed:
                self._states(topic, changed)

    def send_first(self, connection: Connection, topic: Topic, symbols: Sequence[str], limit: int, now_ms: int) -> None:
        """Send what follows an acknowledgement at once: snapshots, or the last state of each symbol."""
        family = topic.channel.family
        if family == "book":
            for symbol in symbols:
                self.send_book_snapshot(topic, symbol, {connection: None})
        elif family == "trades" and limit:
            for symbol in symbols:
                self._trades_snapshot(topic, self.exchange.markets[symbol], limit, connection)
        elif family in ("candles", "converted") and limit:
            for symbol in symbols:
                self._bars_snapshot(topic, self.exchange.markets[symbol], limit, connection)
        elif not topic.channel.at_once:
            states: list[tuple[str, str]] = []
            for symbol in symbols:
                state = topic.last.get(symbol) or self._state(topic, symbol, now_ms)
                if state is not None:
                    topic.last[symbol] = state
                    states.append((symbol, state[1]))
            if states:
                self._states(topic, states, {connection: None})

    def send_book_snapshot(self, topic: Topic, symbol: str, subscribers: Subscribers) -> None:
        """Send the whole book."""
        market = self.exchange.markets[symbol]
        asks, bids = market.asks.top(), market.bids.top()
        asks_json = payloads.levels(market.instrument, asks)
        bids_json = payloads.levels(market.instrument, bids)
        checksum = levels_checksum(asks_json, bids_json)
        if self.faults.armed and self.faults.take("zero_level_in_snapshot", symbol, topic.channel.name):
            asks_json = payloads.levels(market.instrument, [*asks, (asks[-1][0] + 1, 0)])
        self.ledger.sent_book(topic.key, symbol, market.sequence, market.changed_ms, SNAPSHOT, checksum)
        text = payloads.book(market.changed_ms, market.sequence, asks_json, bids_json)
        self._emit(topic, "snapshot", symbol, text, 1, subscribers)

    def inject(self, fault: str, channel: str, symbol: str, text: str, items: int) -> int:
        """Send a bad frame to all who listen to that channel and symbol; give how many they are."""
        listeners = {
            connection: None
            for topic in self.topics.values()
            if topic.channel.name == channel
            for connection in topic.subscribers.get(symbol, ())
        }
        frame = text_frame(text)
        for connection in listeners:
            connection.buffer.append(frame)
        self.ledger.sent_injected(Injected(fault, channel, symbol, len(listeners), items, text))
        return len(listeners)

    def _trades(self, topic: Topic, market: Market, event: Event, subscribers: Subscribers) -> None:
        if self.faults.armed and self.faults.take("lose_trades", market.symbol, topic.channel.name):
            return
        text = payloads.trades(market.instrument, event.trades, time_ids=self.time_ids)
        end = market.trades.end
        self.ledger.sent_trades(market.symbol, end - len(event.trades), end)
        times = 2 if self.faults.armed and self.faults.take("repeat_trades", market.symbol, topic.channel.name) else 1
        for _ in range(times):
            self._emit(topic, "update", market.symbol, text, len(event.trades), subscribers)

    def _trades_snapshot(self, topic: Topic, market: Market, limit: int, connection: Connection) -> None:
        end = market.trades.end
        first = max(market.trades.dropped, end - limit)
        items = [market.trades[index] for index in range(first, end)]
        self.ledger.sent_trades(market.symbol, first, end)
        text = payloads.trades(market.instrument, items, time_ids=self.time_ids)
        self._emit(topic, "snapshot", market.symbol, text, len(items), {connection: None})

    def _bar(self, topic: Topic, market: Market, subscribers: Subscribers) -> None:
        bar = market.series.current(topic.channel.period)
        if bar is None:
            return
        if topic.target:
            text = payloads.converted_bar(self.rates, market, bar, topic.target)
            if text is None:
                return
        else:
            text = payloads.bar(market.instrument, bar)
        self.ledger.sent_bar(topic.key, market.symbol, bar.start, text)
        self._emit(topic, "update", market.symbol, f"[{text}]", 1, subscribers)

    def _bars_snapshot(self, topic: Topic, market: Market, limit: int, connection: Connection) -> None:
        texts: list[str] = []
        for bar in market.series.bars(topic.channel.period)[-limit:]:
            text = (
                payloads.converted_bar(self.rates, market, bar, topic.target)
                if topic.target
                else payloads.bar(market.instrument, bar)
            )
            if text is not None:
                self.ledger.sent_bar(topic.key, market.symbol, bar.start, text)
                texts.append(text)
        self._emit(topic, "snapshot", market.symbol, f"[{','.join(texts)}]", len(texts), {connection: None})

    def _book_update(self, topic: Topic, event: Event, subscribers: Subscribers) -> None:
        market = event.market
        symbol, name = market.symbol, topic.channel.name
        asks, times = event.asks, 1
        if self.faults.armed:
            if self.faults.take("skip_sequence", symbol, name):
                return
            if self.faults.take("remove_unknown_level", symbol, name):
                asks = [*asks, (1 - market.asks.keys[0], 0)]
            if self.faults.take("repeat_update", symbol, name):
                times = 2
        asks_json = payloads.levels(market.instrument, asks)
        bids_json = payloads.levels(market.instrument, event.bids)
        checksum = levels_checksum(asks_json, bids_json)
        self.ledger.sent_book(topic.key, symbol, market.sequence, event.time_ms, UPDATE, checksum)
        text = payloads.book(event.time_ms, market.sequence, asks_json, bids_json)
        for _ in range(times):
            self._emit(topic, "update", symbol, text, 1, subscribers)

    def _state(self, topic: Topic, symbol: str, now_ms: int) -> tuple[str, str] | None:
        """Give what tells a state from the next one, and its payload."""
        channel = topic.channel
        if channel.family == "rate":
            rate = self.rates.rate(symbol, topic.target)
            if rate is None:
                return None
            content = plain_text(rate)
            return content, f'{{"t":{self.rates.changed_ms(symbol, topic.target) or now_ms},"r":"{content}"}}'
        if channel.family == "futures":
            return str(now_ms), self.exchange.contracts[symbol].socket_info(now_ms)
        market = self.exchange.markets[symbol]
        if channel.family == "partial":
            asks = payloads.levels(market.instrument, market.asks.top(channel.depth))
            bids = payloads.levels(market.instrument, market.bids.top(channel.depth))
            text = payloads.book(market.changed_ms, market.sequence, asks, bids)
            return asks + bids, text
        if channel.family == "top":
            best = payloads.top(market)
        elif channel.family == "ticker":
            best = payloads.ticker(market, now_ms)
        else:
            mini = payloads.mini_ticker(market, now_ms)
            if mini is None:
                return None
            best = mini
        return best, f'{{"t":{market.changed_ms},{best}}}'

    def _states(self, topic: Topic, states: list[tuple[str, str]], only: Subscribers | None = None) -> None:
        """Send states: each in a message of its own, or, on a batch channel, those of a connection in one."""
        if self.faults.armed and topic.channel.family in ("ticker", "top", "mini"):
            states = [
                (symbol, payloads.with_nulls(text))
                if self.faults.take("null_fields", symbol, topic.channel.name)
                else (symbol, text)
                for symbol, text in states
            ]
        for symbol, text in states:
            self._note_state(topic, symbol, text)
        if not topic.channel.batch:
            for symbol, text in states:
                self._emit(topic, "data", symbol, text, 1, only or topic.subscribers[symbol])
            return
        shares: dict[Connection, list[tuple[str, str]]] = {}
        for symbol, text in states:
            for connection in only or topic.subscribers[symbol]:
                shares.setdefault(connection, []).append((symbol, text))
        for connection, share in shares.items():
            text = topic.message("data", share)
            if self.faults.armed and self.faults.take("unknown_fields", share[0][0], topic.channel.name):
                text = payloads.with_unknown_fields(text)
            connection.send(text)
            # One frame with many symbols: the frame counts for the first of them, the items each for its own.
            self.ledger.tally(topic.key, share[0][0]).frames += 1
            for symbol, _ in share:
                self.ledger.tally(topic.key, symbol).items += 1

    def _note_state(self, topic: Topic, symbol: str, text: str) -> None:
        if topic.channel.family == "partial":
            head, _, levels = text[:-1].partition(',"a":')
            asks_json, _, bids_json = levels.partition(',"b":')
            stamp = json.loads(head + "}")
            checksum = levels_checksum(asks_json, bids_json)
            self.ledger.sent_book(topic.key, symbol, stamp["s"], stamp["t"], SNAPSHOT, checksum)
        else:
            self.ledger.sent_payload(topic.key, symbol, text)

    def _emit(self, topic: Topic, kind: str, symbol: str, payload: str, items: int, subscribers: Subscribers) -> None:
        """Send one message of one symbol, made once for all who get it."""
        text = f'{topic.head}"{kind}":{{"{symbol}":{payload}}}}}'
        if self.faults.armed and self.faults.take("unknown_fields", symbol, topic.channel.name):
            text = payloads.with_unknown_fields(text)
        frame = text_frame(text)
        for connection in subscribers:
            connection.buffer.append(frame)
        tally = self.ledger.tally(topic.key, symbol)
        tally.frames += len(subscribers)
        tally.items += items * len(subscribers)
