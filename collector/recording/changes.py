"""What others hear of the tables while the daemon records."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.listeners import Listeners


@dataclass(frozen=True, slots=True)
class TableChanges:
    """Signals about changes of the tables, for the parts that read them.

    `gaps`: a commit has opened or closed gaps. `settled`: a repair has closed gaps, as repaired or as unrecoverable.
    `went_back`: the database is at an earlier state than before, so that everything read from it has to be read again.
    """

    gaps: Listeners = field(default_factory=Listeners)
    settled: Listeners = field(default_factory=Listeners)
    went_back: Listeners = field(default_factory=Listeners)
