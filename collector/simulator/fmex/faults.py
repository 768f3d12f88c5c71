"""The faults that can be asked for, and which of them are armed.

This module decides *whether* a fault strikes; what it does is written where it strikes: books in `books`, other frames
in `hub` and `bad_frames`, commands in `commands`, REST in `server`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

When = Literal["at once", "armed"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault: struck when it is asked for, or armed for the next `count` occasions or for some seconds."""

    when: When
    meaning: str
    count: int | None = 1


KINDS: Final[Mapping[str, Kind]] = {
    "skip_delta": Kind("armed", "the next changes of the symbol's book are not sent"),
    "broken_pre_seq": Kind("armed", "the next changes name another message than the one they follow"),
    "old_delta": Kind("armed", "after the next changes the ones before them are sent again"),
    "delta_before_whole": Kind("armed", "the next subscribed book begins with a change"),
    "no_whole": Kind("armed", "a book subscribed next comes without its first whole message", count=None),
    "zero_in_whole": Kind("armed", "the next whole books hold a level of amount 0"),
    "crossed_delta": Kind("armed", "the next changes make the book cross"),
    "repeat_trade": Kind("armed", "the next trades are sent twice"),
    "changed_id": Kind("armed", "trades younger than a minute have other ids when they are read again", count=None),
    "null_id": Kind("armed", "the next answers to `req` have null for their id"),
    "no_answer": Kind("armed", "commands (`channel`: one of them, such as ping) are not answered", count=None),
    "refuse_topic": Kind("armed", "a command that names the topic (`symbol`) is refused, status 41002", count=None),
    "refuse_commands": Kind("armed", "commands are refused with `status` (50000) for a while", count=None),
    "no_hello": Kind("armed", "new connections are not greeted", count=None),
    "late_answers": Kind("armed", "answers to commands take `delay` seconds (0.4)", count=None),
    "429": Kind("armed", "REST calls are refused with HTTP status 429", count=None),
    "5xx": Kind("armed", "REST answers with HTTP `status` (503) and a page of HTML", count=None),
    "html": Kind("armed", "REST answers with HTTP status 200 and a page of HTML", count=None),
    "refuse_connections": Kind("armed", "new sockets are refused with HTTP `status` (503)", count=None),
    "cut": Kind("at once", "connections end without a close frame", count=None),
    "silence": Kind("at once", "connections fall silent, for `seconds` or for ever", count=None),
    "whole_in_the_middle": Kind("at once", "the whole book is sent to those who listen to its changes"),
    "garbage": Kind("at once", "a frame that is not JSON"),
    "truncated": Kind("at once", "half a message"),
    "wrong_types": Kind("at once", "a trade whose values have other types"),
    "unknown_type": Kind("at once", "a message of a type that does not exist"),
    "nan_price": Kind("at once", "a price of NaN, which is no JSON"),
    "long_numbers": Kind("at once", "a price and an amount of thirty digits"),
    "negative_amount": Kind("at once", "an amount below zero"),
    "year_9999": Kind("at once", "a time in the year 9999"),
    "unknown_symbol": Kind("at once", "a trade of a symbol that is not listed"),
    "odd_list": Kind("at once", "a book whose flat list has a price without an amount"),
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
            "id": self.id, "fault": self.name, "symbol": self.symbol, "channel": self.channel, "left": self.left,
            "struck": self.struck, **self.options,
        }  # fmt: skip


class Faults:
    """The armed faults.  `armed` is empty nearly always: hot paths look at it first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._asked = 0
        self.armed: dict[str, list[Fault]] = {}

    def __repr__(self) -> str:
        return f"<Faults {', '.join(self.armed) or 'none'} armed>"

    def ask(
        self, name: str, *, symbol: str | None = None, channel: str | None = None, count: int | None = None,
        seconds: float | None = None, **options: float,
    ) -> Fault:  # fmt: skip
        """Make a fault, and arm it if it is of that kind.  `options` are the fault's own numbers.

        Raises `FaultError` for an unknown name, and for what is no number above zero.
        """
        kind = KINDS.get(name)
        if kind is None:
            raise FaultError(f"no fault is called {name!r}; there are {', '.join(KINDS)}")
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
