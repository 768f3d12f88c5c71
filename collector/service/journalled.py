"""Journal records to records: the way of catch-up, recovery and replay, through the same parsers as live frames."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import orjson
import structlog

from collector.journal import Kind, Record
from collector.model import GapOutcome, Instrument, Records
from collector.normalise.normaliser import Normaliser, split_rest
from collector.normalise.wanted import Span

log = structlog.get_logger()

STARTED = "started"
"""The NOTE of a daemon's start: sessions that are still open by then were never closed. `venues`: those that are
configured; earlier versions did not tell."""

WANTED = "wanted"
"""The NOTE of what the configuration asks of a `venue`: `spans` (see `collector.normalise.wanted`), and whether that is
the `whole` of it."""

BEHIND = "behind"
"""The NOTE of a session whose line is read too slowly; `read_to_ns`: up to when it was read, null when it is again."""

NOT_KEPT = "not kept"
"""The NOTE of a message that could not be stripped: its size in `bytes`, and the name of the `error`."""

CARRIED_FRAMES = "frames"
"""In a CARRY: how many frames of the session came before."""

CARRIED_LATEST = "clock_latest_ns"
"""In a CARRY: the latest time that our clock had shown, where it was set back since."""

CLOCK = "clock"
"""The NOTE of a clock that was set: `by_ns` forward, or back."""

GAPS_CLOSED = "gaps closed"
"""The NOTE of a repair's end; `outcomes`: lists of venue, symbol and the other fields of `GapOutcome`."""


def apply(record: Record, normaliser: Normaliser, out: Records) -> None:
    """Let one journal record take its effect; events are for the feed alone and are only counted. Never raises.

    Its bytes are those that were written, by this program or by another version of it: what is not understood goes to
    quarantine.
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
            remedy="it is in quarantine",
        )
        normaliser.set_apart(reason, record.session, record.received_ns, record.payload, out)


def _take(record: Record, normaliser: Normaliser, out: Records) -> None:
    if normaliser.orphans and record.position.segment != normaliser.segment:
        tell_orphans(normaliser)
    normaliser.segment = record.position.segment
    session = normaliser.sessions.get(record.session)
    match record.kind:
        case Kind.FRAME if session:
            normaliser.note(session.frame(record.payload, record.received_ns, out))
        case Kind.REST if session:
            request, body = split_rest(record.payload)
            normaliser.note(session.rest(request, body, record.received_ns, out))
        case Kind.BEAT if session:
            session.beat(record.received_ns, out)
        case Kind.OPEN:
            _open(record, normaliser, out)
        case Kind.CARRY if not session:
            # Reading began after the session did; its row is in the tables since then.
            _open(record, normaliser, Records())
        case Kind.CLOSE:
            end = orjson.loads(record.payload)
            normaliser.close(record.session, end["reason"], record.received_ns, out, end.get("cause"))
        case Kind.NOTE:
            _note(record, normaliser, out)
        case Kind.FRAME | Kind.REST | Kind.BEAT:
            normaliser.orphan(record.received_ns, record.payload, out)
            normaliser.orphans[record.session] += 1


def _open(record: Record, normaliser: Normaliser, out: Records) -> None:
    header = orjson.loads(record.payload)
    carried = header if record.kind is Kind.CARRY and isinstance(header, dict) else {}
    frames = carried.pop(CARRIED_FRAMES, 0)
    normaliser.shown.latest_ns = max(normaliser.shown.latest_ns, carried.pop(CARRIED_LATEST, 0))
    session = normaliser.open(record.session, header, record.received_ns, out)
    session.frames = frames
    if reason := normaliser.unreadable.get(record.session):
        log.error("session_not_readable", venue=session.venue, session=record.session, reason=reason,
                  remedy="its frames are in quarantine, to be parsed by a program that can")  # fmt: skip


def closed_gaps(outcomes: Sequence[GapOutcome]) -> bytes:
    """Lay out the NOTE of what became of gaps."""
    return orjson.dumps({"event": GAPS_CLOSED, "outcomes": [[*one.instrument, *one[1:]] for one in outcomes]})


def wanted_streams(venue: str, spans: Sequence[Span], *, whole: bool) -> bytes:
    """Lay out the NOTE of what the configuration asks for."""
    return orjson.dumps({"event": WANTED, "venue": venue, "spans": spans, "whole": whole})


def started(venues: Collection[str]) -> bytes:
    """Lay out the NOTE of a start."""
    return orjson.dumps({"event": STARTED, "venues": sorted(venues)})


def tell_orphans(normaliser: Normaliser) -> None:
    """Tell of the frames without a session since the last time: one line for all of a segment."""
    if normaliser.orphans:
        log.error("frames_without_session", segment=normaliser.segment, sessions=sorted(normaliser.orphans),
                  frames=normaliser.orphans.total(), remedy="they are in quarantine")  # fmt: skip
        normaliser.orphans.clear()


def _note(record: Record, normaliser: Normaliser, out: Records) -> None:
    note = orjson.loads(record.payload)
    session = normaliser.sessions.get(record.session)
    match note.get("event"):
        case event if event == STARTED:
            normaliser.close_all("the daemon was ended without warning", record.received_ns, out)
            if "venues" in note:
                normaliser.ask_only(note["venues"], record.received_ns, out)
        case event if event == WANTED:
            normaliser.ask(note["venue"], note["spans"], record.received_ns, out, whole=note["whole"])
        case event if event == BEHIND and session:
            session.behind_ns = note["read_to_ns"]
        case event if event == NOT_KEPT and session:
            session.not_kept(note["bytes"], note["error"], record.received_ns, out)
        case event if event == CLOCK:
            normaliser.clock_was_set(note["by_ns"], record.received_ns, out)
        case event if event == GAPS_CLOSED:
            out.outcomes += [GapOutcome(Instrument(venue, symbol), *rest) for venue, symbol, *rest in note["outcomes"]]
