"""The sessions that an adapter is tried on: of its own specimens, or of a journal that was recorded with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from collector.errors import CollectorError
from collector.journal import Kind, read
from collector.normalise.entries import Answer, Carried
from collector.venues.adapter import Adapter, Venue
from collector.venues.header import SessionHeader
from collector.venues.plan import Plan
from collector.venues.rest import RestAnswer
from collector.venues.specimens import Answered, Frame, Specimen

# Of a session in a journal no more are taken; a venue repeats itself.
MOST_ENTRIES = 3_000
# When specimens are taken to have been received: November 2023.
SPECIMEN_NS = 1_700_000_000_000_000_000
SPACING_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Received:
    """Something that a session received, and when."""

    received_ns: int
    what: Specimen


@dataclass(slots=True)
class TriedSession:
    """A session's header as JSON, and what it received in order. `past`: it is one that reads history."""

    header: Mapping[str, Any]
    entries: list[Received] = field(default_factory=list)
    past: bool = False


class NothingToTryError(CollectorError):
    """There is neither a specimen nor a journal with sessions of the adapter."""


def of_specimens(adapter: Adapter[Any], venue: Venue[Any], plan: Plan) -> list[TriedSession]:
    """Return a session of the plan's first line and one of history, with the adapter's specimens."""
    specimens = adapter.specimens()
    if specimens is None:
        return []
    line = plan.lines[0]
    sessions = [TriedSession(line.session_header().to_json(), _timed(specimens.sent))]
    if specimens.past:
        past = SessionHeader(venue.name, adapter.name, own=venue.history_header(), worker=f"{venue.name}-backfill")
        sessions.append(TriedSession(past.to_json(), _timed(specimens.past), past=True))
    return sessions


def _timed(specimens: Sequence[Specimen]) -> list[Received]:
    return [Received(SPECIMEN_NS + number * SPACING_NS, one) for number, one in enumerate(specimens)]


def discovered(venue: Venue[Any], answers: Mapping[str, bytes]) -> Plan:
    """Run a venue's discovery on these answers, by the channel of the call.

    Raises:
        NothingToTryError: a call is made that has no answer.

    """
    steps = venue.discover()
    try:
        call = next(steps)
        while True:
            if call.channel not in answers:
                raise NothingToTryError(f"discovery asks for {call.channel!r}, of which there is no specimen")
            answer = RestAnswer(200, {}, answers[call.channel], SPECIMEN_NS)
            error = venue.failure(call, answer)
            call = steps.send(answer) if error is None else steps.throw(error)
    except StopIteration as done:
        plan: Plan = done.value
        return plan


def of_journal(adapter: Adapter[Any], directory: Path) -> list[TriedSession]:
    """Return what the sessions of this adapter received that a journal holds."""
    sessions: dict[int, TriedSession] = {}
    for record in read(directory):
        if record.kind in (Kind.OPEN, Kind.CARRY):
            header = orjson.loads(record.payload) if record.kind is Kind.OPEN else Carried.decode(record.payload).header
            if isinstance(header, dict) and header.get("adapter") == adapter.name:
                sessions.setdefault(record.session, TriedSession(header, past=header.get("symbols") is None))
        elif (session := sessions.get(record.session)) is not None and len(session.entries) < MOST_ENTRIES:
            if record.kind is Kind.FRAME:
                session.entries.append(Received(record.received_ns, Frame(record.payload)))
            elif record.kind is Kind.REST:
                answer = Answer.decode(record.payload)
                told = Answered(answer.request["channel"], answer.body, answer.request.get("params", {}))
                session.entries.append(Received(record.received_ns, told))
    return [session for session in sessions.values() if session.entries]
