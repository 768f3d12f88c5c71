"""Depth: what the best levels of a book look like at each period, whole and as the changes between two looks."""

from collections.abc import Iterable, Mapping
from random import Random

from collector.simulator.fmex import payloads
from collector.simulator.fmex.connection import Connection
from collector.simulator.fmex.hub import Hub
from collector.simulator.fmex.market import Levels, Market
from collector.simulator.fmex.payloads import Sides
from collector.simulator.fmex.topics import LEVELS


class View:
    """The last look at one book down to one depth."""

    def __init__(self, market: Market, level: str, seq: int) -> None:
        self.market = market
        self.level = level
        self.seq = seq
        self.time_ms = 0
        self.bids: Levels = []
        self.asks: Levels = []
        self.change = ""
        """The last change that was sent, as it was sent."""
        self._whole: Sides | None = None

    def __repr__(self) -> str:
        return f"<View {self.level} of {self.market.symbol} at {self.seq}>"

    @property
    def whole(self) -> Sides:
        if self._whole is None:
            self._whole = payloads.sides(self.bids, self.asks)
        return self._whole

    def look(self, now_ms: int, jump: int) -> tuple[Levels, Levels] | None:
        """Look again; give what changed of bids and asks (size 0 for what is gone), None when nothing did."""
        depth = LEVELS[self.level]
        bids, asks = self.market.bids.top(depth), self.market.asks.top(depth)
        if bids == self.bids and asks == self.asks:
            return None
        changed = _changes(self.bids, bids)[::-1], _changes(self.asks, asks)
        self.bids, self.asks, self._whole = bids, asks, None
        self.time_ms = now_ms
        self.seq += jump
        return changed


def _changes(before: Levels, after: Levels) -> Levels:
    old, new = dict(before), dict(after)
    gone = [(price, 0) for price in old if price not in new]
    return sorted([*gone, *((price, size) for price, size in after if old.get(price) != size)])


class Depth:
    """Publishes books."""

    def __init__(self, hub: Hub, markets: Mapping[str, Market], random: Random) -> None:
        self._hub = hub
        self._random = random
        self.views = {
            (level, symbol): View(market, level, market.seq + 1_000_000 * place)
            for place, level in enumerate(LEVELS)
            for symbol, market in markets.items()
        }

    def publish(self, level: str, now_ms: int) -> None:
        """Send one depth of every book that changed to those who listen, whole or as changes."""
        for (one, symbol), view in self.views.items():
            if one != level:
                continue
            whole, changes = f"depth.{level}.{symbol}", f"depth-delta.{level}.{symbol}"
            if self._hub.listeners(whole) or self._hub.listeners(changes):
                self._publish(view, whole, changes, now_ms)

    def begin(self, level: str, symbol: str, connection: Connection, now_ms: int) -> None:
        """Send the whole book to one who has just subscribed its changes, after a look that others see, too."""
        view = self.views[level, symbol]
        whole, changes = f"depth.{level}.{symbol}", f"depth-delta.{level}.{symbol}"
        others = [one for one in self._hub.listeners(changes) if one is not connection]
        faults = self._hub.faults
        if faults.armed and faults.take("delta_before_whole", symbol):
            body = f'"ts":{now_ms},"seq":{view.seq - 5},"pre_seq":{view.seq - 9},"bids":[],"asks":[]'
            self._hub.ledger.injected["delta_before_whole"] += 1
            self._hub.emit(changes, body, (connection,))
        self._publish(view, whole, changes, now_ms, others)
        if not (faults.armed and faults.take("no_whole", symbol)):
            self.send_whole(view, (connection,), whole_of=changes)

    def send_whole(self, view: View, listeners: Iterable[Connection], *, whole_of: str = "") -> None:
        """Send the whole of the last look."""
        symbol, said = view.market.symbol, view.whole
        bids = said.bids
        if self._hub.faults.armed and self._hub.faults.take("zero_in_whole", symbol):
            bids = bids[:-1] + (",0.5,0.0]" if view.bids else "0.5,0.0]")
        self._hub.ledger.book(symbol, view.time_ms, view.seq, said, snapshot=True)
        body = f'"seq":{view.seq},"asks":{said.asks},"bids":{bids},"ts":{view.time_ms}'
        self._hub.emit(f"depth.{view.level}.{symbol}", body, listeners, whole_of=whole_of)

    def _publish(
        self, view: View, whole: str, changes: str, now_ms: int, listeners: Iterable[Connection] | None = None
    ) -> None:
        before = view.seq
        changed = view.look(now_ms, 1 + int(self._random.random() * 20))
        if changed is None:
            return
        if self._hub.listeners(whole):
            self.send_whole(view, self._hub.listeners(whole))
        following = list(self._hub.listeners(changes) if listeners is None else listeners)
        if following:
            self._change(view, changes, before, changed, following)

    def _change(
        self, view: View, topic: str, before: int, changed: tuple[Levels, Levels], listeners: list[Connection]
    ) -> None:
        hub, symbol = self._hub, view.market.symbol
        said = payloads.sides(*changed)
        text = _body(view, before, said)
        if hub.faults.armed:
            if hub.faults.take("skip_delta", symbol):
                return
            if hub.faults.take("broken_pre_seq", symbol):
                hub.ledger.injected["broken_pre_seq"] += 1
                hub.emit(topic, _body(view, before + 1, said), listeners)
                return
        hub.ledger.book(symbol, view.time_ms, view.seq, said, snapshot=False)
        hub.emit(topic, text, listeners)
        if hub.faults.armed and view.change and hub.faults.take("old_delta", symbol):
            hub.emit(topic, view.change, listeners)
        view.change = text
        if hub.faults.armed and hub.faults.take("crossed_delta", symbol):
            self._cross(view, topic, listeners)

    def _cross(self, view: View, topic: str, listeners: list[Connection]) -> None:
        before, view.seq = view.seq, view.seq + 3
        said = payloads.sides([(view.asks[0][0] + 4, 77)], [])
        self._hub.ledger.book(view.market.symbol, view.time_ms, view.seq, said, snapshot=False)
        self._hub.emit(topic, _body(view, before, said), listeners)


def _body(view: View, before: int, said: Sides) -> str:
    return f'"ts":{view.time_ms},"seq":{view.seq},"pre_seq":{before},"bids":{said.bids},"asks":{said.asks}'
