"""What a check says: a thing looked at, how it stands, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """`failure`: nothing, or not all that is configured, would be recorded. `warning`: it would, for now."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(NamedTuple):
    """One thing looked at: what it is, how it stands, and what to do about it."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""
