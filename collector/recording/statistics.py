"""Counters for the metrics, the status page and the tests. Only the recorder changes them, so there is no lock."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter

from prometheus_client import Histogram
from prometheus_client.registry import CollectorRegistry

from collector.model import Instrument, Records, Tick, Trade
from collector.recording.clock_offsets import ClockOffsets
from collector.store.batch import Batch, Committed, TableCount
from collector.supervise.looks import Looks
from collector.tables import OF_INSTRUMENTS

LAG_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 15, 60, 300, 3600)

_INSTRUMENT = itemgetter(0)
# Records of each batch whose times are compared with our clock: enough to find the least delayed of a minute, at no
# cost per row.
NEWEST_COMPARED_MAX = 20


class Statistics:
    """What was committed since the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tables: dict[str, TableCount] = {}
        self.batches = 0
        self.items = 0
        """Items in frames as the parsers counted them; the counts of the tables have to add up to this."""
        self.last_commit_ns: int | None = None
        self.last_lag_seconds: float | None = None
        self.rows_by_instrument: dict[Instrument, Counter[str]] = {}
        """Items committed, by instrument and table."""
        self.lag_by_instrument: dict[Instrument, dict[str, float]] = {}
        """Seconds from receipt to commit of the newest batch that held some, by instrument and table."""
        self.last_trade: dict[Instrument, Trade] = {}
        self.last_tick: dict[Instrument, Tick] = {}
        self.clocks = ClockOffsets()
        self.looks = Looks()
        self.lag = Histogram(
            "collector_commit_lag_seconds",
            "From the receipt of a batch's oldest frame to its commit.",
            buckets=LAG_BUCKETS_SECONDS,
            registry=self.registry,
        )

    def committed(self, batch: Batch, committed: Committed, now_ns: int) -> None:
        """Take note of a commit."""
        for table, count in committed.counts.items():
            self.tables[table] = self.tables.get(table, TableCount()) + count
        self.batches += 1
        self.items += batch.records.items
        self._by_instrument(batch.records, max(0.0, (now_ns - batch.oldest_ns) / 1e9))
        self.last_commit_ns = now_ns
        if batch.records:
            self.last_lag_seconds = max(0.0, (now_ns - batch.oldest_ns) / 1e9)
            self.lag.observe(self.last_lag_seconds)

    def _by_instrument(self, records: Records, lag: float) -> None:
        for table in OF_INSTRUMENTS:
            for instrument, count in Counter(map(_INSTRUMENT, getattr(records, table))).items():
                self.rows_by_instrument.setdefault(instrument, Counter())[table] += count
                self.lag_by_instrument.setdefault(instrument, {})[table] = lag
        self.last_trade.update(zip(map(_INSTRUMENT, records.trades), records.trades, strict=True))
        self.last_tick.update(zip(map(_INSTRUMENT, records.ticks), records.ticks, strict=True))
        for trade in records.trades[-NEWEST_COMPARED_MAX:]:
            self.clocks.note(trade.instrument.venue, trade.time_us, trade.received_us)
        for tick in records.ticks[-NEWEST_COMPARED_MAX:]:
            self.clocks.note(tick.instrument.venue, tick.time_us, tick.received_us)

    @property
    def total(self) -> TableCount:
        """All tables together."""
        total = TableCount()
        for count in self.tables.values():
            total += count
        return total
