"""What watches over the completeness of the tables while the daemon records: the audit of minutes, the count of gaps.

Both only read and keep books, wait for live work, and outlive every failure of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from random import Random

import structlog

from collector.audit.auditor import AuditOptions, Auditor
from collector.audit.fetchers import Fetching
from collector.audit.losses import Alarm
from collector.audit.subjects import NO_CANDLES
from collector.audit.terms import VERDICTS, configured_terms
from collector.audit.unjudged import Unjudged, UnjudgedGroup, grouped
from collector.clock import Clock
from collector.config import Config
from collector.errors import VenueError
from collector.feed.intake import Intake
from collector.feed.rest import RestClient
from collector.model import Instrument
from collector.repair.ledger import GapTable
from collector.repair.repairer import Repairer
from collector.repair.tally import GapTally
from collector.service.facts import AlarmFacts, AuditFacts, FetchFacts, RepairFacts, UnjudgedFacts

log = structlog.get_logger()

MINUTE_US = 60_000_000


SYMBOLS_TOLD = 20
"""So many symbols are named of those that are not judged for the same reason."""


class Auditing:
    """The daemon's auditor, where it is enabled, and its tally of gaps."""

    def __init__(
        self,
        config: Config,
        repairers: Mapping[str, Repairer],
        *,
        dsn: Callable[[], str],
        rest: Callable[[str], RestClient | None],
        intake: Intake,
        committed: Callable[[], Awaitable[None]],
        clock: Clock,
        random: Random,
    ) -> None:
        self._repairers = repairers
        self.tally = GapTally(GapTable(dsn), clock)
        self.auditor: Auditor | None = None
        self.fetching = Fetching(
            repairers,
            rest=rest,
            intake=intake,
            committed=committed,
            wake=self._candles_fetched,
            clock=clock,
            random=random,
        )
        if config.audit.enabled:
            agreed = configured_terms(config)
            options = AuditOptions(config.audit.delay_seconds, config.audit.catch_up_hours)
            self.fetching.apply(config, agreed)
            self.auditor = Auditor(
                agreed,
                options,
                dsn=dsn,
                committed=committed,
                wake=self._gap_recorded,
                look_up=self._look_up,
                fetchers=self.fetching.fetchers,
                clock=clock,
            )

    def reconfigure(self, config: Config) -> None:
        """Go by what is configured now."""
        if self.auditor is not None:
            agreed = configured_terms(config)
            self.fetching.apply(config, agreed)
            self.auditor.reconfigure(agreed)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tally.run(), name="tally of gaps")
            if self.auditor is not None:
                group.create_task(self.auditor.run(), name="audit")
                group.create_task(self.fetching.run(), name="audit's candles")

    def _candles_fetched(self) -> None:
        if self.auditor is not None:
            self.auditor.candles_fetched()

    def gaps_changed(self) -> None:
        """Some were opened, closed or repaired."""
        self.tally.wake()
        if self.auditor is not None:
            self.auditor.wake()

    def database_went_back(self) -> None:
        """What was read from it by now is not true any more."""
        self.tally.wake()
        if self.auditor is not None:
            self.auditor.start_over()

    def _gap_recorded(self, venue: str) -> None:
        self.tally.wake()
        repairer = self._repairers.get(venue)
        if repairer is not None:
            repairer.wake()

    async def _look_up(self, venue: str, symbol: str, minute: datetime) -> None:
        repairer = self._repairers.get(venue)
        if repairer is None:
            return
        start_us = int(minute.timestamp()) * 1_000_000
        try:
            await repairer.look_up(Instrument(venue, symbol), "candles", start_us, start_us + MINUTE_US - 1)
        except VenueError as error:  # the venue's other troubles are told by those who cannot do without it
            log.info("silence_not_looked_up", venue=venue, symbol=symbol, reason=str(error))

    # -- for the status ------------------------------------------------------------------------------------------------

    def facts(self) -> AuditFacts | None:
        """Return how the audit stands; None where it is switched off."""
        auditor = self.auditor
        if auditor is None:
            return None
        alarms = auditor.alarms
        by_venue: dict[str, dict[str, int]] = {}
        for (venue, verdict), count in sorted(auditor.counts.items()):
            by_venue.setdefault(venue, dict.fromkeys(VERDICTS, 0))[verdict] = count
        sums = {verdict: sum(one[verdict] for one in by_venue.values()) for verdict in VERDICTS}
        last = auditor.last_minute
        return AuditFacts(
            last_minute=None if last is None else f"{last:%Y-%m-%dT%H:%MZ}",
            checked=sum(sums.values()),
            complete=sums["complete"],
            explained=sums["explained"],
            unexplained=sums["unexplained"],
            not_comparable=sums["not comparable"],
            open_alarms=len(alarms.open),
            verdicts=by_venue,
            trouble=auditor.trouble,
            fetching=tuple(
                FetchFacts(name, one.instruments, one.refused, one.behind_minutes, one.trouble)
                for name, one in self.fetching.fetchers.items()
                if one.instruments
            ),
            unjudged=tuple(
                UnjudgedFacts(one.venue, one.stream, one.reason, len(one.symbols), one.symbols[:SYMBOLS_TOLD])
                for one in (*auditor.unjudged, *self._refused())
            ),
            alarms=tuple(map(_alarm, (*alarms.open[:20], *alarms.settled))),
        )

    def _refused(self) -> list[UnjudgedGroup]:
        refused = [
            Unjudged(name, symbol, "trades", f"{NO_CANDLES}, and the venue refuses them: {reason}")
            for name, fetcher in self.fetching.fetchers.items()
            for symbol, reason in fetcher.refusals
        ]
        return grouped(refused)

    def repair(self, venue: str) -> RepairFacts | None:
        """Return what a venue's repairer does; None where it has none."""
        one = self._repairers.get(venue)
        if one is None:
            return None
        return RepairFacts(one.state, one.waiting, one.repaired, one.lost, one.rows, one.trouble)


def _alarm(alarm: Alarm) -> AlarmFacts:
    return AlarmFacts(
        venue=alarm.venue,
        symbol=alarm.symbol,
        minute=f"{alarm.time:%Y-%m-%dT%H:%MZ}",
        expected=None if alarm.candle_volume is None else f"{alarm.candle_volume:f}",
        stored=f"{alarm.volume or 0:f}",
        state=alarm.state,
    )
