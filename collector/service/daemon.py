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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from random import Random

import structlog

from collector import venues
from collector.check.access import readable_secrets
from collector.check.obstacles import unusable
from collector.clock import Clock, SystemClock
from collector.config import Config
from collector.data_dir import make_folder
from collector.feed.rest import RestClient
from collector.journal import Journal, JournalOptions, Kind
from collector.journal.identity import JournalIdentity
from collector.normalise.entries import Started, encode_note
from collector.normalise.normaliser import Normaliser
from collector.repair.repairer import Repairer
from collector.service import presence
from collector.service.auditing import Auditing
from collector.service.connections import raise_limit
from collector.service.database import Database
from collector.service.feeds import Feeds
from collector.service.http import serve
from collector.service.intake import JournalledIntake
from collector.service.notify import Notifier
from collector.service.progress import Progress
from collector.service.recorder import Recorder
from collector.service.reload import Reloading
from collector.service.statistics import Statistics
from collector.service.status import snapshot
from collector.service.supervise import Part, Supervised
from collector.service.upkeep import Upkeep
from collector.store.writer import Writer

log = structlog.get_logger()

GC_THRESHOLDS = (20_000, 50, 50)
"""Records are many, short-lived and free of cycles: looking for cycles as often as Python does by itself was measured
at a seventh of what a row costs."""

CLOCK_LOOK_SECONDS = 1.0
CLOCK_STEP_NS = 500_000_000
"""What the clock moves by itself, or by its being disciplined, is less in a second."""

DRAIN_SECONDS = 5.0
"""For the last commits. With the rest of the shutdown it stays under the ten seconds that we promise."""


class Daemon:
    """All parts of a running collector. `started` is set once the feeds run."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.random = random or Random()  # noqa: S311  for jitter only
        self.statistics = Statistics()
        self.started_ns = self.clock.now_ns()
        self.started = asyncio.Event()
        self.stopping = asyncio.Event()
        self._prepared = asyncio.Event()
        self.parts: dict[str, Part] = {}
        """What runs beside recording: the page, the watchdog, the upkeep, .. None of it can end the daemon."""
        self.workers: dict[str, Supervised] = {}
        self.repairers: dict[str, Repairer] = {}
        self.feeds = Feeds(self)
        self.reloading = Reloading(self, reread)
        self._reload_asked = asyncio.Event()
        self.auditing: Auditing
        self.note = presence.Note(config.data_dir)
        self.http_address: str | None = None
        """Where the status page is (`http://host:port`), once it is served."""
        self.database: Database
        self.journal: Journal
        self.intake: JournalledIntake
        self.recorder: Recorder
        self.writer: Writer
        self.upkeep: Upkeep

    def stop(self) -> None:
        """Ask for an orderly end; `run` returns soon after."""
        self.stopping.set()

    def reload(self) -> None:
        """Ask for the configuration to be read again; `reloading` tells what came of it."""
        self._reload_asked.set()

    async def run(self) -> None:
        """Record until `stop` is called. Raises what makes recording impossible."""
        config = self.config
        make_folder(config.data_dir, server=config.database.dsn is None)
        async with AsyncExitStack() as stack:
            self.journal = await stack.enter_async_context(self._open_journal())
            stack.callback(self.note.remove)
            self.database = await stack.enter_async_context(Database.of(config, self.clock))
            with self._usable():
                identity = JournalIdentity(self.journal.directory)
            self.writer = Writer(self.database.dsn, identity, sleep=self.clock.sleep)
            stack.push_async_callback(self.writer.close)
            self.upkeep = Upkeep(self.database.dsn, config, self.clock)
            normaliser = self._new_normaliser()
            self.intake = JournalledIntake(
                self.journal,
                normaliser,
                self.clock,
                batch_rows=config.writer.batch_rows,
                queue_bytes=config.writer.queue_mb << 20,
            )
            # Nothing goes to the writer directly before it is known where the tables end.
            self.intake.fall_behind(self.journal.end, self._new_normaliser())
            self.recorder = Recorder(
                self.journal,
                self.intake,
                self.writer,
                self._new_normaliser,
                self.statistics,
                self.clock,
                batch_rows=config.writer.batch_rows,
                flush_seconds=config.writer.flush_ms / 1000,
                rename=identity.rename,
            )
            self.auditing = Auditing(
                config,
                self.repairers,
                dsn=self.database.dsn,
                rest=self._rest_of,
                intake=self.intake,
                committed=self.all_committed,
                clock=self.clock,
                random=self.random,
            )
            self.recorder.when_gaps_change.append(self.auditing.gaps_changed)
            self.recorder.when_database_went_back.append(self.auditing.database_went_back)
            await self._run_parts()

    @asynccontextmanager
    async def _open_journal(self) -> AsyncIterator[Journal]:
        settings = self.config.journal
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
        with self._usable():
            journal = await Journal.open(self.config.data_dir / "journal", options, now_ns=self.clock.now_ns)
        try:
            # Under the last session's number, so that the next start knows it though nothing else be recorded.
            names = [name for name, venue in self.config.venues.items() if venue.enabled]
            journal.append(journal.last_session, Kind.NOTE, self.clock.now_ns(), encode_note(Started(names)))
            yield journal
        finally:
            await journal.close()

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Name the file or folder that keeps the journal from being used."""
        try:
            yield
        except OSError as error:
            raise unusable(error, self.config.data_dir, embedded=self.config.database.dsn is None) from error

    def _new_normaliser(self) -> Normaliser:
        return Normaliser(venues.find)

    async def _run_parts(self) -> None:
        async with asyncio.TaskGroup() as core:
            # Only the first three may end the daemon by what they raise.
            background = [core.create_task(self.journal.run(), name="journal")]
            recorder = core.create_task(self._record(), name="recorder")
            feeds = core.create_task(self.feeds.run(), name="feeds")
            auditing = core.create_task(self.part("audit", self._audit).run(), name="audit")
            self.started.set()
            with Notifier.from_environment() as notifier:
                notifier.ready()
                beside: dict[str, Callable[[], Awaitable[object]]] = {
                    "database server": self.database.watch,
                    "clock": self._watch_clock,
                    "page": self._serve,
                    "upkeep": lambda: self.upkeep.run(self.database.ready.wait),
                    "watchdog": lambda: self._feed_watchdog(notifier),
                    "reload": self._reload_on_request,
                }
                for name, work in beside.items():
                    background.append(core.create_task(self.part(name, work).run(), name=name))
                await self.stopping.wait()
                notifier.stopping()
            log.info("stopping")
            feeds.cancel()
            auditing.cancel()
            await asyncio.wait([feeds, auditing])
            self.recorder.drain()
            _, late = await asyncio.wait([recorder], timeout=DRAIN_SECONDS)
            if late:
                log.warning("stopped_before_all_was_committed", backlog_bytes=self.recorder.backlog_bytes,
                            remedy="it is in the journal and will be committed after the next start")  # fmt: skip
                recorder.cancel()
            for task in background:
                task.cancel()
        log.info("stopped", backlog_bytes=self.recorder.backlog_bytes)

    def part(self, name: str, work: Callable[[], Awaitable[object]]) -> Part:
        """Make a part that is started again whenever it fails, and whose failures are told."""
        part = self.parts[name] = Part(name, work, self.clock, self.random)
        return part

    async def _serve(self) -> None:
        page = self.parts["page"]

        def listening() -> None:
            page.well()
            self.note.leave(self.http_address)

        page.when_troubled = lambda: self.note.leave(None, page.trouble)
        await serve(self, listening)

    async def _watch_clock(self) -> None:
        """Have it journalled when somebody sets the machine's clock."""
        clock = self.clock
        offset_ns = clock.now_ns() - int(clock.monotonic() * 1e9)
        while True:
            await clock.sleep(CLOCK_LOOK_SECONDS)
            found_ns = clock.now_ns() - int(clock.monotonic() * 1e9)
            if abs(by_ns := found_ns - offset_ns) > CLOCK_STEP_NS:
                log.warning("clock_was_set", by_seconds=round(by_ns / 1e9, 3))
                self.intake.clock_was_set(by_ns)
            offset_ns = found_ns

    async def _record(self) -> None:
        await self.database.prepared()
        self._prepared.set()
        await self.recorder.run()

    async def _audit(self) -> None:
        await self._prepared.wait()
        await self.auditing.run()

    async def all_committed(self) -> None:
        """Return once everything that was received by now is in the tables."""
        await self.recorder.reached(self.journal.end)

    def _rest_of(self, venue: str) -> RestClient | None:
        supervised = self.workers.get(venue)
        return None if supervised is None else supervised.worker.rest

    async def _reload_on_request(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self.reloading.reload()

    async def _feed_watchdog(self, notifier: Notifier) -> None:
        """Tell systemd that the daemon gets on, and nothing while it does not: then it is started anew."""
        progress = Progress(self, lambda: snapshot(self).venues)
        looks, told = self.statistics.looks, None
        while True:
            # What cannot be looked at is no reason for a restart: that it was tried shows that the loop gets on.
            stuck = looks.take("progress", progress.stuck, None)
            if stuck is None:
                notifier.watchdog()
                notifier.status(looks.take("summary", self.summary, "recording; see the log"))
            else:
                notifier.status(f"stuck: {stuck}")
                if told is None:
                    log.error("stuck", reason=stuck, remedy="the watchdog is fed no more, so that systemd starts anew")
            told = stuck
            await self.clock.sleep(notifier.watchdog_seconds / 3 if notifier.watchdog_seconds else 10.0)

    def summary(self) -> str:
        """One line for people."""
        total = self.statistics.total
        live = sum(feed.state == "live" for one in self.workers.values() for feed in one.worker.connections.values())
        troubles = "".join(f"; {part.name}: {part.trouble}" for part in self.parts.values() if part.trouble)
        return f"{total.stored} rows stored, {live} connections live, {self._behind()}{troubles}"

    def _behind(self) -> str:
        backlog = self.recorder.backlog_bytes
        return "the database has not answered yet" if backlog is None else f"{backlog} bytes behind"


async def run(
    config: Config, *, ready: Callable[[Daemon], object] | None = None, reread: Callable[[], Config] | None = None
) -> None:
    """Run a daemon until SIGTERM or SIGINT. `ready` is called with it before it runs, `reread` at SIGHUP."""
    os.umask(0o077)  # what it writes is nobody else's
    if exposed := dict(readable_secrets(config)):
        log.warning("secrets_readable", files=[str(path) for path in exposed],
                    remedy="everybody on this machine may read them; chmod 600, or 640 with a group")  # fmt: skip
    raise_limit()
    gc.freeze()  # what is loaded by now stays: no search for garbage needs to go through it again
    gc.set_threshold(*GC_THRESHOLDS)
    daemon = Daemon(config, reread=reread)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    if reread is not None:
        loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    if ready is not None:
        ready(daemon)
    try:
        await daemon.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
