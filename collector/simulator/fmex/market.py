"""One contract's market: its book, its trades, its bars, and the rules by which the next event is made.

All arithmetic is in integers (ticks of half a dollar, whole contracts), all chance comes from the generator handed in.
After each event the best bid is below the best ask.
"""

from random import Random
from typing import Final

from collector.simulator.fmex.bars import Minutes
from collector.simulator.fmex.contracts import TICKS_PER_USD, Contract
from collector.simulator.kit.book import Side
from collector.simulator.kit.trade import Trade

# Levels of each side at the start.
_LEVELS_START: Final = 220
# Trades take no level of a side that has no more than these: the books of 150 levels stay full.
_LEVELS_MIN: Final = 170
# Trades that one market order makes.
_TRADES_PER_ORDER_MAX: Final = 5
# Trades of a contract that are kept.
TRADES_MAX: Final = 400_000
_ID_STEP: Final = 1000
_VALUE_UNITS: Final = 10**18

Levels = list[tuple[int, int]]


class Market:
    """The state of one contract. Trades have an index that never changes: `dropped` is the first still here."""

    def __init__(self, contract: Contract, random: Random, begin_ms: int, *, kept_trades: int = TRADES_MAX) -> None:
        self._kept_trades = kept_trades
        self.contract = contract
        self.symbol = contract.symbol
        self.random = random
        self.asks = Side(-1)
        self.bids = Side(1)
        self.trades: list[Trade] = []
        self.dropped = 0
        self.minutes = Minutes(begin_ms, contract.start_price)
        self.seq = 978_943_826 + random.randrange(1_000_000)
        self.changed_ms = begin_ms
        self._next_id = self.seq * _ID_STEP // 9
        self._anchor = float(contract.start_price)
        for side in (self.asks, self.bids):
            for distance in range(1, _LEVELS_START + 1):
                key = side.sign * contract.start_price - distance
                if side is self.asks or key > 0:
                    side.set(key, self._size())

    def __repr__(self) -> str:
        return f"<Market {self.symbol} seq {self.seq}, {self.end} trades>"

    @property
    def end(self) -> int:
        """How many trades there ever were."""
        return self.dropped + len(self.trades)

    def trade(self, index: int) -> Trade:
        return self.trades[index - self.dropped]

    def step(self, time_ms: int, trade_share: float = 0.3) -> list[Trade]:
        """Make one event at `time_ms` and give its trades."""
        draw = self.random.random
        self.changed_ms = time_ms = max(time_ms, self.changed_ms)
        self.seq += 1 + int(draw() * 20)
        self.minutes.roll(time_ms, self.seq)
        # The pull towards the anchor keeps a long run from drifting to a price of nothing.
        middle = (self.asks.best + self.bids.best) / 2
        buy_share = 0.5 + max(-0.4, min(0.4, 20 * (self._anchor / middle - 1)))
        self._anchor *= 1 + 0.0002 * (draw() - 0.5)
        trades = self._take(time_ms, draw() < buy_share) if draw() < trade_share else []
        for _ in range(1 + int(draw() * 3)):
            self._quote(draw() >= buy_share)
        if len(self.trades) > self._kept_trades * 1.1:
            surplus = len(self.trades) - self._kept_trades
            del self.trades[:surplus]
            self.dropped += surplus
        return trades

    def roll(self, now_ms: int) -> None:
        """Let time pass: minutes without trades begin, too."""
        self.minutes.roll(now_ms, self.seq)

    def _size(self) -> int:
        return 1 + int(self.random.expovariate(1 / self.contract.mean_size))

    def _take(self, time_ms: int, buy: bool) -> list[Trade]:
        side = self.asks if buy else self.bids
        left = self._size()
        trades: list[Trade] = []
        while left > 0 and len(trades) < _TRADES_PER_ORDER_MAX and len(side.keys) > _LEVELS_MIN:
            price, taken, _ = side.take_best(left)
            # Two resting orders of one size and price: equal trades within a millisecond.
            parts = [taken // 2] * 2 if taken % 2 == 0 and self.random.random() < 0.2 else [taken]
            trades.extend([self._trade(time_ms, price, part, buy) for part in parts])
            left -= taken
        return trades

    def _trade(self, time_ms: int, price: int, size: int, buy: bool) -> Trade:
        self._next_id += _ID_STEP * (1 + int(self.random.random() * 3))
        trade = Trade(self._next_id, time_ms, price, size, buy)
        self.trades.append(trade)
        self.minutes.add(price, size, size * TICKS_PER_USD * _VALUE_UNITS // price, self.seq)
        return trade

    def _quote(self, ask: bool) -> None:
        """Place, change or cancel one level of a side."""
        side, other = (self.asks, self.bids) if ask else (self.bids, self.asks)
        draw = self.random.random
        if len(side.keys) > _LEVELS_MIN and draw() * 2 * _LEVELS_START < len(side.keys):
            side.remove(side.keys[-1 - min(int(self.random.expovariate(0.05)), len(side.keys) - 1)])
            return
        best = side.keys[-1]
        spread = -other.keys[-1] - best
        key = best + 1 if spread > 1 and draw() < 0.7 else best - int(self.random.expovariate(0.02))
        if side.sign < 0 or key > 0:
            side.set(key, self._size())
