"""The faults that can be asked for, and which of them are armed.

This module decides *whether* a fault strikes; what it does is written where it strikes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from collector.simulator.kit.faults import FaultError

KINDS: Final = {
    # at once
    "cut": "end the sockets without a goodbye",
    "freeze": "sockets stay open and say nothing for `seconds`, or for ever",
    "garbage": "a frame that is not JSON, cut out of a packet about the account",
    "unknown_packet": "a packet of a type that does not exist, with a number of its own",
    "disconnected": "the terminal is detached",
    "broker_lost": "the terminal loses its broker until `broker_back`",
    "broker_back": "the terminal has its broker again",
    "undeploy": "the account is not deployed any more",
    "deploy": "the account is deployed again",
    "downgrade": "the symbol's subscriptions are reduced to one packet in `interval_ms`; books are taken away",
    "update": "a packet about positions and the balance, which uses up a number",
    "burst": "a batch of `ticks` ticks of one symbol within one millisecond",
    "restart_numbers": "the stream's numbers begin at 0 without a word",
    # armed, `count` times (1 unless said otherwise)
    "skip": "a packet is lost: its number is used and it never comes",
    "duplicate": "a packet comes twice",
    "reorder": "a packet comes after the next one",
    "429": "a request on the socket is refused with a time to try again, `seconds` from now",
    "rest_429": "a REST call is refused with a time to try again, `seconds` from now",
    "5xx": "a REST call is answered with 503",
    "history_202": "a page of history is not ready; Retry-After says `seconds`",
    "refuse_subscribe": "subscribe is refused because the server is full: a new client id is wanted",
    "refuse_symbol": "subscribeToMarketData is refused for good",
    "slow_synchronization": "the packets of a synchronization come `seconds` apart",
    # armed until cleared, or for `seconds`
    "401": "the token is refused everywhere",
    "silent_status": "no heartbeat of terminals",
    "no_pong": "pings are not answered",
    "as_text": "responses and packets are texts that hold JSON",
}
AT_ONCE: Final = frozenset(list(KINDS)[:13])
LASTING: Final = frozenset({"401", "silent_status", "no_pong", "as_text"})


@dataclass(slots=True, eq=False)
class Fault:
    """One fault as asked for."""

    name: str
    symbol: str | None = None
    account: str | None = None
    left: int | None = None
    until: float | None = None
    options: Mapping[str, float] = field(default_factory=dict)

    def number(self, option: str, default: float) -> float:
        return self.options.get(option, default)


class Faults:
    """The armed faults."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.armed: dict[str, list[Fault]] = {}
        self.struck: dict[str, int] = {}

    def ask(
        self,
        name: str,
        *,
        symbol: str | None = None,
        account: str | None = None,
        count: int | None = None,
        seconds: float | None = None,
        **options: float,
    ) -> Fault:
        """Make a fault, and arm it if it is of that kind. Raises `FaultError` for what does not exist."""
        if name not in KINDS:
            raise FaultError(f"no fault is called {name!r}; there are {', '.join(KINDS)}")
        given = {**options, **({} if seconds is None else {"seconds": seconds})}
        for option, value in {"count": 1 if count is None else count, **given}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise FaultError(f"{option} of {name} must be a number above zero, not {value!r}")
        fault = Fault(name, symbol, account, options=given)
        if name in LASTING:
            fault.until = None if seconds is None else self._monotonic() + seconds
        elif name not in AT_ONCE:
            fault.left = count or 1
        if name not in AT_ONCE:
            self.armed.setdefault(name, []).append(fault)
        return fault

    def take(self, name: str, symbol: str | None = None) -> Fault | None:
        """Give the armed fault that strikes here, and count it; None where none does."""
        for fault in self.armed.get(name, ()):
            if fault.symbol not in (None, symbol):
                continue
            if fault.until is not None and self._monotonic() >= fault.until:
                continue
            if fault.left is not None:
                fault.left -= 1
                if fault.left <= 0:
                    self.armed[name].remove(fault)
            self.struck[name] = self.struck.get(name, 0) + 1
            return fault
        return None

    def clear(self) -> int:
        """Disarm all; give how many there were."""
        count = sum(map(len, self.armed.values()))
        self.armed.clear()
        return count
