"""What can go wrong with the database, said so that an operator knows what to do.

DatabaseError
  DatabaseUnreachableError   nobody answers, or not yet; trying again may help
  DatabaseRefusedError       it answers and says no: password, missing database, missing rights
  DatabaseBusyError          it has no time for a question that only people ask
  DatabaseNewerError         its tables were made by a newer program
  DatabaseWentBackError      it has lost what it had acknowledged: a backup, or a replica that was behind
  JournalNameTakenError      another collector writes under our journal's name
    JournalNameInUseError    and it was seen to live while we start: this one has to be given another data folder
  JournalNameGoneError       another collector has written under it since, and is gone
  MigrationError             a step of `collector migrate` failed; nothing of it remains
  ServerError                the embedded server
    ServerMissingError       no PostgreSQL to start
    InstallError             none could be fetched
    ServerBusyError          another collector runs on the same folder
    ServerStartError         it did not start, or its folder cannot be used

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
    """The database is not as we need it."""


class DatabaseUnreachableError(DatabaseError):
    """Nobody answers at the database's address, or it is still starting; the same call may succeed later."""


class DatabaseRefusedError(DatabaseError):
    """The database answers and refuses: a person has to change a password, a name or a right."""


class DatabaseBusyError(DatabaseError):
    """The database is there and has no time for this question."""


class DatabaseNewerError(DatabaseError):
    """The tables were made by a newer program than this one."""


class DatabaseWentBackError(DatabaseError):
    """The database is not where it was left: what it has acknowledged may have to be written again.

    `position` is where the journal is in the tables, segment and offset; None: nothing of it is. That may also be
    later than it was left: where the wrong backup was restored first.
    """

    def __init__(self, position: Position | None, left: Position | None) -> None:
        self.position = position
        super().__init__(f"it stands at {_place(position)} and was left at {_place(left)}")


def _place(position: Position | None) -> str:
    return "the beginning" if position is None else str(tuple(position))


class JournalNameTakenError(DatabaseError):
    """Another collector moves the position of the journal that has our journal's name.

    `place` tells host and folder of that collector.
    """

    def __init__(self, journal: str, place: str) -> None:
        self.journal = journal
        self.place = place
        super().__init__(self._told())

    def _told(self) -> str:
        return (
            f"another collector, at {self.place}, writes under the name of this journal ({self.journal}): one of the "
            "two data folders is a copy of the other. End one of them, or delete the file journal/name in the copy, "
            "which then gets a name of its own"
        )


class JournalNameInUseError(JournalNameTakenError):
    """The same, and the other collector was seen at work while this one started."""


class JournalNameGoneError(JournalNameTakenError):
    """Another collector has moved the position of the journal that has our journal's name, and is gone."""

    def _told(self) -> str:
        return f"another collector, at {self.place}, has written under the name of this journal ({self.journal}) since"


class MigrationError(DatabaseError):
    """A migration failed and was rolled back whole."""


class ServerError(DatabaseError):
    """The embedded server cannot do what was asked."""


class ServerMissingError(ServerError):
    """There is no PostgreSQL that could be started for this folder."""


class InstallError(ServerError):
    """No PostgreSQL could be put into place."""


class ServerBusyError(ServerError):
    """Another collector, or a server that it left behind, holds the folder."""


class ServerStartError(ServerError):
    """The server did not start, or does not answer."""
