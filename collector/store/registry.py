"""A cache of the numbers that the database gave to venues and instruments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.model import Instrument, Records
from collector.store.named import queries
from collector.tables import OF_INSTRUMENTS, OF_VENUES

if TYPE_CHECKING:
    from asyncpg import Connection

# The database's index on symbols has no room for much longer ones.
SYMBOL_MAX_CHARACTERS = 255

_SQL = queries("write")
BY_INSTRUMENT = (*OF_INSTRUMENTS, "gaps", "outcomes", "instruments", "wanted")
_BY_VENUE = (*OF_VENUES, "sessions", "quarantine")


class Registry:
    """Numbers by venue and by instrument.

    New ones are registered before a batch's transaction and outside of it, so that after a rollback the cache holds
    nothing that the database lacks.
    """

    def __init__(self) -> None:
        self.venues: dict[str, int] = {}
        self.instruments: dict[Instrument, int] = {}

    def clear(self) -> None:
        """Forget all numbers: a new connection may lead to another database."""
        self.venues.clear()
        self.instruments.clear()

    async def prepare(self, connection: Connection, records: Records) -> set[Instrument]:
        """Register all venues and instruments in `records`; return the instruments whose names cannot be stored."""
        wanted = {row.instrument for name in BY_INSTRUMENT for row in getattr(records, name)}
        missing = wanted.difference(self.instruments)
        unnamable = {instrument for instrument in missing if not _is_name(instrument.symbol)}
        venues = {instrument.venue for instrument in missing}
        venues.update(row.venue for name in _BY_VENUE for row in getattr(records, name))
        for venue in venues.difference(self.venues):
            number = await connection.fetchval(_SQL["venue_id"], venue)
            if number is None:  # another process added it at the same moment
                number = await connection.fetchval(_SQL["venue_id"], venue)
            self.venues[venue] = number
        missing -= unnamable
        if not missing:
            return unnamable
        ordered = sorted(missing)
        await connection.execute(
            _SQL["add_instruments"], [self.venues[one.venue] for one in ordered], [one.symbol for one in ordered]
        )
        for number, venue, symbol in await connection.fetch(_SQL["instrument_ids"]):
            self.instruments[Instrument(venue, symbol)] = number
        return unnamable


def _is_name(symbol: str) -> bool:
    try:
        symbol.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in symbol and len(symbol) <= SYMBOL_MAX_CHARACTERS
