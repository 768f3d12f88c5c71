"""Minutes that nothing explains: recorded as gaps, watched until their repair, and told."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Self

import asyncpg
import structlog

from collector.audit.minutes import MINUTE
from collector.store.named import queries

log = structlog.get_logger()

SILENT_LOSS = "silent loss"
# States of an alarm: its gap waits for the repair; nothing was found, or nothing is tried any more; all is equal now;
# a gap tells that it is lost.
OPEN, STAYS, REPAIRED, EXPLAINED = "open", "stays", "repaired", "explained"

_SQL = queries("audit")


class Alarm(NamedTuple):
    """One minute of one instrument. Sums are None where there was nothing to add up, or no candle."""

    instrument_id: int
    venue: str
    symbol: str
    time: datetime
    trades: int
    volume: Decimal | None
    candle_trades: int | None
    candle_volume: Decimal | None
    differs: str
    state: str
    tried: tuple[str, ...]
    """Streams of it that a gap was recorded for."""

    @classmethod
    def of(cls, row: Any) -> Self:
        """Read a row of the statement `unexplained`."""
        *facts, waits, tried = row
        return cls._make((*facts, OPEN if waits else STAYS, tuple(tried)))

    @property
    def key(self) -> tuple[int, datetime]:
        return self.instrument_id, self.time

    @property
    def streams(self) -> tuple[str, ...]:
        """What has to be fetched again: what there is less of."""
        lack = (self.candle_volume or 0) - (self.volume or 0)
        if self.candle_volume is None or lack < 0:
            return ("candles",)
        if lack > 0 or (self.candle_trades is not None and self.candle_trades > self.trades):
            return ("trades",)
        return ("candles", "trades")

    @property
    def told(self) -> str:
        """What is wrong, for people."""
        stored = f"{self.trades} trades of {self.volume or 0} in all are stored"
        if self.candle_volume is None:
            return f"{stored}, and there is no candle"
        count = "" if self.candle_trades is None else f"{self.candle_trades} trades of "
        return f"{stored}, the candle says {count}{self.candle_volume} ({self.differs})"


class Alarms:
    """What is unexplained now, and what was until lately. Bounded: the newest `MOST`, and `KEPT` that are settled."""

    MOST: ClassVar[int] = 200
    KEPT: ClassVar[int] = 20

    def __init__(self) -> None:
        self.open: tuple[Alarm, ...] = ()
        """Unexplained now, the newest first."""
        self.settled: deque[Alarm] = deque(maxlen=self.KEPT)
        """Unexplained no more, the latest first."""

    def __repr__(self) -> str:
        return f"alarms={len(self.open)} settled={len(self.settled)}"

    async def update(self, connection: asyncpg.Connection, found: Sequence[Alarm]) -> None:
        """Take over what is unexplained now, and find out what became of the rest."""
        known = {alarm.key: alarm for alarm in self.open}
        present = {alarm.key for alarm in found}
        for alarm in found:
            if alarm.key not in known:
                log.error(
                    "minute_unexplained",
                    venue=alarm.venue,
                    symbol=alarm.symbol,
                    minute=alarm.time.isoformat(),
                    reason=alarm.told,
                )
        gone = {key: alarm for key, alarm in known.items() if key not in present}
        if gone:
            rows = await connection.fetch(_SQL["verdicts"], [key[0] for key in gone], [key[1] for key in gone])
            for number, time, verdict in rows:
                if verdict == "unexplained":  # not among the newest any more
                    continue
                alarm = gone[number, time]
                state = REPAIRED if verdict == "complete" else EXPLAINED
                self.settled.appendleft(alarm._replace(state=state))
                log.info("minute_settled", venue=alarm.venue, symbol=alarm.symbol, minute=time.isoformat(), state=state)
        self.open = tuple(found)


async def record(
    connection: asyncpg.Connection, alarms: Sequence[Alarm], of_fetched: Collection[tuple[int, datetime]] = ()
) -> set[str]:
    """Record gaps for those that have none, neighbouring minutes in one; returns the venues of new gaps.

    `of_fetched`: minutes whose candles nobody records, so that there is no gap of them.
    """
    minutes: dict[tuple[int, str], list[Alarm]] = {}
    for alarm in sorted(alarms, key=lambda one: one.key):
        for stream in alarm.streams:
            if stream not in alarm.tried and not (stream == "candles" and alarm.key in of_fetched):
                minutes.setdefault((alarm.instrument_id, stream), []).append(alarm)
    venues = set()
    for (number, stream), missing in minutes.items():
        for run in _runs(missing):
            first, last = run[0], run[-1]
            gap = await connection.fetchval(
                _SQL["record_silent_loss"], number, stream, first.time, last.time + MINUTE, first.told
            )
            if gap is not None:
                venues.add(first.venue)
    return venues


def _runs(alarms: Sequence[Alarm]) -> list[list[Alarm]]:
    runs: list[list[Alarm]] = []
    for alarm in alarms:
        if runs and alarm.time == runs[-1][-1].time + MINUTE:
            runs[-1].append(alarm)
        else:
            runs.append([alarm])
    return runs
