"""The numbers that the database gave to venues and instruments, kept at hand for the writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.model import Instrument, Records
from collector.store.named import queries
from collector.tables import OF_INSTRUMENTS, OF_VENUES

if TYPE_CHECKING:
    from asyncpg import Connection

# Characters; far longer ones do not fit into an index.
LONGEST_SYMBOL = 255

_SQL = queries("write")
BY_INSTRUMENT = (*OF_INSTRUMENTS, "gaps", "outcomes", "instruments", "wanted")
_BY_VENUE = (*OF_VENUES, "sessions", "quarantine")


class Registry:
    """Venue and instrument to number. New ones are registered before a batch's transaction, outside of it, so that a
    rolled back batch leaves nothing here that is not in the database."""

    def __init__(self) -> None:
        self.venues: dict[str, int] = {}
        self.instruments: dict[Instrument, int] = {}

    def clear(self) -> None:
        """Forget everything: the database may be another one now."""
        self.venues.clear()
        self.instruments.clear()

    async def prepare(self, connection: Connection, records: Records) -> set[Instrument]:
        """Make sure that everything in `records` has a number; return the instruments that can have none."""
        wanted = {row.instrument for name in BY_INSTRUMENT for row in getattr(records, name)}
        missing = wanted.difference(self.instruments)
        unnamable = {instrument for instrument in missing if not _is_name(instrument.symbol)}
        venues = {instrument.venue for instrument in missing}
        venues.update(row.venue for name in _BY_VENUE for row in getattr(records, name))
        for venue in venues.difference(self.venues):
            number = await connection.fetchval(_SQL["venue_id"], venue)
            if number is None:  # somebody else made it in the same moment; now it is there
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
    return "\0" not in symbol and len(symbol) <= LONGEST_SYMBOL
