"""What a bar (OHLCV) of a simulated series consists of, in whole units of its instrument."""


class Bar:
    """One bar; `volume` and `value` are sums over its trades, `count` is their number, `start` its opening time."""

    __slots__ = ("close", "count", "high", "low", "open", "start", "value", "volume")

    def __init__(self, start: int, price: int) -> None:
        self.start = start
        self.open = self.close = self.high = self.low = price
        self.volume = self.value = self.count = 0

    def append(self, later: "Bar") -> None:
        """Add a bar that follows this one."""
        self.close = later.close
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.volume += later.volume
        self.value += later.value
        self.count += later.count
