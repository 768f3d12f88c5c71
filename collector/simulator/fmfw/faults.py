"""The faults that can be asked for, and which of them are armed.

This module decides *whether* a fault strikes; what it does is written where it strikes: books and frames in `hub`,
connections in `connection`, requests in `requests` and `rest`, bad frames in `bad_frames`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from collector.simulator.fmfw import channels

When = Literal["at once", "armed"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault: struck when it is asked for, or armed for the next `count` occasions or for some seconds."""

    when: When
    meaning: str
    count: int | None = 1


KINDS: Final[Mapping[str, Kind]] = {
    "skip_sequence": Kind("armed", "the next book updates of the symbol are not sent"),
    "repeat_update": Kind("armed", "the next book updates are sent twice"),
    "zero_level_in_snapshot": Kind("armed", "the next book snapshots hold a level of size 0"),
    "remove_unknown_level": Kind("armed", "the next book updates remove a level that is not there"),
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


class FaultError(ValueError):
    """A fault was asked for that does not exist or cannot be had that way."""


@dataclass(slots=True, eq=False)
class Fault:
    """One fault as asked for; `left` and `until` (monotonic seconds) bound an armed one, `struck` counts."""

    id: int
    name: str
    symbol: str | None = None
    channel: str | None = None
    left: int | None = None
    until: float | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    struck: int = 0

    def number(self, option: str, default: float) -> float:
        return self.options.get(option, default)

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "fault": self.name,
            "symbol": self.symbol,
            "channel": self.channel,
            "left": self.left,
            "struck": self.struck,
            **self.options,
        }


class Faults:
    """The armed faults.  `armed` is empty nearly always: hot paths look at it first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._asked = 0
        self.armed: dict[str, list[Fault]] = {}

    def __repr__(self) -> str:
        return f"<Faults {', '.join(self.armed) or 'none'} armed>"

    def ask(
        self,
        name: str,
        *,
        symbol: str | None = None,
        channel: str | None = None,
        count: int | None = None,
        seconds: float | None = None,
        **options: float,
    ) -> Fault:
        """Make a fault, and arm it if it is of that kind.  `options` are the fault's own numbers.

        Raises `FaultError` for an unknown name or channel, and for what is no number above zero.
        """
        kind = KINDS.get(name)
        if kind is None:
            raise FaultError(f"no fault is called {name!r}; there are {', '.join(KINDS)}")
        if channel not in (None, "rest", "socket") and (
            not isinstance(channel, str) or channels.channel(channel) is None
        ):
            raise FaultError(f"no channel is called {channel!r}")
        for option, value in {"count": count, "seconds": seconds, **options}.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise FaultError(f"{option} of {name} must be a number above zero, not {value!r}")
        if isinstance(count, float):
            raise FaultError(f"count of {name} must be a whole number, not {count!r}")
        self._asked += 1
        left = count if count is not None else (None if seconds is not None else kind.count)
        until = self._monotonic() + seconds if seconds is not None else None
        fault = Fault(self._asked, name, symbol, channel, left, until, options)
        if kind.when == "armed":
            self.armed.setdefault(name, []).append(fault)
        return fault

    def take(self, name: str, symbol: str | None = None, channel: str | None = None) -> Fault | None:
        """Give the armed fault that strikes here, and count it; None where none does.

        A fault that names no symbol or channel strikes everywhere.
        """
        for fault in self.armed.get(name, ()):
            if fault.symbol not in (None, symbol) or fault.channel not in (None, channel):
                continue
            if fault.until is not None and self._monotonic() >= fault.until:
                continue
            fault.struck += 1
            if fault.left is not None:
                fault.left -= 1
            self.expire()
            return fault
        return None

    def expire(self) -> None:
        """Disarm what is used up or over."""
        now = self._monotonic()
        for name, faults in list(self.armed.items()):
            kept = [one for one in faults if one.left != 0 and (one.until is None or now < one.until)]
            if kept:
                self.armed[name] = kept
            else:
                del self.armed[name]

    def clear(self) -> int:
        """Disarm all; give how many there were."""
        count = sum(map(len, self.armed.values()))
        self.armed.clear()
        return count

    def listing(self) -> list[dict[str, object]]:
        """List the armed faults."""
        self.expire()
        return [fault.as_json() for faults in self.armed.values() for fault in faults]
