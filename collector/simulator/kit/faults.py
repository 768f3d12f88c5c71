"""The machinery of faults on request, the same for the simulated venues: asked for, armed, taken, used up.

It decides *whether* a fault strikes. Which faults a venue has is its own list of `Kind`s, and what one does is written
where it strikes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

When = Literal["at once", "armed"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault: struck when it is asked for, or armed for the next `count` occasions or for some seconds."""

    when: When
    meaning: str
    count: int | None = 1


class FaultyVenue(ABC):
    """A venue that faults can be asked of."""

    faults: "Faults"

    @abstractmethod
    def has_symbol(self, symbol: str) -> bool: ...

    @abstractmethod
    def _strike(self, fault: "Fault") -> int:
        """Let a fault of the moment happen; return how many clients, trades or tokens it hit."""

    def fault(self, name: str, **asked: Any) -> dict[str, object]:
        """Ask for a fault (see the venue's `faults.KINDS`); return it as JSON, with `hit` where it struck at once.

        Raises `FaultError` where there is no such fault, channel or symbol.
        """
        symbol = asked.get("symbol")
        if symbol is not None and not self.has_symbol(symbol):
            raise FaultError(f"no symbol is called {symbol!r}")
        fault = self.faults.ask(name, **asked)
        if self.faults.waits(fault):
            return fault.as_json()
        return fault.as_json() | {"hit": self._strike(fault)}


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
    channel_name: str = "channel"
    """What the venue calls a channel."""

    def number(self, option: str, default: float) -> float:
        return self.options.get(option, default)

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "fault": self.name,
            "symbol": self.symbol,
            self.channel_name: self.channel,
            "left": self.left,
            "struck": self.struck,
            **self.options,
        }


class Faults:
    """The armed faults of a venue that knows `kinds`.  `armed` is empty nearly always: hot paths look at it first.

    `has_channel` tells whether a fault may be asked for on a channel of that name.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        monotonic: Callable[[], float],
        has_channel: Callable[[str], bool] = lambda _name: True,
        *,
        channel_name: str = "channel",
    ) -> None:
        self._kinds = kinds
        self._monotonic = monotonic
        self._has_channel = has_channel
        self._channel_name = channel_name
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
        kind = self._kinds.get(name)
        if kind is None:
            raise FaultError(f"no fault is called {name!r}; there are {', '.join(self._kinds)}")
        if channel is not None and (not isinstance(channel, str) or not self._has_channel(channel)):
            raise FaultError(f"no channel is called {channel!r}")
        for option, value in {"count": count, "seconds": seconds, **options}.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise FaultError(f"{option} of {name} must be a number above zero, not {value!r}")
        if isinstance(count, float):
            raise FaultError(f"count of {name} must be a whole number, not {count!r}")
        self._asked += 1
        left = count if count is not None else (None if seconds is not None else kind.count)
        until = self._monotonic() + seconds if seconds is not None else None
        fault = Fault(self._asked, name, symbol, channel, left, until, options, channel_name=self._channel_name)
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

    def waits(self, fault: Fault) -> bool:
        """Whether a fault is armed for later, instead of striking when it is asked for."""
        return self._kinds[fault.name].when == "armed"

    def listed(self) -> dict[str, object]:
        """List the faults that are armed, and all that there are."""
        known = {name: {"when": kind.when, "meaning": kind.meaning} for name, kind in self._kinds.items()}
        return {"armed": self.listing(), "known": known}

    def listing(self) -> list[dict[str, object]]:
        """List the armed faults."""
        self.expire()
        return [fault.as_json() for faults in self.armed.values() for fault in faults]
