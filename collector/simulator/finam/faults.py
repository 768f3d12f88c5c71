"""The faults that can be asked for. This module decides whether one strikes; what it does is written where it does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from collector.simulator.kit.faults import FaultError

When = Literal["at once", "armed"]


@dataclass(frozen=True, slots=True)
class Kind:
    when: When
    meaning: str
    count: int | None = 1


KINDS: Final = {
    "429": Kind("armed", "calls are refused as over quota (`method`)", None),
    "5xx": Kind("armed", "calls get `status` (503) as in maintenance (`method`)", None),
    "envoy": Kind("armed", "a call gets status 500 with a text that is no JSON (`method`)"),
    "garbage": Kind("armed", "an answer is not JSON (`method`)"),
    "hang_up": Kind("armed", "the connection ends in place of an answer (`method`)"),
    "401": Kind("armed", "a call is refused as if its token were not valid (`method`)"),
    "403": Kind("armed", "no right to the data (`method`, `symbol`)", None),
    "404": Kind("armed", "the symbol is not known (`symbol`)", None),
    "empty_bars": Kind("armed", "bars come empty though there are some (`symbol`)"),
    "crossed_book": Kind("armed", "the next book answer is crossed (`symbol`)"),
    "duplicate_asset": Kind("armed", "a page of assets repeats the row before it", None),
    "silence": Kind("armed", "sockets are sent nothing, then all of it at once (`seconds`)", None),
    "expire": Kind("at once", "every session token ends now", None),
    "burst": Kind("at once", "so many trades of the `symbol` at once", 100),
    "repeat_trade": Kind("at once", "sockets get the newest trade of the `symbol` again, as a snapshot"),
    "lose_trades": Kind("armed", "trades of the `symbol` are not sent to sockets; lists and bars have them"),
    "short_list": Kind("armed", "lists of the `symbol`'s trades lack every third one; bars have them", None),
    "lose_book": Kind("armed", "book changes of the `symbol` are not sent"),
    "cut": Kind("at once", "sockets end without a close frame", None),
    "freeze": Kind("at once", "sockets fall silent, pings too", None),
    "ws_garbage": Kind("at once", "a socket message that is not JSON"),
    "ws_error": Kind("at once", "an ERROR envelope UNAUTHENTICATED"),
}


@dataclass(slots=True, eq=False)
class Fault:
    """One fault as asked for; `left` and `until` (monotonic seconds) bound an armed one."""

    name: str
    symbol: str | None = None
    method: str | None = None
    left: int | None = None
    until: float | None = None
    options: dict[str, float] = field(default_factory=dict)
    struck: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "fault": self.name,
            "symbol": self.symbol,
            "method": self.method,
            "left": self.left,
            "struck": self.struck,
            **self.options,
        }


class Faults:
    """The armed faults."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.armed: list[Fault] = []

    def __repr__(self) -> str:
        return f"<Faults {', '.join(fault.name for fault in self.armed) or 'none'}>"

    def ask(
        self,
        name: str,
        *,
        symbol: str | None = None,
        method: str | None = None,
        count: int | None = None,
        seconds: float | None = None,
        **options: float,
    ) -> Fault:
        """Make a fault, and arm it if it is of that kind. Raises `FaultError`."""
        kind = KINDS.get(name)
        if kind is None:
            raise FaultError(f"no fault is called {name!r}; there are {', '.join(KINDS)}")
        for option, value in {"count": count, "seconds": seconds, **options}.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise FaultError(f"{option} of {name} must be a number above zero, not {value!r}")
        left = count if count is not None else (None if seconds is not None else kind.count)
        until = None if seconds is None else self._monotonic() + seconds
        fault = Fault(name, symbol, method, left, until, dict(options))
        if kind.when == "armed":
            self.armed.append(fault)
        return fault

    def take(self, name: str, *, symbol: str | None = None, method: str | None = None) -> Fault | None:
        """Give the armed fault that strikes here, and count it."""
        if not self.armed:
            return None
        self.expire()
        for fault in self.armed:
            if fault.name == name and fault.symbol in (None, symbol) and fault.method in (None, method):
                fault.struck += 1
                if fault.left is not None:
                    fault.left -= 1
                return fault
        return None

    def expire(self) -> None:
        """Disarm what is used up or over."""
        now = self._monotonic()
        self.armed = [one for one in self.armed if one.left != 0 and (one.until is None or now < one.until)]

    def clear(self) -> int:
        """Disarm all; give how many there were."""
        count = len(self.armed)
        self.armed.clear()
        return count
