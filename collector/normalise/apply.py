"""Applies journal records to the parsers, one by one: used by catching up, recovery and replay."""

from __future__ import annotations

import orjson
import structlog

from collector.journal import Kind, Record
from collector.model import Records
from collector.normalise.entries import (
    Answer,
    Asked,
    Carried,
    ClockSet,
    Closing,
    GapsClosed,
    NotKept,
    ReadSlowly,
    Started,
    decode_note,
)
from collector.normalise.normaliser import Normaliser

log = structlog.get_logger()


def apply(record: Record, normaliser: Normaliser, out: Records) -> None:
    """Apply one journal record. Events are for the feed alone, and are only counted here. Never raises.

    The record's checksum was right, but another version of the program may have written it: what is not understood is
    quarantined.
    """
    try:
        _take(record, normaliser, out)
    except Exception as error:
        reason = f"an entry of the journal is not understood: {type(error).__name__}: {error}"[:500]
        log.exception(
            "journal_entry_not_understood",
            place=tuple(record.position),
            kind=record.kind.name,
            reason=reason,
            remedy="it was put into quarantine, and can be parsed again by a later version",
        )
        normaliser.set_apart(reason, record.session, record.received_ns, record.payload, out)


def tell_orphans(normaliser: Normaliser) -> None:
    """Log how many frames without a session there were since the last call: one line for a whole segment."""
    if normaliser.orphans:
        log.error(
            "frames_without_session",
            segment=normaliser.segment,
            sessions=sorted(normaliser.orphans),
            frames=normaliser.orphans.total(),
            remedy="they were put into quarantine",
        )
        normaliser.orphans.clear()


def _take(record: Record, normaliser: Normaliser, out: Records) -> None:
    if normaliser.orphans and record.position.segment != normaliser.segment:
        tell_orphans(normaliser)
    normaliser.segment = record.position.segment
    session = normaliser.sessions.get(record.session)
    match record.kind:
        case Kind.FRAME if session:
            normaliser.note(session.frame(record.payload, record.received_ns, out))
        case Kind.REST if session:
            request, body = Answer.decode(record.payload)
            normaliser.note(session.rest(request, body, record.received_ns, out))
        case Kind.BEAT if session:
            session.beat(record.received_ns, out)
        case Kind.OPEN:
            _open(record, Carried(orjson.loads(record.payload)), normaliser, out)
        case Kind.CARRY if not session:
            # Reading began after the session, so that its row is in the tables already.
            _open(record, Carried.decode(record.payload), normaliser, Records())
        case Kind.CLOSE:
            reason, cause = Closing.decode(record.payload)
            normaliser.close(record.session, reason, record.received_ns, out, cause)
        case Kind.NOTE:
            _heed(record, normaliser, out)
        case Kind.FRAME | Kind.REST | Kind.BEAT:
            normaliser.orphan(record.received_ns, record.payload, out)
            normaliser.orphans[record.session] += 1


def _open(record: Record, carried: Carried, normaliser: Normaliser, out: Records) -> None:
    normaliser.shown.latest_ns = max(normaliser.shown.latest_ns, carried.clock_latest_ns)
    session = normaliser.open(record.session, carried.header, record.received_ns, out)
    session.frames = carried.frames
    if reason := normaliser.unreadable.get(record.session):
        log.error(
            "session_not_readable",
            venue=session.venue,
            session=record.session,
            reason=reason,
            remedy="its frames were put into quarantine; a version that has this adapter can parse them",
        )


def _heed(record: Record, normaliser: Normaliser, out: Records) -> None:
    session = normaliser.sessions.get(record.session)
    match decode_note(record.payload):
        case Started(venues):
            normaliser.close_all("the daemon was ended without warning", record.received_ns, out)
            if venues is not None:
                normaliser.ask_only(venues, record.received_ns, out)
        case Asked(venue, spans, whole):
            normaliser.ask(venue, spans, record.received_ns, out, whole=whole)
        case ReadSlowly(read_to_ns) if session:
            session.behind_ns = read_to_ns
        case NotKept(size, error) if session:
            session.not_kept(size, error, record.received_ns, out)
        case ClockSet(by_ns):
            normaliser.clock_was_set(by_ns, record.received_ns, out)
        case GapsClosed(outcomes):
            out.outcomes += outcomes
