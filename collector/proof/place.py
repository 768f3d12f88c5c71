"""A record's place, told so that a person finds it: journal, segment, offset, and the session that it came by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from collector.journal import Record
from collector.store.named import queries

if TYPE_CHECKING:
    from asyncpg import Connection

_SQL = queries("explain")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(time: datetime) -> int:
    """Return a time as microseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)


class SessionFacts(NamedTuple):
    """A connection; `closed_at` None while it lasts, `frames` those received until it was closed."""

    session_id: int
    venue: str
    worker: str
    url: str | None
    opened_at: datetime
    closed_at: datetime | None
    reason: str | None
    frames: int


class Where(NamedTuple):
    """A record in a journal. `kind`: frame, rest or beat; `received_ns`: nanoseconds since 1970, by our clock."""

    journal: str
    segment: int
    offset: int
    kind: str
    received_ns: int
    session: SessionFacts | None

    def as_json(self) -> dict[str, Any]:
        """Return it with the session as an object."""
        return {**self._asdict(), "session": self.session and self.session._asdict()}


async def where(connection: Connection, journal: Path, record: Record) -> Where:
    """Tell a record's place; its session as the tables know it."""
    row = await connection.fetchrow(_SQL["session"], record.session)
    return Where(
        str(journal),
        record.position.segment,
        record.position.offset,
        record.kind.name.lower(),
        record.received_ns,
        None if row is None else SessionFacts(*row),
    )
