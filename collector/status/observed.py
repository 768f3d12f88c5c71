"""What a look at a running daemon looks at: the one list of its parts, so that nobody who looks knows the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from collector.audit.auditing import Auditing
from collector.clock import Clock
from collector.config import Config
from collector.journal import Journal
from collector.recording.database import DatabaseState
from collector.recording.intake import JournalledIntake
from collector.recording.recorder import Recorder
from collector.recording.statistics import Statistics
from collector.status.facts import ConfigurationFacts
from collector.store.embedded import Hint
from collector.supervise.parts import Part, Supervised


class ObservedDatabase(Protocol):
    """The database as the status tells of it."""

    state: DatabaseState
    reason: str
    """Why it is away."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    @property
    def embedded(self) -> bool:
        """Whether its server is the daemon's own."""

    def dsn(self) -> str:
        """Where to connect."""

    def hint(self) -> Hint | None:
        """How to connect with psql, where the server is the daemon's own."""


class ObservedConnection(Protocol):
    """The writer's connection to the database; `since` is in seconds since 1970."""

    reason: str
    """Why the database is away; empty where it is not."""
    since: float

    @property
    def connected(self) -> bool:
        """Whether its connection stands."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of a running daemon. The mappings and the events are the daemon's own and change under the eye."""

    clock: Clock
    started_ns: int
    started: asyncio.Event
    stopping: asyncio.Event
    config: Callable[[], Config]
    configuration: Callable[[], ConfigurationFacts]
    """How the configuration was loaded, and what a reload could not change."""
    statistics: Statistics
    workers: Mapping[str, Supervised]
    parts: Mapping[str, Part]
    """What runs beside recording."""
    journal: Journal
    intake: JournalledIntake
    recorder: Recorder
    database: ObservedDatabase
    writer_connection: ObservedConnection
    auditing: Auditing
