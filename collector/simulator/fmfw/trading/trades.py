"""All trades of one symbol that are still kept, in columns of machine integers: two million of them are 70 MB."""

from array import array
from bisect import bisect_left, bisect_right

from collector.simulator.kit.trade import Trade


class TradeLog:
    """Trades in order of execution, addressed by an index that never changes: `dropped` is the first one still here."""

    __slots__ = ("_buys", "_ids", "_prices", "_sizes", "_times", "dropped")

    def __init__(self) -> None:
        self._ids = array("q")
        self._times = array("q")
        self._prices = array("q")
        self._sizes = array("q")
        self._buys = array("b")
        self.dropped = 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._ids)

    def __repr__(self) -> str:
        return f"<TradeLog {len(self)} kept, {self.dropped} dropped>"

    @property
    def end(self) -> int:
        """The index that the next trade will have: how many there ever were."""
        return self.dropped + len(self._ids)

    def append(self, trade: Trade) -> None:
        self._ids.append(trade[0])
        self._times.append(trade[1])
        self._prices.append(trade[2])
        self._sizes.append(trade[3])
        self._buys.append(trade[4])

    def drop_oldest(self, count: int) -> None:
        """Forget the oldest `count` trades."""
        for column in (self._ids, self._times, self._prices, self._sizes, self._buys):
            del column[:count]
        self.dropped += count

    def __getitem__(self, index: int) -> Trade:
        """Give the trade with this index; raises `IndexError` when it is no longer, or not yet, here."""
        row = index - self.dropped
        if row < 0:
            raise IndexError(index)
        return Trade(self._ids[row], self._times[row], self._prices[row], self._sizes[row], bool(self._buys[row]))

    def last(self) -> Trade | None:
        return self[self.end - 1] if self._ids else None

    def range_by_id(self, first: int | None, last: int | None) -> tuple[int, int]:
        """Give the half-open index range of the kept trades with first <= id <= last."""
        return self._range(self._ids, first, last)

    def range_by_time(self, first_ms: int | None, last_ms: int | None) -> tuple[int, int]:
        """Give the half-open index range of the kept trades with first_ms <= time <= last_ms."""
        return self._range(self._times, first_ms, last_ms)

    def _range(self, column: "array[int]", first: int | None, last: int | None) -> tuple[int, int]:
        low = 0 if first is None else bisect_left(column, first)
        high = len(column) if last is None else bisect_right(column, last)
        return self.dropped + low, self.dropped + max(low, high)
