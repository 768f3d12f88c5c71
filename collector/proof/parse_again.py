"""Quarantined frames parsed again: by today's parser, in the state in which the session's parser was then.

A frame means what it means by what came before it: equal trades are numbered, books follow sequence numbers. So its
session is run again from the journal, from the segment before on, and what the frame yields is taken. Later trades
equal to its own were numbered as if it had not come; those of the following minute are taken too, with the numbers that
they have now.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import structlog

from collector import venues
from collector.journal import DamagedJournal, Kind, MissingSegment, Position, Record, read
from collector.journal.segments import numbers
from collector.model import Records, Trade
from collector.normalise.entries import Answer, Carried
from collector.normalise.normaliser import Normaliser
from collector.proof.frames import breathing, journals, layouts, received_at, rerun, venue_of
from collector.proof.place import Where, microseconds, where
from collector.store.connection import connected
from collector.store.quarantine import Entry, Listed
from collector.store.resolver import Again, Resolver, row_of
from collector.tables import NAMES

log = structlog.get_logger()

# Parsers number equal trades over this time, so that a frame may change the numbers of those that follow it.
EQUAL_TRADES_SPAN_NS = 60_000_000_000

UNREADABLE_REASON = "its part of the journal can no longer be read"

STORED, FAILS, IMPOSSIBLE, SETTLED = "stored", "fails", "impossible", "settled"


class Outcome(NamedTuple):
    """What became of one entry: `stored`, `fails` (again, with `error`), `impossible`, `settled` by somebody else.

    `rows` are those that the frame yields by table, `new` how many of all were not there; None in a dry run.
    """

    quarantine_id: int
    result: str
    rows: dict[str, int]
    new: int | None = None
    error: str | None = None


class _Yield(NamedTuple):
    """What an entry gives today; `reason`: why it cannot be parsed."""

    entry: Entry
    records: Records
    echoes: Counter[str]
    reason: str | None = None


async def parse_again(
    data_dir: Path,
    entries: Sequence[Entry],
    payload: Callable[[int], Awaitable[bytes]],
    resolver: Resolver | None,
    progress: Callable[[Outcome], object] = lambda _: None,
) -> list[Outcome]:
    """Parse entries again and store what they give; without `resolver` only tell. `payload` gets an entry's bytes."""
    done: list[Outcome] = []
    async for found in _yields(data_dir, entries, payload):
        outcome = _foreseen(found) if resolver is None or found.reason else await _store(resolver, found)
        done.append(outcome)
        progress(outcome)
    return done


def _foreseen(found: _Yield) -> Outcome:
    number = found.entry.quarantine_id
    if found.reason:
        return Outcome(number, IMPOSSIBLE, {}, error=found.reason)
    bad = found.records.quarantine
    return Outcome(number, FAILS if bad else STORED, _rows(found), error=bad[0].error if bad else None)


async def _store(resolver: Resolver, found: _Yield) -> Outcome:
    number = found.entry.quarantine_id
    resolved = await resolver.resolve(Again(found.entry, found.records, dict(found.echoes)))
    if resolved is None:
        return Outcome(number, SETTLED, {})
    return Outcome(number, FAILS if resolved.error else STORED, _rows(found), resolved.stored, resolved.error)


def _rows(found: _Yield) -> dict[str, int]:
    counts = {name: len(getattr(found.records, name)) - found.echoes[name] for name in NAMES}
    return {name: count for name, count in counts.items() if count}


async def _yields(
    data_dir: Path, entries: Sequence[Entry], payload: Callable[[int], Awaitable[bytes]]
) -> AsyncIterator[_Yield]:
    frames = []
    for entry in entries:
        if entry.kind == "row":
            records = row_of(await payload(entry.quarantine_id))
            reason = records if isinstance(records, str) else None
            yield _Yield(entry, Records() if isinstance(records, str) else records, Counter(), reason)
        else:
            frames.append(entry)
    for directory in journals(data_dir):
        if not frames:
            return
        placed = await _places(directory, frames)
        async for found in _run_again(directory, placed):
            yield found
        known = {entry.quarantine_id for one in placed for entry in one.entries}
        frames = [entry for entry in frames if entry.quarantine_id not in known]
    for entry in frames:
        yield _alone(data_dir, entry, await payload(entry.quarantine_id))


class _Placed(NamedTuple):
    """A frame in the journal and its entries: nearly always one, two where a parser failed after it had complained."""

    record: Record
    entries: list[Entry]


async def _places(directory: Path, entries: Sequence[Entry]) -> list[_Placed]:
    """Find the entries' records in a journal, in its order."""
    wanted: dict[tuple[int, bytes], list[Entry]] = {}
    for entry in entries:
        wanted.setdefault((entry.received_us, entry.digest), []).append(entry)
    placed = []
    times = {entry.received_us for entry in entries}
    for record in await received_at(directory, times, _report, {entry.segment for entry in entries if entry.segment}):
        for form in layouts(record):
            held = wanted.pop((record.received_ns // 1000, sha256(form).digest()), None)
            if held is not None:
                placed.append(_Placed(record, held))
                break
    return placed


def _report(damage: DamagedJournal) -> None:
    log.error("journal_damaged", reason=str(damage))


class _Open(NamedTuple):
    """A frame that was met, while later ones are looked at for trades equal to its own."""

    found: _Yield
    session: int
    until_ns: int
    contents: frozenset[tuple[object, ...]]
    known: set[tuple[object, ...]]


async def _run_again(directory: Path, placed: list[_Placed]) -> AsyncIterator[_Yield]:
    order = deque(placed)
    while order:
        segment = order[0].record.position.segment
        sessions = {one.record.session for one in order}
        held: deque[_Open] = deque()
        async for record, out in breathing(rerun(directory, segment, _of(sessions), _report)):
            while held and record.received_ns > held[0].until_ns:
                yield held.popleft().found
            while order and order[0].record.position < record.position:
                for entry in order.popleft().entries:
                    yield _Yield(entry, Records(), Counter(), UNREADABLE_REASON)
            if order and order[0].record.position == record.position:
                first, *others = order.popleft().entries
                held.append(_begin(first, record, out))
                for entry in others:
                    yield _Yield(entry, Records(), Counter())
            elif out.trades:
                for one in held:
                    if one.session == record.session:
                        _listen(one, out.trades)
            if not held and (not order or order[0].record.position.segment > record.position.segment + 1):
                break
        for one in held:
            yield one.found
        while order and order[0].record.position.segment <= segment:
            for entry in order.popleft().entries:
                yield _Yield(entry, Records(), Counter(), UNREADABLE_REASON)


def _of(sessions: set[int]) -> Callable[[Record], bool]:
    """Take these sessions' records, and those of none."""
    return lambda record: record.session in sessions or not record.session


def _begin(entry: Entry, record: Record, out: Records) -> _Open:
    found = _Yield(entry, _facts(out), Counter())
    until_ns = record.received_ns + EQUAL_TRADES_SPAN_NS if out.trades else record.received_ns
    return _Open(
        found,
        record.session,
        until_ns,
        frozenset(map(_content, out.trades)),
        {(trade.instrument, trade.trade_key) for trade in out.trades},
    )


def _listen(one: _Open, trades: list[Trade]) -> None:
    for trade in trades:
        key = (trade.instrument, trade.trade_key)
        if key not in one.known and _content(trade) in one.contents:
            one.known.add(key)
            one.found.records.trades.append(trade)
            one.found.echoes["trades"] += 1


def _content(trade: Trade) -> tuple[object, ...]:
    return trade.instrument, trade.time_us, trade.price, trade.size, trade.side


def _facts(out: Records) -> Records:
    """Leave out what is no row of market data: sessions and gaps are told by the whole journal, not by one frame."""
    out.sessions, out.gaps, out.outcomes, out.wanted = [], [], [], []
    return out


def _alone(data_dir: Path, entry: Entry, payload: bytes) -> _Yield:
    """Parse a frame that no journal holds any more, with the header of the one session that it can be of."""
    if not payload:
        return _Yield(entry, Records(), Counter(), "it has no bytes, and the journal no longer holds its session")
    journal = data_dir / "journal"
    present = numbers(journal) if journal.is_dir() else []
    candidates = []
    for header in _sessions_of(journal, present, entry):
        normaliser, out = Normaliser(venues.find), Records()
        session = normaliser.open(0, header, entry.received_us * 1000, Records())
        try:
            request, body = Answer.decode(payload)
            rest = isinstance(request, dict) and "channel" in request
        except ValueError:
            rest = False
        if rest:
            session.rest(request, body, entry.received_us * 1000, out)
        else:
            session.frame(payload, entry.received_us * 1000, out)
        if out.rows and not out.quarantine:
            candidates.append(_facts(out))
    if len(candidates) == 1:
        return _Yield(entry, candidates[0], Counter())
    why = "several sessions can have received it" if candidates else "no session that can have received it is known"
    return _Yield(entry, Records(), Counter(), f"the journal no longer holds it, and {why}")


def _sessions_of(journal: Path, present: list[int], entry: Entry) -> Iterator[dict[str, object]]:
    """Yield the headers of the venue's sessions that were open then and are carried into the oldest segment there."""
    if not present:
        return
    begin, end = Position(present[0], 0), Position(present[0] + 1, 0)
    try:
        for record in read(journal, begin, end, on_corrupt=_report):
            if record.kind is not Kind.CARRY:
                return
            if venue_of(record) == entry.venue and record.session <= entry.received_us:
                yield Carried.decode(record.payload).header
    except MissingSegment:
        return


async def place_of(dsn: str, data_dir: Path, entry: Listed, payload: bytes) -> Where | None:
    """Return where an entry's frame lies; None where no journal holds it. Raises `DatabaseError`."""
    received_us = microseconds(entry.received_at)
    for directory in journals(data_dir):
        for record in await received_at(directory, {received_us}, _report, [entry.segment] if entry.segment else []):
            if payload in layouts(record):
                async with connected(dsn) as connection:
                    return await where(connection, directory, record)
    return None
