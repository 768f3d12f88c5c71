"""What others hear of the tables while the daemon records."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.listeners import Listeners


@dataclass(frozen=True, slots=True)
class TableChanges:
    """What others must hear of.

    `gaps`: a commit has opened or closed some. `settled`: a repair has closed some, as repaired or not. `went_back`:
    the database stands earlier than it did, and what was read from it before is not true any more.
    """

    gaps: Listeners = field(default_factory=Listeners)
    settled: Listeners = field(default_factory=Listeners)
    went_back: Listeners = field(default_factory=Listeners)
