"""Where frames lie in the journals: found by the time of their receipt, and parsed again in the state of then.

The tables do not hold a row's place in the journal, they hold when it was received, to the microsecond. Segments tell
which time they span, so only those that can hold it are read.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import orjson

from collector import venues
from collector.journal import DamagedJournal, Kind, Position, Record, read
from collector.journal.segments import numbers, segments
from collector.model import Records
from collector.normalise.apply import apply
from collector.normalise.entries import Answer
from collector.normalise.normaliser import Normaliser
from collector.normalise.unreadable import readable_part

T = TypeVar("T")

# The order of records may differ from the order of receipt by this much: the clock may have been set.
CLOCK_SLACK_NS = 60_000_000_000

# Records that are read before other tasks get their turn.
RECORDS_PER_TURN_MAX = 500

# Kinds of records that can yield rows.
RECEIVED_KINDS = frozenset({Kind.FRAME, Kind.REST, Kind.BEAT})


class Place(NamedTuple):
    """A record and the journal that it is in."""

    journal: Path
    record: Record


def journals(data_dir: Path) -> list[Path]:
    """Return the folders of the journals there: the daemon's, and after it those of backfills, oldest first."""
    backfills = data_dir / "backfill"
    kept = sorted(path for path in backfills.iterdir() if path.is_dir()) if backfills.is_dir() else []
    return [path for path in (data_dir / "journal", *kept) if path.is_dir() and numbers(path)]


def spanning(directory: Path, times_ns: Iterable[int]) -> list[int]:
    """Return the numbers of the segments that may hold what was received at one of these times."""
    times = sorted(times_ns)
    infos = segments(directory)
    found = []
    for info, following in zip(infos, [*infos[1:], None], strict=True):
        known = [info.created_ns, *([info.last_received_ns] if info.last_received_ns else [])]
        known += [following.created_ns] if following else []
        first = bisect_left(times, min(known) - CLOCK_SLACK_NS)
        if first < len(times) and (following is None or not all(known) or times[first] <= max(known) + CLOCK_SLACK_NS):
            found.append(info.number)
    return found


async def received_at(
    directory: Path,
    times_us: Collection[int],
    damages: Callable[[DamagedJournal], None],
    likely: Collection[int] = (),
) -> list[Record]:
    """Return what was received at exactly these microseconds, in the order of the journal.

    `likely`: segments to look into whatever time they span, since a clock that was set back makes that unsure.
    """
    found: list[Record] = []
    present = numbers(directory)
    spanned = spanning(directory, [time_us * 1000 for time_us in times_us])
    for number in sorted({*spanned, *(one for one in likely if one in present)}):
        records = read(directory, Position(number, 0), Position(number + 1, 0), on_corrupt=damages)
        async for record in breathing(records):
            if record.received_ns // 1000 in times_us and record.kind in RECEIVED_KINDS:
                found.append(record)  # noqa: PERF401  an asynchronous comprehension reads worse
    return found


async def breathing(items: Iterable[T]) -> AsyncIterator[T]:
    """Let other tasks, and Ctrl-C, have their turn between many items."""
    for number, item in enumerate(items):
        if not number % RECORDS_PER_TURN_MAX:
            await asyncio.sleep(0)
        yield item


class Chosen:
    """Tells which records belong to the sessions of some venues; None: of all."""

    def __init__(self, venues: Collection[str] | None) -> None:
        self._wanted = venues
        self._left_out: set[int] = set()
        self.venues: set[str] = set()
        """Those of which there were sessions."""

    def takes(self, record: Record) -> bool:
        """Look at each record in turn; True for those to apply. Records of no session are of every venue."""
        if record.kind in (Kind.OPEN, Kind.CARRY):
            venue = venue_of(record)
            if self._wanted is None or venue in self._wanted:
                self.venues.add(venue)
                self._left_out.discard(record.session)
            else:
                self._left_out.add(record.session)
        if record.kind is Kind.NOTE and self._wanted is not None:
            return self._concerns(record)
        return record.session not in self._left_out

    def _concerns(self, record: Record) -> bool:
        try:
            note = orjson.loads(record.payload)
        except orjson.JSONDecodeError:
            return True
        venue = note.get("venue") if isinstance(note, dict) else None
        return record.session not in self._left_out and (venue is None or venue in (self._wanted or ()))


def venue_of(record: Record) -> str:
    """Return the venue of the session that a record opens, or carries; the same word for all that do not tell."""
    try:
        header = orjson.loads(record.payload)
    except orjson.JSONDecodeError:
        header = None
    return readable_part(header).venue


def place(directory: Path, time_ns: int) -> Position | None:
    """Return the place of the first record that was received then or later; None where there is none."""
    for number in spanning(directory, [time_ns]) or numbers(directory)[:1]:
        for record in read(directory, Position(number, 0), on_corrupt=lambda _: None):
            if record.received_ns >= time_ns and record.kind is not Kind.CARRY:
                return record.position
    return None


def rerun(
    directory: Path, segment: int, takes: Callable[[Record], bool], damages: Callable[[DamagedJournal], None]
) -> Iterator[tuple[Record, Records]]:
    """Parse on from the segment before `segment`, as recovery does; give each record and its rows.

    Parsers that tell equal trades apart by counting, or follow a book's numbers, have then seen what they need. Records
    that `takes` does not want are passed over.
    """
    present = numbers(directory)
    if not present:
        return
    normaliser = Normaliser(venues.find)
    for record in read(directory, Position(max(present[0], segment - 1), 0), on_corrupt=damages):
        if not takes(record):
            continue
        out = Records()
        apply(record, normaliser, out)
        yield record, out


def layouts(record: Record) -> list[bytes]:
    """Return the forms in which a record's bytes can stand in quarantine: parsers name a request in fewer words."""
    if record.kind is not Kind.REST:
        return [record.payload]
    request, body = Answer.decode(record.payload)
    short = orjson.dumps({"channel": request["channel"], "params": request.get("params", {})})
    return [record.payload, short + b"\n" + body, body]
