"""One instrument over HTTP: what it is, its gaps, candles, spread and book, as the tables have them.

Reads only. Every parameter is checked, every answer is bounded, and answers are kept for a moment so that ten people
who look at one instrument cost the database as much as one. Prices and sizes are text, with every digit.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from collector.clock import iso
from collector.errors import CollectorError, Fault
from collector.logs import KNOWN_SECRETS
from collector.model import PERIODS
from collector.store.errors import DatabaseError
from collector.store.named import queries
from collector.web.day import DAY_SECONDS

if TYPE_CHECKING:
    from collector.clock import Clock
    from collector.store.reading import Reader

# Bounds of one answer.
CANDLES_MAX: Final = 1000
SPREAD_SPAN_MAX_SECONDS: Final = 21_600
# Points of the line that shows the spread.
SPREAD_BINS: Final = 360
# Ticks that are read for the spread; beyond, the answer says that it is not complete.
TICKS_MAX: Final = 300_000
# Changes after the last snapshot from which a book is rebuilt.
BOOK_MESSAGES_MAX: Final = 20_000
LEVELS_MAX: Final = 500
GAPS_MAX: Final = 200
NAME_MAX_CHARACTERS: Final = 200
# How long an answer is given again without asking the database.
ANSWER_MAX_AGE_SECONDS: Final = 2.0
# An answer that took t seconds is kept for this many times t, so that the database is not kept busy by the page.
REST_FACTOR: Final = 10.0
# Answers that are kept; the oldest goes first.
ANSWERS_KEPT_MAX: Final = 64

_SQL = queries("page")
_DIGITS = re.compile(r"[0-9]{1,9}")


class ParametersError(CollectorError):
    """A request asks for what cannot be; holds all `faults`."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.key}: {fault.problem}" for fault in faults))
        self.faults = faults


class UnknownInstrumentError(CollectorError):
    """No instrument has this venue and symbol."""


class Parameters:
    """The query of a request, taken piece by piece; `done` tells all that was wrong with it."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = dict(query)
        self._faults: list[Fault] = []

    def name(self, key: str) -> str:
        """Take a name that has to be there."""
        value = self._query.pop(key, "")
        if not value or len(value) > NAME_MAX_CHARACTERS or not value.isprintable():
            self._faults.append(
                Fault(key, f"{value[:40]!r} is no name", f"1 to {NAME_MAX_CHARACTERS} printable characters")
            )
        return value

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """Take a whole number between two others, which are allowed."""
        value = self._query.pop(key, str(default))
        if _DIGITS.fullmatch(value) and low <= int(value) <= high:
            return int(value)
        self._faults.append(Fault(key, f"{value[:40]!r} is not allowed", f"a whole number from {low} to {high}"))
        return default

    def done(self) -> None:
        """Raise what was wrong, the parameters that nobody took included."""
        self._faults += [Fault(key[:40], "there is no such parameter", "leave it out") for key in self._query]
        if self._faults:
            raise ParametersError(self._faults)


Answer = Callable[[Parameters], Awaitable[dict[str, Any]]]


class Instruments:
    """Answers from the tables."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}

    def routes(self) -> Iterator[web.RouteDef]:
        for path, answer in (
            ("/api/instrument", self.instrument),
            ("/api/instrument/candles", self.candles),
            ("/api/instrument/spread", self.spread),
            ("/api/instrument/book", self.book),
        ):
            yield web.get(path, self._handler(answer))

    def _handler(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            key = request.path_qs
            kept = self._kept.get(key)
            began = self._clock.monotonic()
            if kept is not None and began < kept[0]:
                return _json(kept[1])
            try:
                body = orjson.dumps(await answer(Parameters(request.query)))
            except ParametersError as error:
                faults = [{"parameter": one.key, "problem": one.problem, "remedy": one.remedy} for one in error.faults]
                return _json(orjson.dumps({"error": str(error), "faults": faults}), 400)
            except UnknownInstrumentError as error:
                return _json(KNOWN_SECRETS.hide_in_json(orjson.dumps({"error": str(error)})), 404)
            except DatabaseError as error:
                return _json(KNOWN_SECRETS.hide_in_json(orjson.dumps({"error": str(error)})), 503)
            self._kept.pop(key, None)
            while len(self._kept) >= ANSWERS_KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            now = self._clock.monotonic()
            self._kept[key] = now + max(ANSWER_MAX_AGE_SECONDS, REST_FACTOR * (now - began)), body
            return _json(body)

        return handle

    async def instrument(self, parameters: Parameters) -> dict[str, Any]:
        """What it is, the periods of its candles, and its gaps of the last day."""
        venue, symbol = parameters.name("venue"), parameters.name("symbol")
        parameters.done()
        found = await self._find(venue, symbol)
        since_us = self._clock.now_ns() // 1000 - DAY_SECONDS * 1_000_000
        gaps = await self._reader.rows(_SQL["gaps"], venue, symbol, since_us, GAPS_MAX)
        facts = ("base", "quote", "kind", "price_step", "size_step", "status", "periods")
        return {
            "venue": venue,
            "symbol": symbol,
            **{name: found[name] for name in facts},
            "gaps": [
                {
                    "stream": gap["stream"],
                    "from_time": _iso(gap["from_us"]),
                    "to_time": _iso(gap["to_us"]),
                    **{name: gap[name] for name in ("cause", "reason", "state", "filled_rows")},
                }
                for gap in gaps
            ],
        }

    async def candles(self, parameters: Parameters) -> dict[str, Any]:
        """The newest candles of a period, the oldest first."""
        venue, symbol = parameters.name("venue"), parameters.name("symbol")
        period = parameters.whole("period", PERIODS["1m"], 1, PERIODS["1q"])
        limit = parameters.whole("limit", 300, 1, CANDLES_MAX)
        parameters.done()
        found = await self._find(venue, symbol)
        rows = await self._reader.rows(_SQL["candles"], found["instrument_id"], period, limit)
        columns = ("open", "high", "low", "close", "volume", "closed")
        return {
            "period": period,
            "candles": [[_iso(row["at_us"]), *(row[name] for name in columns)] for row in reversed(rows)],
        }

    async def spread(self, parameters: Parameters) -> dict[str, Any]:
        """Bid, ask, spread and the widest spread over the time up to the newest tick, in bins."""
        venue, symbol = parameters.name("venue"), parameters.name("symbol")
        seconds = parameters.whole("seconds", 3600, 60, SPREAD_SPAN_MAX_SECONDS)
        parameters.done()
        found = await self._find(venue, symbol)
        width = max(1, seconds // SPREAD_BINS)
        rows = await self._reader.rows(_SQL["spread"], found["instrument_id"], seconds, width, TICKS_MAX)
        return {
            "bin_seconds": width,
            "complete": sum(row["ticks"] for row in rows) < TICKS_MAX,
            "spread": [[_iso(row["at_us"]), row["bid"], row["ask"], row["spread"], row["widest"]] for row in rows],
        }

    async def book(self, parameters: Parameters) -> dict[str, Any]:
        """The order book after its newest message; not `whole` where only the newest changes are known."""
        venue, symbol = parameters.name("venue"), parameters.name("symbol")
        levels = parameters.whole("levels", 100, 1, LEVELS_MAX)
        parameters.done()
        found = await self._find(venue, symbol)
        rows = await self._reader.rows(_SQL["book"], found["instrument_id"], BOOK_MESSAGES_MAX, levels)
        sides: dict[int | None, list[list[str]]] = {1: [], -1: [], None: []}
        for row in rows:
            sides[row["side"]].append([row["price"], row["size"]])
        facts = rows[0]
        return {
            "time": _iso(facts["at_us"]),
            "whole": facts["whole"],
            "messages": facts["messages"],
            "bids": sides[1],
            "asks": sides[-1],
        }

    async def _find(self, venue: str, symbol: str) -> Any:
        rows = await self._reader.rows(_SQL["instrument"], venue, symbol, list(PERIODS.values()))
        if not rows:
            raise UnknownInstrumentError(f"the tables hold no instrument {symbol!r} of a venue {venue!r}")
        return rows[0]


def _iso(time_us: int | None) -> str | None:
    return None if time_us is None else iso(time_us * 1000)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
