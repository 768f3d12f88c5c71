"""A backfill from beginning to end: asks what the venue lists, finds what is left, estimates its time, and runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

from collector import venues
from collector.clock import Clock
from collector.errors import CollectorError
from collector.feed.failures import Place
from collector.feed.intake import Forgetful
from collector.feed.network import Network
from collector.feed.rest import RestClient
from collector.journal import Journal, JournalOptions
from collector.model import InstrumentSpec
from collector.repair.backfill import Backfill, Done
from collector.repair.chunks import Chunk, Span, calls, cut, detail, undone
from collector.repair.ledger import GapTable
from collector.repair.recording import Recording
from collector.repair.repairer import bucket, history_header
from collector.store.writer import Writer
from collector.venues.adapter import Venue


class Estimate(NamedTuple):
    """One stream of one symbol: its pieces, those left to fetch, the calls and seconds that they take at least."""

    symbol: str
    stream: str
    pieces: int
    left: int
    calls: int
    seconds: float


class Progress(NamedTuple):
    """How far a backfill is."""

    pieces: int
    rows: int
    seconds: float
    trouble: str


class Outcome(NamedTuple):
    """What a backfill did; `refused` names what the venue refused to give, and why."""

    journal: str
    answers: int
    tables: dict[str, dict[str, int]]
    gaps: int
    refused: dict[str, str]


class Job:
    """One backfill of one venue. Within its block call `listed`, then `plan`, then `run`; each may be repeated."""

    def __init__(
        self,
        venue: Venue[Any],
        *,
        rate_share: float,
        dsn: str,
        network: Network,
        clock: Clock,
        random: Random,
    ) -> None:
        self._venue = venue
        self._clock = clock
        self._random = random
        self._dsn = dsn
        limits = venue.limits()
        self._per_second = limits.rest_per_second * rate_share
        self._rest = RestClient(venue, limits, network, clock, Forgetful())
        self._table = GapTable(lambda: dsn)
        self._specs: dict[str, InstrumentSpec] = {}
        self.left: list[Chunk] = []
        """What is to be fetched, once `plan` has found out."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._table.close()

    async def listed(self) -> list[str]:
        """Return the symbols that the venue has. Raises `VenueError`."""
        plan = await self._rest.drive(self._venue.discover(), place=Place.DISCOVER)
        self._specs = {spec.instrument.symbol: spec for spec in plan.instruments}
        return sorted(self._specs)

    async def plan(self, symbols: Sequence[str], streams: Sequence[str], span: Span, *, again: bool) -> list[Estimate]:
        """Return what is left to fetch of these, and how long that takes. Raises `DatabaseError`."""
        instruments = [self._specs[symbol].instrument for symbol in symbols]
        chunks = cut(self._venue, instruments, streams, span)
        done = {} if again else await self._table.backfilled(self._venue.name, streams, self._detail)
        self.left = undone(chunks, done)
        rates = await self._table.rates(self._venue.name) if "trades" in streams else {}
        sums = {(chunk.instrument.symbol, chunk.stream): [0, 0, 0] for chunk in chunks}
        for chunk in chunks:
            sums[chunk.instrument.symbol, chunk.stream][0] += 1
        for chunk in self.left:
            held = sums[chunk.instrument.symbol, chunk.stream]
            rate = rates.get(chunk.instrument.symbol, 0.0) if chunk.stream == "trades" else 0.0
            held[1] += 1
            held[2] += calls(self._venue, chunk, rate)
        return [
            Estimate(symbol, stream, pieces, left, needed, round(needed / self._per_second, 1))
            for (symbol, stream), (pieces, left, needed) in sums.items()
        ]

    def _detail(self, stream: str, symbol: str) -> str:
        return detail(self._venue.settings, stream, symbol)

    async def run(self, folder: Path, progress: Callable[[Progress], object] = lambda _: None) -> Outcome:
        """Fetch what is left; the answers are kept in a new journal below `folder`."""
        clock = self._clock
        began = clock.monotonic()
        made = datetime.fromtimestamp(clock.now_ns() / 1e9, UTC)
        directory = folder / f"{made:%Y%m%dT%H%M%S.%f}Z-{self._venue.name}"
        async with AsyncExitStack() as stack:
            try:
                journal = await Journal.open(directory, JournalOptions(), now_ns=clock.now_ns)
            except OSError as error:
                raise CollectorError(
                    f"the answers cannot be kept in {error.filename or directory} ({error.strerror or error}): "
                    "`collector check` names what this account cannot use in the data folder"
                ) from error
            stack.push_async_callback(journal.close)
            writer = Writer(lambda: self._dsn, None, sleep=clock.sleep)
            stack.push_async_callback(writer.close)
            header = history_header(self._venue, "backfill")
            recording = Recording(header, journal, writer, clock, venues.find)
            recording.know([self._specs[symbol] for symbol in self._symbols()])
            await recording.store()
            backfill = Backfill(
                self._venue,
                rest=self._rest,
                limiter=bucket(self._per_second),
                recording=recording,
                table=self._table,
                clock=clock,
                random=self._random,
            )

            def show(done: Done) -> None:
                progress(Progress(done.pieces, recording.stored, clock.monotonic() - began, done.trouble))

            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(journal.run(), name="journal")
                done = await backfill.run(self.left, show)
                keeping.cancel()
        return Outcome(
            str(directory),
            recording.answers,
            {name: count._asdict() for name, count in recording.counts.items()},
            done.gaps,
            {f"{one.symbol} {stream}": reason for (one, stream), reason in done.refused.items()},
        )

    def _symbols(self) -> Collection[str]:
        return dict.fromkeys(chunk.instrument.symbol for chunk in self.left)
