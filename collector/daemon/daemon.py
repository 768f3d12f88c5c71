"""The daemon: every part made, connected, run and ended in the right order.

Start: journal first, feeds at once, database whenever it answers. What is received meanwhile is in the journal.
End: feeds stop reading, the last batches are committed, the journal is synced. The end has a time limit; what could
not be committed in it is in the journal and is committed after the next start.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random

import structlog

from collector import venues
from collector.audit.auditing import Auditing
from collector.check.access import readable_secrets
from collector.check.obstacles import unusable
from collector.clock import Clock, SystemClock
from collector.config import Config
from collector.daemon import presence
from collector.daemon.clock_watch import watch_clock
from collector.daemon.reload import Reloading
from collector.daemon.systemd import Notifier
from collector.daemon.upkeep import Upkeep
from collector.daemon.venues import Changes, Venues
from collector.daemon.watchdog import feed_watchdog
from collector.data_dir import make_folder
from collector.journal import Journal, JournalOptions, Kind
from collector.journal.identity import JournalIdentity
from collector.normalise.entries import Started, encode_note
from collector.normalise.normaliser import Normaliser
from collector.recording.changes import TableChanges
from collector.recording.database import Database
from collector.recording.intake import JournalledIntake
from collector.recording.recorder import Recorder
from collector.recording.statistics import Statistics
from collector.repair.ledger import GapTable
from collector.status.observed import Observed
from collector.store.writer import Writer
from collector.supervise.parts import Parts, Supervised
from collector.web.connections import raise_limit
from collector.web.server import serve

log = structlog.get_logger()

# Records are many, short-lived and free of reference cycles. With Python's own thresholds, searching for cycles took a
# seventh of the time of a row.
GC_THRESHOLDS = (20_000, 50, 50)

# For the last commits. With the rest of the shutdown it stays below the ten seconds that we promise.
DRAIN_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Requests:
    """What people and supervisors ask of a daemon, also before it is open."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)


class Daemon:
    """All parts of a collector, from `opened` on; `started` is set once the feeds run."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        identity: JournalIdentity,
        database: Database,
        *,
        clock: Clock,
        random: Random,
        reread: Callable[[], Config] | None,
        requests: Requests,
    ) -> None:
        self.clock = clock
        self.random = random
        self.started = asyncio.Event()
        self.requests = requests
        self.stopping = requests.stop
        self._prepared = asyncio.Event()
        self.statistics = Statistics()
        self.changes = TableChanges()
        self.parts = Parts(clock, random)
        """What runs beside recording: the page, the watchdog, the upkeep, .. None of it can end the daemon."""
        self.note = presence.Note(config.data_dir)
        self.http_address: str | None = None
        """Where the status page is (`http://host:port`), while it is served."""
        self.journal = journal
        self.database = database
        self.writer = Writer(database.dsn, identity, sleep=clock.sleep)
        self.upkeep = Upkeep(database.dsn, config, clock)
        self.intake = JournalledIntake(
            journal,
            new_normaliser(),
            clock,
            batch_rows=config.writer.batch_rows,
            queue_bytes=config.writer.queue_mb << 20,
        )
        self.recorder = Recorder(
            journal,
            self.intake,
            self.writer,
            new_normaliser,
            self.statistics,
            self.changes,
            clock,
            batch_rows=config.writer.batch_rows,
            flush_seconds=config.writer.flush_ms / 1000,
            rename=identity.rename,
        )
        self.venues = Venues(
            config.venues,
            config.repair,
            intake=self.intake,
            parts=self.parts,
            changes=self.changes,
            ledger=GapTable(database.dsn),
            committed=self.all_committed,
            clock=clock,
            random=random,
        )
        self.auditing = Auditing(
            config,
            self.venues.begun,
            self.venues.repairers,
            dsn=database.dsn,
            rest=self.venues.rest_of,
            intake=self.intake,
            committed=self.all_committed,
            clock=clock,
            random=random,
        )
        self.reloading = Reloading(config, requests.reload, reread=reread, apply=self._apply, clock=clock)
        self.observed = Observed(
            clock=clock,
            started_ns=clock.now_ns(),
            started=self.started,
            stopping=self.stopping,
            config=lambda: self.config,
            configuration=self.reloading.facts,
            statistics=self.statistics,
            workers=self.workers,
            parts=self.parts,
            journal=journal,
            intake=self.intake,
            recorder=self.recorder,
            database=database,
            writer_connection=self.writer.database,
            auditing=self.auditing,
        )

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        config: Config,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        reread: Callable[[], Config] | None = None,
        requests: Requests | None = None,
    ) -> AsyncIterator[Daemon]:
        """Open the journal and make all parts; nothing runs before `run`.

        `reread` gives the configuration as it is now. Raises what makes recording impossible: a folder or a file that
        cannot be used, a journal that is in use.
        """
        clock = clock or SystemClock()
        make_folder(config.data_dir, server=config.database.dsn is None)
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(_open_journal(config, clock))
            database = await stack.enter_async_context(Database.of(config, clock))
            with _usable(config):
                identity = JournalIdentity(journal.directory)
            daemon = cls(
                config,
                journal,
                identity,
                database,
                clock=clock,
                random=random or Random(),  # noqa: S311  for jitter only
                reread=reread,
                requests=requests or Requests(),
            )
            stack.push_async_callback(daemon.writer.close)
            stack.callback(daemon.note.remove)
            changes, auditing = daemon.changes, daemon.auditing
            stack.enter_context(changes.gaps.listening(auditing.gaps_changed))
            stack.enter_context(changes.settled.listening(auditing.gaps_changed))
            stack.enter_context(changes.went_back.listening(auditing.database_went_back))
            yield daemon

    @property
    def config(self) -> Config:
        """What is configured now: the venues change with a reload, the rest with a start."""
        return self.reloading.config

    @property
    def workers(self) -> Mapping[str, Supervised]:
        """The venues' workers by the venues' names."""
        return self.venues.workers

    def stop(self) -> None:
        """Ask for an orderly end; `run` returns soon after."""
        self.stopping.set()

    async def run(self) -> None:
        """Record until `stop` is called. Raises what makes recording impossible."""
        async with asyncio.TaskGroup() as core:
            # Only the first three may end the daemon by what they raise.
            background = [core.create_task(self.journal.run(), name="journal")]
            recorder = core.create_task(self._record(), name="recorder")
            feeds = core.create_task(self.venues.run(), name="feeds")
            auditing = core.create_task(self.parts.add("audit", self._audit).run(), name="audit")
            self.started.set()
            with Notifier.from_environment() as notifier:
                notifier.ready()
                beside: dict[str, Callable[[], Awaitable[object]]] = {
                    "database server": self.database.watch,
                    "clock": lambda: watch_clock(self.clock, self.intake.clock_was_set),
                    "page": self._serve,
                    "upkeep": lambda: self.upkeep.run(self.database.ready.wait),
                    "watchdog": lambda: feed_watchdog(self.observed, notifier),
                    "reload": self.reloading.run,
                }
                for name, work in beside.items():
                    background.append(core.create_task(self.parts.add(name, work).run(), name=name))
                await self.stopping.wait()
                notifier.stopping()
            log.info("stopping")
            feeds.cancel()
            auditing.cancel()
            await asyncio.wait([feeds, auditing])
            self.recorder.drain()
            _, late = await asyncio.wait([recorder], timeout=DRAIN_TIMEOUT_SECONDS)
            if late:
                log.warning(
                    "stopped_before_all_was_committed",
                    backlog_bytes=self.recorder.backlog_bytes,
                    remedy="nothing is lost: it is in the journal, and is committed after the next start",
                )
                recorder.cancel()
            for task in background:
                task.cancel()
        log.info("stopped", backlog_bytes=self.recorder.backlog_bytes)

    async def _serve(self) -> None:
        page = self.parts["page"]

        def listening(address: str | None) -> None:
            self.http_address = address
            if address is not None:
                page.well()
                self.note.leave(address)

        page.when_troubled = lambda: self.note.leave(None, page.trouble)
        http = self.config.http
        await serve(self.observed, self.changes, http.host, http.port, listening=listening)

    async def _record(self) -> None:
        await self.database.prepared()
        self._prepared.set()
        await self.recorder.run()

    async def _audit(self) -> None:
        await self._prepared.wait()
        await self.auditing.run()

    async def _apply(self, config: Config) -> Changes:
        changes = await self.venues.apply(config.venues)
        self.auditing.reconfigure(config)
        return changes

    async def all_committed(self) -> None:
        """Return once everything that was received by now is in the tables."""
        await self.recorder.reached(self.journal.end)


def new_normaliser() -> Normaliser:
    """Return parsers that have seen nothing yet, of whatever venue."""
    return Normaliser(venues.find)


@asynccontextmanager
async def _open_journal(config: Config, clock: Clock) -> AsyncIterator[Journal]:
    settings = config.journal
    options = JournalOptions(
        segment_bytes=settings.segment_mb << 20,
        segment_seconds=settings.segment_minutes * 60,
        write_interval_s=settings.write_ms / 1000,
        sync_interval_s=settings.sync_ms / 1000,
        buffer_bytes=settings.buffer_mb << 20,
        keep_days=settings.keep_days,
        keep_bytes=None if settings.keep_gb is None else int(settings.keep_gb * (1 << 30)),
        keep_least_bytes=int(settings.keep_least_gb * (1 << 30)),
        max_bytes=None if settings.max_gb is None else int(settings.max_gb * (1 << 30)),
        min_free_bytes=int(settings.min_free_gb * (1 << 30)),
        compress=settings.compress,
        level=settings.level,
    )
    with _usable(config):
        journal = await Journal.open(config.data_dir / "journal", options, now_ns=clock.now_ns)
    try:
        # Under the last session's number, so that the next start knows it though nothing else be recorded.
        names = [name for name, venue in config.venues.items() if venue.enabled]
        journal.append(journal.last_session, Kind.NOTE, clock.now_ns(), encode_note(Started(names)))
        yield journal
    finally:
        await journal.close()


@contextmanager
def _usable(config: Config) -> Iterator[None]:
    """Name the file or folder that keeps the journal from being used."""
    try:
        yield
    except OSError as error:
        raise unusable(error, config.data_dir, embedded=config.database.dsn is None) from error


async def run(
    config: Config, *, ready: Callable[[Daemon], object] | None = None, reread: Callable[[], Config] | None = None
) -> None:
    """Run a daemon until SIGTERM or SIGINT. `ready` is called with it before it runs, `reread` at SIGHUP."""
    os.umask(0o077)  # what it writes is nobody else's
    if exposed := dict(readable_secrets(config)):
        log.warning(
            "secrets_readable",
            files=[str(path) for path in exposed],
            remedy="every user of this machine can read them; chmod 600, or 640 with a group",
        )
    raise_limit()
    gc.freeze()  # what is loaded by now stays: no search for garbage needs to go through it again
    gc.set_threshold(*GC_THRESHOLDS)
    loop, requests = asyncio.get_running_loop(), Requests()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requests.stop.set)
    if reread is not None:
        loop.add_signal_handler(signal.SIGHUP, requests.reload.set)
    try:
        async with Daemon.opened(config, reread=reread, requests=requests) as daemon:
            if ready is not None:
                ready(daemon)
            await daemon.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
