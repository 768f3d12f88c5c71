"""A gap table in memory and a venue whose history is a list of answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from random import Random
from typing import Any, ClassVar

from collector.errors import VenueError
from collector.feed.rest import RestClient
from collector.model import GapOutcome, GapState, Instrument
from collector.repair.ledger import Missing
from collector.repair.repairer import Repairer, RepairOptions
from collector.venues.rest import History, RestAnswer, RestCall
from tests.feed.fakes import LIMITS, FakeAdapter, FakeClock, FakeIntake, FakeNetwork, FakeSession, FakeVenue
from tests.kit.headers import session_header

A = Instrument("fake", "A")
HOUR_US = 3_600_000_000
Asked = tuple[str, str, int, int]


class PastAdapter(FakeAdapter):
    historic: ClassVar[frozenset[str]] = frozenset({"trades", "candles"})
    partly_historic: ClassVar[frozenset[str]] = frozenset({"derivatives"})


class PastVenue(FakeVenue):
    """Keeps a past of trades and a part of derivatives; `asked` holds what was asked of it."""

    protocol: ClassVar[type[FakeAdapter]] = PastAdapter

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.asked: list[Asked] = []
        self.errors: list[VenueError] = []

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        self.asked.append((instrument.symbol, stream, from_us, to_us))
        yield RestCall(stream, "http://fake")
        if self.errors:
            raise self.errors.pop(0)

    def failure(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
        return None


class Endless(FakeNetwork):
    """Answers every request."""

    async def request(self, *_: Any, **__: Any) -> Any:
        await asyncio.sleep(0)
        return 200, {}, b"{}"


def outcome(gap: Missing, state: str, rows: int | None) -> GapOutcome:
    return GapOutcome(gap.instrument, gap.stream, gap.from_us, "disconnect", GapState(state), None, rows, None)


class Table:
    """Meets `collector.repair.ledger.Ledger`; `events` holds what was noted, in order."""

    def __init__(self, *gaps: Missing) -> None:
        self.gaps = {gap.gap_id: gap for gap in gaps}
        self.events: list[tuple[Any, ...]] = []
        self.earliest_us = 0
        self.errors: list[Exception] = []
        self.changed = asyncio.Event()

    def _note(self, *event: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.events.append(event)
        self.changed.set()

    async def missing(self, venue: str, streams: Collection[str], earliest_us: int) -> list[Missing]:
        if self.errors:
            raise self.errors.pop(0)
        self.earliest_us = earliest_us
        found = [gap for gap in self.gaps.values() if gap.stream in streams and gap.to_us >= earliest_us]
        return sorted(found, key=lambda gap: gap.stream != "trades")

    async def hopeless(self, venue: str, streams: Collection[str]) -> list[GapOutcome]:
        hopeless = [gap for gap in self.gaps.values() if gap.stream not in streams]
        for gap in hopeless:
            self._note("hopeless", gap.gap_id)
            del self.gaps[gap.gap_id]
        return [outcome(gap, "unrecoverable", None) for gap in hopeless]

    async def begin(self, gap: Missing, now_us: int) -> None:
        self._note("begin", gap.gap_id)

    async def progress(self, gap: Missing, until_us: int) -> None:
        self._note("progress", gap.gap_id, until_us)
        self.gaps[gap.gap_id] = gap._replace(done_us=until_us)

    async def put_off(self, gap: Missing, reason: str) -> None:
        self._note("put off", gap.gap_id, reason)

    async def outcome(
        self, gap: Missing, now_us: int, *, lost: bool = False, note: str | None = None
    ) -> GapOutcome | None:
        self._note("lost" if lost else "repaired", gap.gap_id, note)
        del self.gaps[gap.gap_id]
        return outcome(gap, "unrecoverable" if lost else "repaired", 5)

    async def close(self) -> None: ...

    async def settled(self) -> None:
        """Wait until no gap is left."""
        async with asyncio.timeout(5):
            while self.gaps:
                self.changed.clear()
                await self.changed.wait()
        for _ in range(20):
            await asyncio.sleep(0)


class Scene:
    """A repairer with everything around it."""

    def __init__(self, *gaps: Missing, max_age_seconds: float | None = None) -> None:
        self.venue = PastVenue()
        self.table = Table(*gaps)
        self.clock = FakeClock()
        self.intake = FakeIntake()
        self.commits: list[Callable[[], None]] = []
        self.rest: RestClient | None = RestClient(
            self.venue, LIMITS, Endless(), self.clock, FakeSession(session_header({}))
        )
        self.repairer = Repairer(
            self.venue,
            RepairOptions(max_age_seconds, 1000.0),
            rest=lambda: self.rest,
            intake=self.intake,
            committed=self._committed,
            settled=lambda: None,
            ledger=self.table,
            clock=self.clock,
            random=Random(1),
        )

    async def _committed(self) -> None:
        self.table.events.append(("committed",))

    async def run(self) -> None:
        """Repair until nothing is left."""
        task = asyncio.ensure_future(self.repairer.run())
        try:
            await self.table.settled()
        finally:
            task.cancel()
            await asyncio.wait([task])

    def told(self) -> list[tuple[Any, ...]]:
        return [event for event in self.table.events if event != ("committed",)]


def gap(number: int, stream: str = "trades", from_us: int = 0, seconds: float = 10.0) -> Missing:
    return Missing(number, A, stream, from_us, from_us + int(seconds * 1e6), from_us, 0)
