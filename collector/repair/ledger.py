"""Reads and updates the table `gaps` for repairs.

The daemon closes gaps through its journal, so that tables made again from the journal have them closed too.

There is one connection, made when it is needed and cut after any failure: callers try again, so that a database that
was away is no special case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Protocol

from collector.model import GapOutcome, GapState, Instrument
from collector.store.connection import HeldConnection
from collector.store.dsn import DRIVER_ERRORS, refusals
from collector.store.errors import DatabaseError, DatabaseUnreachableError
from collector.store.named import queries
from collector.tables import OF_INSTRUMENTS

# A query that takes longer waits for a lock or a dead server: it is tried again on a new connection.
QUERY_TIMEOUT_SECONDS = 60.0

_SQL = queries("repair")
_COUNTS = {name: _SQL[f"count_{name}"] for name in OF_INSTRUMENTS if f"count_{name}" in _SQL}


class Missing(NamedTuple):
    """A gap that can be repaired. `done_us`: how far an earlier repair has come, the gap's start where none was."""

    gap_id: int
    instrument: Instrument
    stream: str
    from_us: int
    to_us: int
    done_us: int
    tries: int


class Ledger(Protocol):
    """What a repairer needs of the table; every method raises `DatabaseError`."""

    async def missing(self, venue: str, streams: Collection[str], earliest_us: int) -> list[Missing]:
        """Return the open gaps of these streams that ended after `earliest_us`, in the order of repair."""

    async def hopeless(self, venue: str, streams: Collection[str]) -> list[GapOutcome]:
        """Return outcomes for the open gaps of all other streams: they are unrecoverable."""

    async def begin(self, gap: Missing, now_us: int) -> None:
        """Note that a repair begins."""

    async def progress(self, gap: Missing, until_us: int) -> None:
        """Store how far the repair of a gap has come."""

    async def put_off(self, gap: Missing, reason: str) -> None:
        """Note that a try failed."""

    async def outcome(
        self, gap: Missing, now_us: int, *, lost: bool = False, note: str | None = None
    ) -> GapOutcome | None:
        """Return the outcome of a gap, repaired or lost; `note` is added to its reason.

        None where it is closed already.
        """

    async def close(self) -> None: ...


class GapTable:
    """Implements `Ledger`. `dsn` is asked each time a connection is made."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._held = HeldConnection(dsn)
        self._lock = asyncio.Lock()

    async def missing(self, venue: str, streams: Collection[str], earliest_us: int) -> list[Missing]:
        rows = await self._do("fetch", _SQL["missing"], venue, list(streams), earliest_us)
        return [_missing(venue, row) for row in rows]

    async def hopeless(self, venue: str, streams: Collection[str]) -> list[GapOutcome]:
        return [_outcome(venue, row) for row in await self._do("fetch", _SQL["hopeless"], venue, list(streams))]

    async def begin(self, gap: Missing, now_us: int) -> None:
        await self._do("execute", _SQL["begin"], gap.gap_id, now_us, gap.from_us)

    async def progress(self, gap: Missing, until_us: int) -> None:
        await self._do("execute", _SQL["progress"], gap.gap_id, until_us, gap.from_us)

    async def put_off(self, gap: Missing, reason: str) -> None:
        await self._do("execute", _SQL["put_off"], gap.gap_id, reason, gap.from_us)

    async def outcome(
        self, gap: Missing, now_us: int, *, lost: bool = False, note: str | None = None
    ) -> GapOutcome | None:
        state = GapState.UNRECOVERABLE if lost else GapState.REPAIRED
        rows = await self._found(gap)
        found = await self._do("fetch", _SQL["outcome"], gap.gap_id, state, note, now_us, rows, gap.from_us)
        return _outcome(gap.instrument.venue, found[0]) if found else None

    async def settle(self, gap: Missing, now_us: int, *, note: str) -> None:
        """Close a gap as repaired here and now; `note` goes to its reason."""
        found = await self._found(gap)
        await self._do("execute", _SQL["settle"], gap.gap_id, GapState.REPAIRED, note, now_us, found, gap.from_us)

    async def _found(self, gap: Missing) -> int | None:
        count = _COUNTS.get(gap.stream)
        rows: int | None = None if count is None else await self._do("fetchval", count, gap.gap_id)
        return rows

    async def within(self, instrument: Instrument, stream: str, from_us: int, until_us: int) -> list[Missing]:
        """Return the gaps of a span that are not repaired, including unrecoverable ones."""
        rows = await self._do("fetch", _SQL["within"], *instrument, stream, from_us, until_us)
        return [_missing(instrument.venue, row) for row in rows]

    async def fetching(self, instrument: Instrument, stream: str, from_us: int, until_us: int) -> None:
        """Store that a backfill begins a piece, before any of its rows are stored."""
        await self._do("execute", _SQL["begin_backfill"], *instrument, stream, from_us, until_us)

    async def fetched(self, instrument: Instrument, stream: str, detail: str, from_us: int, until_us: int) -> None:
        """Note that a backfill has stored a piece."""
        await self._do("execute", _SQL["note_backfill"], *instrument, stream, detail, from_us, until_us)

    async def backfilled(
        self, venue: str, streams: Collection[str], detail_of: Callable[[str, str], str]
    ) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """Return the spans that backfills have stored, by symbol and stream; `detail_of` tells which parts count."""
        done: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for symbol, stream, detail, from_us, until_us in await self._do(
            "fetch", _SQL["backfilled"], venue, list(streams)
        ):
            if detail == detail_of(stream, symbol):
                done.setdefault((symbol, stream), []).append((from_us, until_us))
        return done

    async def rates(self, venue: str) -> dict[str, float]:
        """Return trades per second of each symbol of a venue, estimated from the newest ones."""
        return {symbol: float(rate) for symbol, rate in await self._do("fetch", _SQL["trade_rates"], venue)}

    async def tally(self) -> list[tuple[str, str, int, int]]:
        """Return how many gaps each venue has by cause: those that are open, and all."""
        return [tuple(row) for row in await self._do("fetch", _SQL["tally"])]

    async def close(self) -> None:
        """Let the connection go."""
        self._held.drop()

    async def _do(self, method: str, statement: str, *parameters: Any) -> Any:
        async with self._lock:
            dsn = self._dsn()
            try:
                with refusals(dsn):
                    connection = await self._held.get()
                    return await getattr(connection, method)(statement, *parameters, timeout=QUERY_TIMEOUT_SECONDS)
            except DRIVER_ERRORS as error:
                await self.close()
                raise DatabaseUnreachableError(f"the gap ledger cannot be read or written: {error}") from error
            except (DatabaseError, asyncio.CancelledError):
                await self.close()
                raise


def _missing(venue: str, row: Any) -> Missing:
    number, symbol, stream, from_us, to_us, done_us, tries = row
    return Missing(number, Instrument(venue, symbol), stream, from_us, to_us, done_us or from_us, tries)


def _outcome(venue: str, row: Any) -> GapOutcome:
    symbol, *rest = row
    return GapOutcome(Instrument(venue, symbol), *rest)
