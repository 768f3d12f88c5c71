"""What is neither quote nor trade: index values and exchange rates of the venue, and the state of its contracts.

One answer tells all indexes, each as [time, value]. All of them are rates; those whose names belong to a contract
(`.btcusd_spot`, `.btcusdfair`, .. for `btcusd_p`) also make a row of its state. That row's time is the newest of its
values' times; the funding time, which lies ahead, is not one of them. Open interest comes from an answer of its own
that has no time, so it is told with the next state.

How exchange rates (`fex`) look is not known from any source: what has a name and a number, or a name, a number and a
time, is taken in any of the shapes that the venue uses elsewhere. A rate without a time gets the venue's time at its
receipt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from collector.model import Derivative, Instrument, Rate, Records
from collector.venues.events import Event
from collector.venues.fmex.context import Context
from collector.venues.fmex.numbers import signed, unsigned
from collector.venues.fmex.topics import INDEX
from collector.venues.fmex.values import millis_us
from collector.venues.kit.values import is_name, shorten

DERIVATIVES = "derivatives"
RATES = "rates"

INDEXES_SEEN = "indexes"
STATES_SEEN = "states"
EXCHANGE_SEEN = "fex"
ALL = "*"

CONTRACT_SUFFIX = "_p"

_MARK, _INDEX, _FUNDING, _COMING, _PREMIUM, _MEAN_PREMIUM, _INTEREST = (
    "fair",
    "_spot",
    "fr8h",
    "fr",
    "pi",
    "pi8h",
    "lr1d",
)
_TIMED = (_MARK, _INDEX, _COMING, _PREMIUM)
_VALUE_NAMES = ("value", "price", "rate", "last")
_TIME_NAMES = ("ts", "time", "timestamp", "id")


class _Value(NamedTuple):
    time_us: int
    value: str


class StateReader:
    """The REST answers `indexes`, `fex` and open interest, and the topics `index.*`."""

    __slots__ = ("_context", "_interest", "_rates", "_states")

    def __init__(self, context: Context, *, rates: bool, states: bool, interest: dict[str, str] | None = None) -> None:
        self._context = context
        self._rates = rates
        self._states = states
        self._interest = {} if interest is None else interest

    def fork(self, context: Context) -> StateReader:
        return StateReader(context, rates=self._rates, states=self._states, interest=self._interest.copy())

    def read_indexes(self, content: Any, body: bytes, received_ns: int, out: Records) -> None:
        """Read all indexes: rates, and a state of each contract of the session."""
        received_us = received_ns // 1000
        values: dict[str, _Value] = {}
        if type(content) is not dict:
            reason = f"{shorten(content)} is not an object of indexes"
            self._context.reject(out, RATES, reason, body, received_us)
            return
        for name, pair in content.items():
            found = _pair(pair) if is_name(name) else None
            if found is None:
                reason = f"{shorten(name)}: {shorten(pair)} is not an index's time and value"
                self._context.reject(out, RATES, reason, body, received_us)
                continue
            values[name.lower()] = found
        if self._rates:
            for name, found in values.items():
                self._store(name, found, received_us, out)
            self._context.seen(INDEXES_SEEN)[ALL] = received_ns
        if self._states:
            for instrument in self._context.instruments.values():
                self._state(instrument, values, received_ns, out)

    def read_one_index(self, name: str, content: Any, body: bytes, received_ns: int, out: Records) -> None:
        """Read the values of one index: a pair, a list of pairs, or a list of bars with `id` and `close`."""
        items = content if type(content) is list and content and type(content[0]) in (list, dict) else [content]
        for item in items:
            found = _loose(item, self._context.venue_us(received_ns // 1000)) if type(item) is dict else _pair(item)
            if found is None:
                reason = f"{shorten(item)} is not a value of {name}"
                self._context.reject(out, RATES, reason, body, received_ns // 1000)
            else:
                self._store(name, found, received_ns // 1000, out)

    def read_push(
        self, instrument: Instrument, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read a message of a topic `index.*`."""
        found = _pair(message.get("index"))
        if found is None:
            reason = f"index: {shorten(message.get('index'))} is not a time and a value"
            self._context.reject(out, RATES, reason, payload, received_ns // 1000)
            return ()
        self._store(instrument.symbol, found, received_ns // 1000, out)
        self._context.seen(INDEX)[instrument.symbol] = received_ns
        return ()

    def read_exchange(self, content: Any, body: bytes, received_ns: int, out: Records) -> None:
        """Read exchange rates, whatever their shape."""
        received_us = received_ns // 1000
        good = False
        for name, item in _named(content):
            found = _loose(item, self._context.venue_us(received_us))
            if found is None or not is_name(name):
                reason = f"{shorten(name)}: {shorten(item)} is not an exchange rate"
                self._context.reject(out, RATES, reason, body, received_us)
                continue
            self._store(name.lower(), found, received_us, out)
            good = True
        if good:
            self._context.seen(EXCHANGE_SEEN)[ALL] = received_ns
        elif not content or type(content) not in (dict, list):
            self._context.reject(out, RATES, f"{shorten(content)} holds no exchange rates", body, received_us)

    def read_interest(self, content: Any, body: bytes, received_ns: int, out: Records) -> None:
        """Read open interest by symbol; it is told with the next states."""
        if type(content) is not dict:
            reason = f"{shorten(content)} is not an object of open interest"
            self._context.reject(out, DERIVATIVES, reason, body, received_ns // 1000)
            return
        for symbol, value in content.items():
            amount = unsigned(value)
            if amount is None:
                reason = f"{shorten(symbol)}: {shorten(value)} is not an open interest"
                self._context.reject(out, DERIVATIVES, reason, body, received_ns // 1000)
            elif symbol.lower() in self._context.instruments:
                self._interest[symbol.lower()] = amount

    def _store(self, name: str, found: _Value, received_us: int, out: Records) -> None:
        out.rates.append(Rate(self._context.venue, found.time_us, name, found.value, received_us))
        out.items += 1

    def _state(self, instrument: Instrument, values: Mapping[str, _Value], received_ns: int, out: Records) -> None:
        prefix = "." + instrument.symbol.removesuffix(CONTRACT_SUFFIX)
        told = [values[prefix + part].time_us for part in _TIMED if prefix + part in values]
        if not told:
            return

        def value(part: str) -> str | None:
            found = values.get(prefix + part)
            return found.value if found else None

        funding = values.get(prefix + _FUNDING)
        out.derivatives.append(
            Derivative(
                instrument,
                max(told),
                mark_price=value(_MARK),
                index_price=value(_INDEX),
                funding_rate=value(_FUNDING),
                next_funding_us=funding.time_us if funding else None,
                indicative_funding_rate=value(_COMING),
                premium_index=value(_PREMIUM),
                avg_premium_index=value(_MEAN_PREMIUM),
                interest_rate=value(_INTEREST),
                open_interest=self._interest.get(instrument.symbol),
                settlement_price=None,
                expiry_us=None,
                received_us=received_ns // 1000,
            )
        )
        out.items += 1
        self._context.seen(STATES_SEEN)[instrument.symbol] = received_ns


def _pair(item: Any) -> _Value | None:
    if type(item) is not list or len(item) != 2:
        return None
    time_us, value = millis_us(item[0]), signed(item[1])
    return _Value(time_us, value) if time_us is not None and value is not None else None


def _loose(item: Any, now_us: int) -> _Value | None:
    """Read a number, [time, number] or an object with both."""
    if type(item) is list:
        return _pair(item)
    if type(item) is not dict:
        value = signed(item)
        return None if value is None else _Value(now_us, value)
    value = next((signed(item[name]) for name in (*_VALUE_NAMES, "close") if name in item), None)
    time = next((item[name] for name in _TIME_NAMES if name in item), None)
    if value is None:
        return None
    time_us = now_us if time is None else millis_us(time)
    return None if time_us is None else _Value(time_us, value)


def _named(content: Any) -> Iterator[tuple[Any, Any]]:
    """Pair rates with their names: an object by name, or a list of objects that name themselves."""
    if type(content) is dict:
        yield from content.items()
    elif type(content) is list:
        for item in content:
            keys = item if type(item) is dict else {}
            name = next((keys[key] for key in ("name", "symbol", "currency") if key in keys), None)
            yield name, item
