"""The errors that cross folders.

CollectorError
  ConfigError          wrong settings, all of them at once; exit status 2, or 1 where waiting may cure them
  VenueError           a venue refused or failed; knows whether trying again can help
  JournalError         see collector.journal
  DatabaseError        see collector.store
"""

from __future__ import annotations

__all__ = ["CollectorError", "ConfigError", "Fault", "VenueError"]

from typing import NamedTuple


class CollectorError(Exception):
    """Something that a person has to know about; the text is made for that person."""


class Fault(NamedTuple):
    """One wrong setting: its dotted key, what is wrong (naming the value unless it is secret), what would be right.

    `may_pass`: it may be right a moment later without anybody changing the configuration, such as a secret's file that
    is not there yet.
    """

    key: str
    problem: str
    remedy: str = ""
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" + (f" ({self.remedy})" if self.remedy else "")


class ConfigError(CollectorError):
    """The configuration is wrong; `faults` holds every fault found, `may_pass` whether waiting may cure them all."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        self.may_pass = all(fault.may_pass for fault in faults)
        super().__init__("\n".join(map(str, faults)))


class VenueError(CollectorError):
    """A venue refused a request, or gave an answer that means failure.

    `permanent` says that the same request will fail again (no such symbol), so nobody retries it; otherwise callers
    back off, at least for `retry_after` seconds where the venue named a time. `setting` is the key of the venue's
    section that has to be put right, where the venue refused the credentials.
    """

    def __init__(
        self,
        venue: str,
        reason: str,
        *,
        symbol: str | None = None,
        code: str | None = None,
        permanent: bool = False,
        retry_after: float | None = None,
        setting: str | None = None,
    ) -> None:
        self.venue = venue
        self.reason = reason
        self.symbol = symbol
        self.code = code
        self.permanent = permanent
        self.retry_after = retry_after
        self.setting = setting
        super().__init__(f"{venue}{f' {symbol}' if symbol else ''}: {reason}{f' (code {code})' if code else ''}")
