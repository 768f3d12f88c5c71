"""Everything market-like that was sent, so that a recorder can be compared with it to the last item.

The market's truth (all trades, all bars) is in `Exchange`; this is what went out on sockets, and beside it what the
history gave of trades and bars over REST (`given_trades`, `given_bars`), which no count includes.  Memory is bounded:
books are kept as (sequence, time, kind, checksum), other payloads as text up to a number of bytes, the oldest leaving
first (`dropped` says how many did).  Counts are never dropped.

A channel's key is its name, with `@CURRENCY` behind it where subscriptions name a target currency.
"""

from array import array
from collections import deque
from dataclasses import dataclass
from typing import Final

# Bounds of what the ledger keeps, so that a long run does not fill the memory.
_BOOK_STATES_MAX: Final = 4_000_000
_BARS_MAX: Final = 50_000
_PAYLOAD_MAX_BYTES: Final = 128 * 1024 * 1024

UPDATE, SNAPSHOT = 0, 1


@dataclass(slots=True)
class Tally:
    """What one channel sent of one symbol, over all connections: a frame for ten clients counts ten times."""

    frames: int = 0
    items: int = 0
    injected_frames: int = 0
    injected_items: int = 0


class Ranges:
    """A set of integers that mostly grows at its end, as half-open ranges."""

    __slots__ = ("spans",)

    def __init__(self) -> None:
        self.spans: list[list[int]] = []

    def add(self, first: int, end: int) -> None:
        """Take first..end-1 in."""
        spans = self.spans
        if spans and spans[-1][0] <= first <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        elif not spans or first > spans[-1][1]:
            spans.append([first, end])
        else:
            merged: list[list[int]] = []
            for low, high in sorted([*spans, [first, end]]):
                if merged and low <= merged[-1][1]:
                    merged[-1][1] = max(merged[-1][1], high)
                else:
                    merged.append([low, high])
            self.spans = merged

    def __contains__(self, number: int) -> bool:
        return any(low <= number < high for low, high in self.spans)

    def __len__(self) -> int:
        return sum(high - low for low, high in self.spans)


class BookLog:
    """The book messages of one channel and symbol: sequence, time in ms, UPDATE or SNAPSHOT, checksum of the levels."""

    __slots__ = ("_checksums", "_kinds", "_sequences", "_times", "dropped")

    def __init__(self) -> None:
        self._sequences = array("q")
        self._times = array("q")
        self._kinds = array("b")
        self._checksums = array("Q")
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._sequences)

    def add(self, sequence: int, time_ms: int, kind: int, checksum: int) -> bool:
        """Write one state down; False where it is the last one again."""
        if self._sequences and (self._sequences[-1], self._kinds[-1], self._checksums[-1]) == (
            sequence,
            kind,
            checksum,
        ):
            return False
        self._sequences.append(sequence)
        self._times.append(time_ms)
        self._kinds.append(kind)
        self._checksums.append(checksum)
        return True

    def drop_oldest(self, count: int) -> None:
        for column in (self._sequences, self._times, self._kinds, self._checksums):
            del column[:count]
        self.dropped += count

    def rows(self, from_index: int, limit: int) -> list[tuple[int, int, int, int]]:
        """List states from an index on that never changes (`dropped` is the first one still here)."""
        low = max(0, from_index - self.dropped)
        cut = slice(low, low + limit)
        return list(zip(self._sequences[cut], self._times[cut], self._kinds[cut], self._checksums[cut], strict=True))


class PayloadLog:
    """The distinct payloads of one channel and symbol, as sent."""

    __slots__ = ("dropped", "payloads")

    def __init__(self) -> None:
        self.payloads: deque[str] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.payloads)

    def rows(self, from_index: int, limit: int) -> list[str]:
        low = max(0, from_index - self.dropped)
        return [payload for position, payload in enumerate(self.payloads) if low <= position < low + limit]


@dataclass(frozen=True, slots=True)
class Injected:
    """One bad frame that was sent on purpose, to `frames` connections; `items` is what it would hold were it good."""

    fault: str
    channel: str
    symbol: str
    frames: int
    items: int
    text: str


class Ledger:
    """What went out, by (channel key, symbol)."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.trades: dict[str, Ranges] = {}
        self.bars: dict[tuple[str, str], dict[int, str]] = {}
        self.given_trades: dict[str, Ranges] = {}
        self.given_bars: dict[tuple[str, str], dict[int, str]] = {}
        self.books: dict[tuple[str, str], BookLog] = {}
        self.payloads: dict[tuple[str, str], PayloadLog] = {}
        self.injected: deque[Injected] = deque(maxlen=100_000)
        self.injected_frames = 0
        self.injected_items = 0
        self.control_frames = 0
        self._book_states = 0
        self._payload_bytes = 0

    def __repr__(self) -> str:
        totals = self.totals()
        return f"<Ledger {totals['frames']} frames, {totals['items']} items, {totals['injected_frames']} injected>"

    def totals(self) -> dict[str, int]:
        """Sum the counts over all channels and symbols; injected frames are not among `frames`."""
        return {
            "frames": sum(tally.frames for tally in self.tallies.values()),
            "items": sum(tally.items for tally in self.tallies.values()),
            "injected_frames": self.injected_frames,
            "injected_items": self.injected_items,
            "control_frames": self.control_frames,
        }

    def tally(self, channel: str, symbol: str) -> Tally:
        tally = self.tallies.get((channel, symbol))
        if tally is None:
            tally = self.tallies[channel, symbol] = Tally()
        return tally

    def sent_trades(self, symbol: str, first: int, end: int) -> None:
        """Note that the symbol's trades with these indices went out."""
        self.trades.setdefault(symbol, Ranges()).add(first, end)

    def sent_bar(self, channel: str, symbol: str, start_ms: int, payload: str) -> None:
        """Note the last word on a bar."""
        _keep_bar(self.bars.setdefault((channel, symbol), {}), start_ms, payload)
        self.given_bars.get((channel, symbol), {}).pop(start_ms, None)

    def gave_trades(self, symbol: str, first: int, end: int) -> None:
        """Note that the history gave the symbol's trades with these indices."""
        if first < end:
            self.given_trades.setdefault(symbol, Ranges()).add(first, end)

    def gave_bar(self, channel: str, symbol: str, start_ms: int, payload: str) -> None:
        """Note the history's word on a bar, in the socket's form; it is the last one until a socket has a later one."""
        _keep_bar(self.given_bars.setdefault((channel, symbol), {}), start_ms, payload)

    def sent_book(self, channel: str, symbol: str, sequence: int, time_ms: int, kind: int, checksum: int) -> None:
        """Note one book message."""
        log = self.books.get((channel, symbol))
        if log is None:
            log = self.books[channel, symbol] = BookLog()
        if log.add(sequence, time_ms, kind, checksum):
            self._book_states += 1
            if self._book_states > _BOOK_STATES_MAX:
                longest = max(self.books.values(), key=len)
                count = len(longest) // 4 + 1
                longest.drop_oldest(count)
                self._book_states -= count

    def sent_payload(self, channel: str, symbol: str, payload: str) -> None:
        """Note one payload, unless it is the last one again (the first message of a second subscriber is)."""
        log = self.payloads.get((channel, symbol))
        if log is None:
            log = self.payloads[channel, symbol] = PayloadLog()
        if log.payloads and log.payloads[-1] == payload:
            return
        log.payloads.append(payload)
        self._payload_bytes += len(payload) + 64
        if self._payload_bytes > _PAYLOAD_MAX_BYTES:
            longest = max(self.payloads.values(), key=len)
            for _ in range(len(longest) // 4 + 1):
                self._payload_bytes -= len(longest.payloads.popleft()) + 64
                longest.dropped += 1

    def sent_injected(self, injected: Injected) -> None:
        """Note one bad frame."""
        self.injected.append(injected)
        self.injected_frames += injected.frames
        self.injected_items += injected.frames * injected.items
        tally = self.tally(injected.channel, injected.symbol)
        tally.injected_frames += injected.frames
        tally.injected_items += injected.frames * injected.items


def _keep_bar(bars: dict[int, str], start_ms: int, payload: str) -> None:
    bars[start_ms] = payload
    if len(bars) > _BARS_MAX:
        del bars[next(iter(bars))]
