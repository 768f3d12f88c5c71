"""What can go wrong when data is taken out, said so that an analyst knows what to do.

DataError
  ExtraMissingError    an optional package is not installed
  ClosedError          the market was closed before it was asked
  QueryError           the database refused a question
  ExportError          an export could not be made; nothing of it remains
    UnknownError       no table, venue or symbol is called so
    SealRefusedError   the day is not ready to be sealed
"""

from __future__ import annotations

__all__ = [
    "ClosedError",
    "DataError",
    "ExportError",
    "ExtraMissingError",
    "QueryError",
    "SealRefusedError",
    "UnknownError",
]

from collector.errors import CollectorError


class DataError(CollectorError):
    """Data could not be given out."""


class ExtraMissingError(DataError):
    """An optional package is needed and not installed. `package` is its name, `extra` the set that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{package} is not installed; `make setup-analysts` in a checkout or "
            f"`pip install 'collector[{extra}]'` brings it"
        )


class ClosedError(DataError):
    """The market was closed."""


class QueryError(DataError):
    """The database refused a question."""


class ExportError(DataError):
    """An export could not be made; nothing of it remains."""


class UnknownError(ExportError):
    """What was asked for does not exist. `what` says which kind of thing it is: table, venue, symbol."""

    def __init__(self, what: str, text: str) -> None:
        self.what = what
        super().__init__(text)


class SealRefusedError(ExportError):
    """A day is not ready to be sealed; `objections` says why."""

    def __init__(self, day: str, objections: list[str]) -> None:
        self.objections = objections
        super().__init__(
            f"{day} is not sealed: {'; '.join(objections)}. --anyway seals it as it is and notes this in the manifest"
        )
