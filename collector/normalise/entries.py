"""What the payloads of journal entries mean, for writing and for reading. The journal itself never looks into them.

| kind of entry | its payload |
|---|---|
| FRAME | a socket message, unchanged |
| REST | `Answer`: a line of JSON that names the request, then the body, unchanged |
| OPEN | the header of a session, as JSON |
| CARRY | `Carried`: the same header, at the beginning of a segment |
| BEAT | nothing; it means that the line was alive |
| CLOSE | `Closing` |
| NOTE | one of the notes below; others are ignored |

Journals are read by every later version: fields are added, never renamed, and fields that earlier versions did not
write have defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from collector.model import GapOutcome, GapState, Instrument
from collector.normalise.wanted import Span
from collector.venues.header import SessionHeader

_EVENT: Final = "event"
_FRAMES: Final = "frames"
_CLOCK_LATEST_NS: Final = "clock_latest_ns"


class Answer(NamedTuple):
    """An answer over REST; `request` has its `channel`, `params` and, but for old journals, the HTTP `status`."""

    request: dict[str, Any]
    body: bytes

    def encode(self) -> bytes:
        return orjson.dumps(self.request) + b"\n" + self.body

    @classmethod
    def decode(cls, payload: bytes) -> Answer:
        request, _, body = payload.partition(b"\n")
        return cls(orjson.loads(request), body)


def encode_header(header: SessionHeader) -> bytes:
    """Lay out the OPEN of a session."""
    return orjson.dumps(header.to_json())


class Carried(NamedTuple):
    """A session that was open when a segment began. In a damaged journal `header` may be no JSON object.

    `frames`: how many frames it had received before. `clock_latest_ns`: the latest time that our clock had shown, if it
    was set back since; else 0.
    """

    header: Any
    frames: int = 0
    clock_latest_ns: int = 0

    def encode(self) -> bytes:
        latest = {_CLOCK_LATEST_NS: self.clock_latest_ns} if self.clock_latest_ns else {}
        return orjson.dumps({**self.header, _FRAMES: self.frames, **latest})

    @classmethod
    def decode(cls, payload: bytes) -> Carried:
        header = orjson.loads(payload)
        if not isinstance(header, dict):
            return cls(header)
        return cls(header, header.pop(_FRAMES, 0), header.pop(_CLOCK_LATEST_NS, 0))


class Closing(NamedTuple):
    """The end of a session; `cause` is the cause of its gap, if it cannot be derived from `reason`."""

    reason: str
    cause: str | None = None

    def encode(self) -> bytes:
        return orjson.dumps({"reason": self.reason} if self.cause is None else self._asdict())

    @classmethod
    def decode(cls, payload: bytes) -> Closing:
        closing = orjson.loads(payload)
        return cls(closing["reason"], closing.get("cause"))


class Started(NamedTuple):
    """A daemon began: sessions that are still open by then were never closed. `venues`: those that are configured."""

    venues: Sequence[str] | None = None


class Asked(NamedTuple):
    """The streams that the configuration wants of a venue; `whole`: the list is complete."""

    venue: str
    spans: Sequence[Span]
    whole: bool


class ReadSlowly(NamedTuple):
    """Up to when the session's line was read while more data waits; None: all of it is read again."""

    read_to_ns: int | None


class NotKept(NamedTuple):
    """A message of the session from which account data could not be taken out: its size, and the error's name."""

    size: int
    error: str


class ClockSet(NamedTuple):
    """Our clock was set forward, or back."""

    by_ns: int


class GapsClosed(NamedTuple):
    """What became of gaps, at the end of their repair."""

    outcomes: Sequence[GapOutcome]


Note = Started | Asked | ReadSlowly | NotKept | ClockSet | GapsClosed


def encode_note(note: Note) -> bytes:
    """Lay out a NOTE."""
    match note:
        case Started(venues):
            return orjson.dumps({_EVENT: "started", **({} if venues is None else {"venues": sorted(venues)})})
        case Asked(venue, spans, whole):
            return orjson.dumps({_EVENT: "wanted", "venue": venue, "spans": spans, "whole": whole})
        case ReadSlowly(read_to_ns):
            return orjson.dumps({_EVENT: "behind", "read_to_ns": read_to_ns})
        case NotKept(size, error):
            return orjson.dumps({_EVENT: "not kept", "bytes": size, "error": error})
        case ClockSet(by_ns):
            return orjson.dumps({_EVENT: "clock", "by_ns": by_ns})
        case GapsClosed(outcomes):
            rows = [[*outcome.instrument, *outcome[1:]] for outcome in outcomes]
            return orjson.dumps({_EVENT: "gaps closed", "outcomes": rows})


def decode_note(payload: bytes) -> Note | None:
    """Read a NOTE; None for the journal's own notes and for those of later versions."""
    note = orjson.loads(payload)
    match note.get(_EVENT):
        case "started":
            return Started(note.get("venues"))
        case "wanted":
            return Asked(note["venue"], [_span(row) for row in note["spans"]], note["whole"])
        case "behind":
            return ReadSlowly(note["read_to_ns"])
        case "not kept":
            return NotKept(note["bytes"], note["error"])
        case "clock":
            return ClockSet(note["by_ns"])
        case "gaps closed":
            return GapsClosed([_outcome(row) for row in note["outcomes"]])
    return None


def _span(row: Sequence[Any]) -> Span:
    since_ns, stream, symbols = row
    return since_ns, stream, symbols


def _outcome(row: Sequence[Any]) -> GapOutcome:
    venue, symbol, stream, from_us, cause, state, *rest = row
    return GapOutcome(Instrument(venue, symbol), stream, from_us, cause, GapState(state), *rest)
