"""What is neither quote nor trade: the state of futures, and price rates of currencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from collector.model import Derivative, Instrument, Rate, Records
from collector.venues.events import Event
from collector.venues.fmfw.context import Context
from collector.venues.fmfw.values import MILLIS, MOMENT, SIGNED_TEXT, UNSIGNED_TEXT, fault, moment_us, optional
from collector.venues.kit.values import is_name, shorten

DERIVATIVES = "derivatives"
RATES = "rates"

_UNSIGNED = optional(UNSIGNED_TEXT)
_SIGNED = optional(SIGNED_TEXT)

_RULES = {
    "t": MILLIS,
    "m": _UNSIGNED,
    "i": _UNSIGNED,
    "o": _UNSIGNED,
    "p": _SIGNED,
    "P": _SIGNED,
    "r": _SIGNED,
    "R": _SIGNED,
    "I": _SIGNED,
    "T": optional(MILLIS),
    "s": _UNSIGNED,
    "e": optional(MILLIS),
}
_REST_RULES = {
    "timestamp": MOMENT,
    "mark_price": _UNSIGNED,
    "index_price": _UNSIGNED,
    "open_interest": _UNSIGNED,
    "premium_index": _SIGNED,
    "avg_premium_index": _SIGNED,
    "funding_rate": _SIGNED,
    "indicative_funding_rate": _SIGNED,
    "interest_rate": _SIGNED,
    "next_funding_time": optional(MOMENT),
    "indicative_settlement_price": _UNSIGNED,
    "expiry": optional(MOMENT),
}
_RATE_RULES = {"t": MILLIS, "r": UNSIGNED_TEXT}


class FuturesReader:
    """The socket channel `futures/info`."""

    __slots__ = ("_channel", "_context", "_seen")

    def __init__(self, context: Context, channel: str) -> None:
        self._context = context
        self._channel = channel
        self._seen = context.seen(channel)

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._channel)

    def read(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event] | None:
        content = message.get("data")
        if type(content) is not dict:
            return None
        context = self._context
        received_us = received_ns // 1000
        for symbol, item in content.items():
            instrument = context.admit(symbol)
            if instrument is None:
                context.reject_symbol(out, DERIVATIVES, symbol, payload, received_us, item)
                continue
            reason = fault(item, _RULES)
            if reason is not None:
                context.reject(out, DERIVATIVES, reason, payload, received_us)
                continue
            get = item.get
            out.derivatives.append(
                Derivative(
                    instrument,
                    item["t"] * 1000,
                    get("m"),
                    get("i"),
                    get("r"),
                    moment_us(get("T")),
                    get("R"),
                    get("p"),
                    get("P"),
                    get("I"),
                    get("o"),
                    get("s"),
                    moment_us(get("e")),
                    received_us,
                )
            )
            out.items += 1
            self._seen[symbol] = received_ns
        return ()


def read_rest_derivative(instrument: Instrument, item: Any, received_us: int) -> Derivative | str:
    """Make the row of a REST state or of a past funding, or say what is wrong with it."""
    reason = fault(item, _REST_RULES)
    if reason is not None:
        return reason
    time_us = moment_us(item["timestamp"])
    assert time_us is not None
    get = item.get
    return Derivative(
        instrument,
        time_us,
        get("mark_price"),
        get("index_price"),
        get("funding_rate"),
        moment_us(get("next_funding_time")),
        get("indicative_funding_rate"),
        get("premium_index"),
        get("avg_premium_index"),
        get("interest_rate"),
        get("open_interest"),
        get("indicative_settlement_price"),
        moment_us(get("expiry")),
        received_us,
    )


class RateReader:
    """The socket channels `price/rate`: what one currency is worth in another."""

    __slots__ = ("_channel", "_context", "_seen")

    def __init__(self, context: Context, channel: str) -> None:
        self._context = context
        self._channel = channel
        self._seen = context.seen(channel)

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._channel)

    def read(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event] | None:
        content = message.get("data")
        if type(content) is not dict:
            return None
        received_us = received_ns // 1000
        target = message.get("target_currency")
        for currency, item in content.items():
            reason = names_fault(currency, target) or fault(item, _RATE_RULES)
            if reason is not None:
                self._context.reject(out, RATES, reason, payload, received_us)
                continue
            name = f"{currency}/{target}"
            out.rates.append(Rate(self._context.venue, item["t"] * 1000, name, item["r"], received_us))
            out.items += 1
            self._seen[currency] = received_ns
        return ()


def names_fault(source: object, target: object) -> str | None:
    """Say which of a rate's two currencies is none."""
    if not is_name(source):
        return f"currency: {shorten(source)} is not a currency"
    if not is_name(target):
        return f"target_currency: {shorten(target)} is not a currency"
    return None
