"""Reads trades: over REST as the list of the latest ones, on the socket as they come.

The list has no pages: trades that drop out of it between two polls are lost. So each list must overlap with the known
trades. Where it does not, and is as long as such lists have been, there is a gap from the newest known trade to the
oldest of the list.

A trade's key is its id, which is unique together with instrument and time; without an id it is its content and its
ordinal among equal trades. A trade that this session has read already is not an item again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from collector.model import Gap, Instrument, Records, Trade, content_key, plain
from collector.venues.finam.context import Context
from collector.venues.finam.values import BadValueError, mapping, moment_us, needed, text, unsigned
from collector.venues.kit.ordinals import Counts, Ordinals, trade_key
from collector.venues.kit.values import shorten

STREAM = "trades"
# The cause of a gap in trades.
NO_OVERLAP = "latest trades did not reach back"

# How many trades of each instrument are remembered, to recognise them when they come again: as many as this number of
# its longest lists hold, and at least the second number. Fewer would store late repeats again, which changes nothing
# but the counts of items; more costs memory per instrument.
LISTS_REMEMBERED_MAX = 5
TRADES_REMEMBERED_MIN = 500
# Longer ids are garbage; the exchange's have about 11 digits.
TRADE_ID_MAX_CHARACTERS = 100

_SIDES = {"SIDE_BUY": 1, "SIDE_SELL": -1}
# The largest value of PostgreSQL's bigint, the type of a gap's numbers.
_BIGINT_MAX = 2**63 - 1

_Key = tuple[int, int]


class Listing(NamedTuple):
    """What a list of latest trades contained.

    `total`: its trades; `fresh`: those that were new; `lost`: it does not reach back to the known trades. `oldest_us`:
    the time of its oldest trade, None where it is empty.
    """

    total: int
    fresh: int
    first: bool
    """No trade was known before, so that all are new and nothing follows from that."""
    lost: bool
    longest: int
    """The longest list of this instrument so far."""
    oldest_us: int | None


class _Tape:
    """The known trades of one instrument. `newest`: time, numeric id and id of the newest one."""

    __slots__ = ("keys", "longest", "newest", "ordinals")

    def __init__(self) -> None:
        self.keys: dict[_Key, None] = {}
        self.newest: tuple[int, int, str | None] | None = None
        self.longest = 0
        self.ordinals = Ordinals()

    def fork(self) -> _Tape:
        copy = _Tape()
        copy.keys, copy.newest, copy.longest = self.keys.copy(), self.newest, self.longest
        copy.ordinals = self.ordinals.fork()
        return copy

    def learn(self, trade: Trade) -> bool:
        """Remember a trade. Returns whether it was new."""
        key = trade.time_us, trade.trade_key
        if key in self.keys:
            return False
        self.keys[key] = None
        position = trade.time_us, _number(trade.trade_id), trade.trade_id
        if self.newest is None or position[:2] >= self.newest[:2]:
            self.newest = position
        return True

    def forget(self) -> None:
        """Forget the oldest trades beyond the bound."""
        surplus = len(self.keys) - max(TRADES_REMEMBERED_MIN, LISTS_REMEMBERED_MAX * self.longest)
        if surplus > 0:
            for key in [key for key, _ in zip(self.keys, range(surplus), strict=False)]:
                del self.keys[key]


class TradeReader:
    """Reads the trades of a session."""

    __slots__ = ("_context", "_tapes")

    def __init__(self, context: Context, tapes: dict[str, _Tape] | None = None) -> None:
        self._context = context
        self._tapes = {} if tapes is None else tapes

    def fork(self, context: Context) -> Self:
        return type(self)(context, {symbol: tape.fork() for symbol, tape in self._tapes.items()})

    def read(
        self, instrument: Instrument, items: Sequence[Any], payload: bytes, received_us: int, out: Records
    ) -> Listing:
        """Read a list from polling, in any order. Where it does not overlap the known trades, add a gap."""
        tape = self._tapes.setdefault(instrument.symbol, _Tape())
        trades = self._parsed(instrument, items, payload, received_us, out, Counts())
        trades.sort(key=_position)
        newest_known = tape.newest
        fresh = [trade for trade in trades if tape.learn(trade)]
        tape.longest = max(tape.longest, len(items))
        lost = False
        if newest_known is not None and trades and len(fresh) == len(trades) and len(items) >= tape.longest:
            first = trades[0]
            lost = first.time_us >= newest_known[0]
            if lost:
                out.gaps.append(
                    Gap(
                        instrument,
                        STREAM,
                        newest_known[0],
                        first.time_us,
                        _bigint(newest_known[2]),
                        _bigint(first.trade_id),
                        NO_OVERLAP,
                    )
                )
        tape.forget()
        out.trades += fresh
        out.items += len(fresh)
        return Listing(len(items), len(fresh), newest_known is None, lost, tape.longest, _oldest(trades))

    def read_history(
        self, instrument: Instrument, items: Sequence[Any], payload: bytes, received_us: int, out: Records
    ) -> Listing:
        """Read a list of a call for history: every trade becomes a row, and nothing follows from what is missing."""
        trades = self._parsed(instrument, items, payload, received_us, out, Counts())
        trades.sort(key=_position)
        out.trades += trades
        out.items += len(trades)
        return Listing(len(items), len(trades), first=True, lost=False, longest=len(items), oldest_us=_oldest(trades))

    def follow(
        self, instrument: Instrument, items: Sequence[Any], payload: bytes, received_us: int, out: Records
    ) -> int:
        """Read a message of the socket. Returns how many trades were new."""
        tape = self._tapes.setdefault(instrument.symbol, _Tape())
        replayed = Counts()
        fresh = 0
        for item in items:
            # After a subscription the venue sends the latest trades again, flagged as a snapshot. Their equal trades
            # are counted from the start, so that each gets the key that it had before.
            repeated = type(item) is dict and item.get("is_data_snapshot") is True
            counts = replayed if repeated else tape.ordinals
            for trade in self._parsed(instrument, (item,), payload, received_us, out, counts):
                if tape.learn(trade):
                    out.trades.append(trade)
                    out.items += 1
                    fresh += 1
        replayed.teach(tape.ordinals)
        tape.forget()
        return fresh

    def _parsed(
        self,
        instrument: Instrument,
        items: Sequence[Any],
        payload: bytes,
        received_us: int,
        out: Records,
        counts: Counts | Ordinals,
    ) -> list[Trade]:
        trades = []
        for item in items:
            try:
                trades.append(_trade(instrument, mapping(item, "trade"), received_us, counts))
            except BadValueError as error:
                self._context.reject(out, STREAM, f"{instrument.symbol}: {error}", payload, received_us)
        return trades


def _trade(instrument: Instrument, item: Mapping[str, Any], received_us: int, counts: Counts | Ordinals) -> Trade:
    time_us, price, size = moment_us(item), needed(item, "price"), unsigned(item, "size")
    if size is None:
        raise BadValueError("size: missing")
    side = _SIDES.get(text(item, "side"))
    trade_id = text(item, "trade_id") or None
    if trade_id is not None and len(trade_id) > TRADE_ID_MAX_CHARACTERS:
        raise BadValueError(f"trade_id: {shorten(trade_id)} is too long")
    if trade_id is not None:
        key = content_key(trade_id)
    else:
        content = f"{time_us}|{plain(price)}|{plain(size)}|{side}"
        key = trade_key(content, counts.number(content, None, time_us))
    return Trade(instrument, time_us, key, trade_id, price, size, side, received_us)


def _oldest(trades: Sequence[Trade]) -> int | None:
    return trades[0].time_us if trades else None


def _position(trade: Trade) -> tuple[int, int]:
    return trade.time_us, _number(trade.trade_id)


def _number(trade_id: str | None) -> int:
    return int(trade_id) if trade_id is not None and trade_id.isascii() and trade_id.isdigit() else -1


def _bigint(trade_id: str | None) -> int | None:
    number = _number(trade_id)
    return number if 0 <= number <= _BIGINT_MAX else None
