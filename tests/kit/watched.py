"""A daemon for those who only watch one: real parts that nobody runs, and a database that is a few attributes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from collector.audit.auditing import Auditing
from collector.config import Config, VenueConfig
from collector.daemon.reload import Reloading
from collector.daemon.venues import Changes
from collector.feed.connection import ConnectionFeed, ConnectionState
from collector.feed.rest import RestClient
from collector.feed.worker import VenueWorker, WorkerState
from collector.journal import Journal, JournalOptions
from collector.model import Instrument, Position, Records, Trade
from collector.normalise.normaliser import Normaliser
from collector.recording.changes import TableChanges
from collector.recording.database import DatabaseState
from collector.recording.intake import JournalledIntake
from collector.recording.recorder import Recorder
from collector.recording.statistics import Statistics
from collector.status.observed import Observed
from collector.store.batch import Batch, Committed, TableCount
from collector.store.embedded import Hint
from collector.supervise.parts import Part, Supervised
from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.plan import ConnectionPlan, Subscription
from collector.web.server import serve
from tests.feed.fakes import LIMITS, FakeAdapter, FakeClock, FakeIntake, FakeNetwork, FakeSession, FakeVenue
from tests.kit.headers import session_header

NOW = 1_700_000_000.0
HINT = Hint("127.0.0.1", 15432, "market", "analyst", Path("/data/postgres/analyst.pgpass"), "psql")


class WallClock(FakeClock):
    """Real sleeping, and a time that stands until a test moves it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RunningClock(WallClock):
    """The machine's own time."""

    now_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)


class FakeDatabase:
    def __init__(self) -> None:
        self.place = "embedded"
        self.state = DatabaseState.READY
        self.reason = ""
        self.embedded = True

    def dsn(self) -> str:
        return "postgresql://nobody@127.0.0.1:1/none"

    def hint(self) -> Hint | None:
        return HINT if self.embedded else None


@dataclass
class FakeConnection:
    connected: bool = True
    reason: str = ""
    since: float = NOW - 60

    def note_away(self, reason: str) -> None:
        self.connected, self.reason = False, reason


@dataclass
class WatchedDaemon:
    """A daemon's parts as `snapshot` and `serve` look at them."""

    journal: Journal
    clock: WallClock = field(default_factory=WallClock)
    statistics: Statistics = field(default_factory=Statistics)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    workers: dict[str, Supervised] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    database: FakeDatabase = field(default_factory=FakeDatabase)
    writer_connection: FakeConnection = field(default_factory=FakeConnection)

    def __post_init__(self) -> None:
        self.started_ns = self.clock.now_ns() - 3_600_000_000_000
        self.started.set()
        self.listening = asyncio.Event()
        self.config = Config()
        self.config._origin = "a test"
        self.host, self.port = "127.0.0.1", 0
        self.changes = TableChanges()
        self.reloading = Reloading(self.config, asyncio.Event(), reread=None, apply=_no_change, clock=self.clock)
        self.adapter = FakeAdapter()
        self.normaliser = Normaliser(lambda _: self.adapter)
        self.intake = JournalledIntake(self.journal, self.normaliser, self.clock, batch_rows=1000, queue_bytes=1 << 20)
        self.recorder = Recorder(
            self.journal,
            self.intake,
            cast(Any, self.writer_connection),
            lambda: self.normaliser,
            self.statistics,
            self.changes,
            self.clock,
            batch_rows=1000,
            flush_seconds=0.1,
            rename=lambda: None,
        )
        self.recorder.committed = self.journal.end
        self.repairers: dict[str, Any] = {}
        self.auditing = Auditing(
            Config(),
            {},
            self.repairers,
            dsn=lambda: "",
            rest=lambda _: None,
            intake=self.intake,
            committed=_at_once,
            clock=self.clock,
            random=Random(1),
        )
        self.http_address: str | None = None

    @property
    def observed(self) -> Observed:
        """The parts as they are now."""
        return Observed(
            clock=self.clock,
            started_ns=self.started_ns,
            started=self.started,
            stopping=self.stopping,
            config=lambda: self.config,
            configuration=lambda: self.reloading.facts(),
            statistics=self.statistics,
            workers=self.workers,
            parts=self.parts,
            journal=self.journal,
            intake=self.intake,
            recorder=self.recorder,
            database=self.database,
            writer_connection=self.writer_connection,
            auditing=self.auditing,
        )

    @property
    def first_connection(self) -> ConnectionFeed:
        """The connection that was added first to the venue `fake`."""
        feed = self.workers["fake"].worker.connections["fake-1"]
        assert isinstance(feed, ConnectionFeed)
        return feed

    def listens(self, address: str | None) -> None:
        """Take note of where the page is."""
        self.http_address = address
        if address:
            self.listening.set()

    def add_venue(self, name: str = "fake", *, enabled: bool = True) -> VenueWorker:
        """Configure a venue; an enabled one gets a worker that has found its instruments."""
        self.config.venues[name] = cast(VenueConfig, SimpleNamespace(adapter="fake", enabled=enabled))
        worker = VenueWorker(
            FakeVenue(name=name), network=FakeNetwork(), intake=FakeIntake(), clock=self.clock, random=Random(1)
        )
        worker.state = WorkerState.RUNNING
        if enabled:
            self.workers[name] = Supervised(worker, self.clock, Random(1))
        return worker

    def rest(self) -> RestClient:
        """A venue's REST client that has made no call."""
        return RestClient(FakeVenue(), LIMITS, FakeNetwork(), self.clock, FakeSession(session_header({})))

    def add_connection(
        self,
        worker: VenueWorker,
        *symbols: str,
        state: ConnectionState = ConnectionState.LIVE,
        age: float = 60.0,
        stream: str = "trades",
    ) -> ConnectionFeed:
        """Give a worker a connection that has been in `state` for `age` seconds, its subscriptions flowing if live."""
        name = f"{worker.venue.name}-{len(worker.connections) + 1}"
        plan = ConnectionPlan(
            name,
            "ws://fake",
            (Subscription("deals", stream, symbols),),
            session_header({"venue": worker.venue.name, "worker": name}),
        )
        feed = ConnectionFeed(
            plan,
            worker.venue,
            LIMITS,
            network=FakeNetwork(),
            intake=FakeIntake(),
            sending=cast(Any, None),
            clock=self.clock,
            random=Random(1),
            failures=worker.failures,
        )
        feed.state, feed.since_ns = state, self.clock.now_ns() - int(age * 1e9)
        if state is ConnectionState.LIVE:
            since = self.clock.monotonic() - age
            flowing = [
                SubscriptionStatus("deals", stream, symbol, SubscriptionState.FLOWING, since) for symbol in symbols
            ]
            feed.living = cast(Any, SimpleNamespace(statuses=lambda: flowing))
            session = self.normaliser.open(len(self.normaliser.sessions) + 1, plan.header.to_json(), 0, Records())
            session.parser.last_seen["deals"] = dict.fromkeys(symbols, self.clock.now_ns() - 2_000_000_000)
        worker.connections[name] = feed
        return feed

    def commit(self, count: TableCount, *, table: str = "trades", lag: float = 0.1) -> None:
        """Let the statistics see a batch whose items ended as `count` says."""
        records = Records()
        now_us = self.clock.now_ns() // 1000
        records.trades.append(Trade(Instrument("fake", "A"), now_us, 1, None, "1", "1", 1, now_us))
        records.items = count.items
        batch = Batch(records, Position(1, 0), self.clock.now_ns() - int(lag * 1e9))
        self.statistics.committed(batch, Committed({table: count}), self.clock.now_ns())


async def _no_change(_: Config) -> Changes:
    return Changes()


async def _at_once() -> None:
    """Everything is committed."""


@asynccontextmanager
async def watched(folder: Path, clock: WallClock | None = None) -> AsyncIterator[WatchedDaemon]:
    """A daemon with an open journal and no venue yet; its time stands unless a clock is given."""
    clock = clock or WallClock()
    journal = await Journal.open(folder / "journal", JournalOptions(), now_ns=clock.now_ns)
    try:
        yield WatchedDaemon(journal, clock)
    finally:
        await journal.close()


@asynccontextmanager
async def serving(daemon: WatchedDaemon) -> AsyncIterator[str]:
    """Serve a daemon's page and answers; the value is their address."""
    task = asyncio.ensure_future(
        serve(daemon.observed, daemon.changes, daemon.host, daemon.port, listening=daemon.listens)
    )
    arrived = asyncio.ensure_future(daemon.listening.wait())
    try:
        async with asyncio.timeout(30):
            await asyncio.wait([task, arrived], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        assert daemon.http_address
        yield daemon.http_address
    finally:
        arrived.cancel()
        task.cancel()
        await asyncio.wait([task])
