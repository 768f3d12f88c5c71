"""The errors of the database, with texts that tell an operator what to do.

DatabaseError
  DatabaseUnreachableError   no answer, or the server is still starting; trying again may help
  DatabaseRefusedError       the server refuses: wrong password, missing database, missing rights
  DatabaseBusyError          a query for the status page took too long, or too many wait
  DatabaseNewerError         the tables were made by a newer program
  DatabaseWentBackError      confirmed commits are gone: a backup was restored, or a replica that was behind took over
  JournalNameTakenError      another collector uses our journal's name
    JournalNameInUseError    the same at our start, and it is running: one of the two needs another data folder
    JournalNameGoneError     another collector has used our journal's name meanwhile, and is not running any more
  MigrationError             a step of `collector migrate` failed and was rolled back
  ServerError                the embedded server
    ServerMissingError       there is no PostgreSQL to start
    InstallError             no PostgreSQL could be installed
    ServerBusyError          another collector uses the same folder
    ServerStartError         the server did not start, or its folder cannot be used

No message ever holds a password: addresses are shown by `collector.store.dsn.address`.
"""

from __future__ import annotations

__all__ = [
    "DatabaseBusyError",
    "DatabaseError",
    "DatabaseNewerError",
    "DatabaseRefusedError",
    "DatabaseUnreachableError",
    "DatabaseWentBackError",
    "InstallError",
    "JournalNameGoneError",
    "JournalNameInUseError",
    "JournalNameTakenError",
    "MigrationError",
    "ServerBusyError",
    "ServerError",
    "ServerMissingError",
    "ServerStartError",
]

from collector.errors import CollectorError
from collector.model import Position


class DatabaseError(CollectorError):
    """The database cannot be used, or not as it is."""


class DatabaseUnreachableError(DatabaseError):
    """No server answers at the database's address, or it is still starting; the same call may succeed later."""


class DatabaseRefusedError(DatabaseError):
    """The server answers and refuses: a person has to correct a password, a name or a right."""


class DatabaseBusyError(DatabaseError):
    """The database has no time for this query."""


class DatabaseNewerError(DatabaseError):
    """The tables were made by a newer program than this one."""


class DatabaseWentBackError(DatabaseError):
    """The position in the database is not where this run left it: confirmed batches may have to be written again.

    `position` is the position that was found; None: the journal is unknown. It may also be later than the one that was
    left, where a wrong backup was restored first.
    """

    def __init__(self, position: Position | None, left: Position | None) -> None:
        self.position = position
        super().__init__(f"it is at {_place(position)} and was left at {_place(left)}")


def _place(position: Position | None) -> str:
    return "the beginning" if position is None else str(tuple(position))


class JournalNameTakenError(DatabaseError):
    """Another collector writes under our journal's name; `place` is its host and folder."""

    def __init__(self, journal: str, place: str) -> None:
        self.journal = journal
        self.place = place
        super().__init__(self._text())

    def _text(self) -> str:
        return (
            f"another collector, at {self.place}, writes under the name of this journal ({self.journal}): one of the "
            "two data folders is a copy of the other. End one of them, or delete the file journal/name in the copy, "
            "which then gets a name of its own"
        )


class JournalNameInUseError(JournalNameTakenError):
    """Another collector that writes under our journal's name is running while this one starts."""


class JournalNameGoneError(JournalNameTakenError):
    """Another collector has written under our journal's name meanwhile, and is not running any more."""

    def _text(self) -> str:
        return f"another collector, at {self.place}, has written under the name of this journal ({self.journal}) since"


class MigrationError(DatabaseError):
    """A migration failed and was rolled back whole."""


class ServerError(DatabaseError):
    """The embedded server cannot do what was asked."""


class ServerMissingError(ServerError):
    """There is no PostgreSQL that could be started for this folder."""


class InstallError(ServerError):
    """No PostgreSQL could be installed."""


class ServerBusyError(ServerError):
    """Another collector, or a server that it left behind, uses the folder."""


class ServerStartError(ServerError):
    """The server did not start, or does not answer."""
