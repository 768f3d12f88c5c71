"""One side of an order book in integers, cheap at the touch whatever its depth."""

from bisect import bisect_left, insort


class Side:
    """One side of a book: the best level is the last of `keys`, so that the busy end of the list is the cheap one.

    A key is the price for bids and its negative for asks: the greatest key is the best price of either side.
    """

    __slots__ = ("keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"<Side {len(self.keys)} levels, best {self.best if self.keys else None}>"

    @property
    def best(self) -> int:
        """The best price; raises `IndexError` on an empty side."""
        return self.sign * self.keys[-1]

    def set(self, key: int, size: int) -> None:
        """Give the level at `key` this size, above zero."""
        if key not in self.sizes:
            insort(self.keys, key)
        self.sizes[key] = size

    def remove(self, key: int) -> None:
        """Take an existing level away."""
        del self.sizes[key]
        if self.keys[-1] == key:
            self.keys.pop()
        else:
            del self.keys[bisect_left(self.keys, key)]

    def take_best(self, size: int) -> tuple[int, int, int]:
        """Take up to `size` from the best level; return its price, what was taken, and what is left there."""
        key = self.keys[-1]
        there = self.sizes[key]
        taken = min(size, there)
        if taken == there:
            self.remove(key)
        else:
            self.sizes[key] = there - taken
        return self.sign * key, taken, there - taken

    def top(self, depth: int | None = None) -> list[tuple[int, int]]:
        """List (price, size), best first, at most `depth` of them."""
        keys = self.keys[::-1] if depth is None else self.keys[: -depth - 1 : -1]
        return [(self.sign * key, self.sizes[key]) for key in keys]
