"""The faults that can be asked for, and which of them are armed.

This module decides *whether* a fault strikes; what it does is written where it strikes: books and frames in `hub`,
connections in `connection`, requests in `requests` and `rest`, bad frames in `bad_frames`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from collector.simulator.fmfw import channels
from collector.simulator.kit.faults import Faults, Kind

KINDS: Final[Mapping[str, Kind]] = {
    "skip_sequence": Kind("armed", "the next book updates of the symbol are not sent"),
    "repeat_update": Kind("armed", "the next book updates are sent twice"),
    "zero_level_in_snapshot": Kind("armed", "the next book snapshots hold a level of size 0"),
    "remove_unknown_level": Kind("armed", "the next book updates remove a level that is not there"),
    "lose_trades": Kind("armed", "the next trade updates are not sent, and counted in candles all the same"),
    "fall_silent": Kind("armed", "no trades, candles and book updates are sent while the line lives", count=None),
    "repeat_trades": Kind("armed", "the next trade updates are sent twice"),
    "null_fields": Kind("armed", 'the next tickers have null prices (channel "rest": those of REST)'),
    "unknown_fields": Kind("armed", "the next messages carry keys that nobody knows", count=None),
    "429": Kind("armed", 'requests are refused (channel "rest" or "socket", both without)', count=None),
    "5xx": Kind("armed", "REST answers with `status` (503)", count=None),
    "refuse_connections": Kind("armed", "new sockets are refused with HTTP `status` (503)", count=None),
    "refuse_symbol": Kind("armed", "a subscribe that names the symbol gets error 2001", count=None),
    "late_acks": Kind("armed", "acknowledgements take `delay` seconds (0.4)", count=None),
    "reordered_acks": Kind("armed", "acknowledgements come in reverse order, after `delay` seconds (0.2)", count=None),
    "cut": Kind("at once", "connections end without a close frame", count=None),
    "freeze": Kind("at once", "connections fall silent, pings too, for `seconds` or for ever", count=None),
    "huge_snapshot": Kind("at once", "the book grows by `levels` (60000) a side and is sent whole"),
    "garbage": Kind("at once", "a frame that is not JSON"),
    "truncated": Kind("at once", "half a message"),
    "wrong_types": Kind("at once", "a message whose values have other types"),
    "unknown_channel": Kind("at once", "a message of a channel that does not exist"),
    "nan_price": Kind("at once", "a price of NaN"),
    "long_numbers": Kind("at once", "prices and sizes of thirty digits"),
    "negative_size": Kind("at once", "a size below zero"),
    "year_9999": Kind("at once", "a time in the year 9999"),
    "unknown_symbol": Kind("at once", "an item of a symbol that is not listed"),
}


def faults(monotonic: Callable[[], float]) -> Faults:
    """Give the venue's faults, none of them armed."""
    return Faults(KINDS, monotonic, lambda name: name in ("rest", "socket") or channels.channel(name) is not None)
