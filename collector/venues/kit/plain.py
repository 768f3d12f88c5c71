"""A parser of venues that speak plainly: each message is one JSON object and says one thing.

A subclass reads a message and tells what it found by `trade` and the like. What it raises over a bad message is the
message's reason in quarantine, so that it may simply take what it needs out of the message.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import orjson

from collector.model import DECIMAL, EARLIEST_US, LATEST_US, UNSIGNED, Records, Trade, content_key
from collector.venues.events import Event
from collector.venues.header import SessionHeader
from collector.venues.kit.session import SessionState
from collector.venues.kit.values import shorten

_ID: Final = re.compile(r"[\x21-\x7e]{1,64}").fullmatch
# The aggressor's side by the usual words.
SIDES: Final = {"buy": 1, "sell": -1}


class PlainParser(ABC):
    """Meets `collector.venues.roles.Parser`. What a subclass remembers beside, its `fork` has to copy."""

    def __init__(self, header: SessionHeader) -> None:
        self.header = header
        self.state = SessionState(header.venue, header.symbols)
        self.last_seen = self.state.last_seen

    @abstractmethod
    def read(self, message: dict[str, Any], received_ns: int, out: Records) -> Sequence[Event]:
        """Read a socket message. ValueError, KeyError and TypeError say that it is none of the venue's."""

    def read_answer(
        self, channel: str, params: Mapping[str, str], content: Any, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read the content of a REST answer; what it raises is handled as for `read`."""
        return ()

    def trade(self, item: Mapping[str, Any], channel: str, received_ns: int, out: Records) -> None:
        """Add a trade: `symbol`, `id`, `time` in milliseconds, `price` and `size` as texts, `side` buy or sell.

        Its key is made of the id alone, so that it is one row however often and by whatever way it is told.
        """
        instrument = self.state.admit(item["symbol"])
        if instrument is None:
            raise ValueError(f"symbol: {shorten(item['symbol'])} is not one of this session")
        trade_id, time_us = str(item["id"]), _time_us(item["time"])
        if not _ID(trade_id):
            raise ValueError(f"id: {shorten(item['id'])} is not an id")
        out.trades.append(
            Trade(
                instrument,
                time_us,
                content_key(trade_id),
                trade_id,
                decimal(item, "price", DECIMAL),
                decimal(item, "size", UNSIGNED),
                SIDES[item["side"]],
                received_ns // 1000,
            )
        )
        out.items += 1
        self.state.seen(channel)[instrument.symbol] = received_ns

    # -- the parser ----------------------------------------------------------------------------------------------------

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        try:
            message = orjson.loads(payload)
            if type(message) is not dict:
                raise ValueError(f"{shorten(message)} is not an object")  # noqa: TRY301  as other bad values
            return self.read(message, received_ns, out)
        except (ValueError, KeyError, TypeError) as error:
            self.state.reject(out, None, _reason(error), payload, received_ns // 1000)
            return ()

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        try:
            return self.read_answer(channel, params, orjson.loads(body), received_ns, out)
        except (ValueError, KeyError, TypeError) as error:
            request = orjson.dumps({"channel": channel, "params": dict(params)})
            self.state.reject(out, None, _reason(error), request + b"\n" + body, received_ns // 1000)
            return ()

    def beat(self, received_ns: int, out: Records) -> None:  # noqa: B027  most have nothing to do
        """Nothing is closed by time."""

    def fork(self) -> Self:
        copy = type(self)(self.header)
        self.state.fork_into(copy.state)
        copy.last_seen = copy.state.last_seen
        return copy


def decimal(item: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    """Return a decimal number as the venue wrote it. ValueError where it is none; a float is none."""
    value = item[name]
    if type(value) is not str or form.fullmatch(value) is None:
        raise ValueError(f"{name}: {shorten(value)} is not a decimal number as text")
    return value


def _time_us(value: Any) -> int:
    if type(value) is not int or not EARLIEST_US <= value * 1000 <= LATEST_US:
        raise ValueError(f"time: {shorten(value)} is not a time in milliseconds between the years 2000 and 2100")
    return value * 1000


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{shorten(error.args[0])} is missing, or is no value that is known"
    return str(error)[:300]
