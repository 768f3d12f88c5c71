"""Turns frames into records, with one parser for each session; the same for live frames, catching up, recovery and
replay.

It uses no socket, no file and no clock. Whatever a parser does with a frame, only records and events come out: a frame
on which a parser raises is quarantined whole, and the count of items stays right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orjson

from collector.model import Quarantined, Records, Session
from collector.normalise.entries import Answer
from collector.normalise.gaps import DAMAGED, DISCONNECT, KILLED, STOPPED, UNREADABLE, Coverage, Gaps
from collector.normalise.shown import Shown
from collector.normalise.unreadable import UNKNOWN_VENUE, UnreadableParser, readable_part, why
from collector.normalise.wanted import Key, Span
from collector.venues.adapter import Adapter
from collector.venues.events import Event
from collector.venues.header import SessionHeader
from collector.venues.roles import Parser

# Where a session seems to begin after it ended, because the clock was set back, it is taken to have begun this long
# before its end.
UNKNOWN_START_NS = 600 * 1_000_000_000


class SessionParser:
    """One session: its parser, and what is known of it."""

    __slots__ = (
        "alive_ns",
        "behind_ns",
        "coverage",
        "frames",
        "gaps",
        "header",
        "opened_ns",
        "parser",
        "session_id",
        "shown",
        "venue",
    )

    def __init__(
        self,
        session_id: int,
        header: SessionHeader,
        opened_ns: int,
        parser: Parser,
        gaps: Gaps,
        coverage: Coverage,
        shown: Shown,
    ) -> None:
        self.session_id = session_id
        self.header = header
        self.opened_ns = opened_ns
        self.parser = parser
        self.venue = header.venue
        self.frames = 0
        self.gaps = gaps
        self.coverage = coverage
        self.shown = shown
        self.alive_ns = opened_ns
        """When the line was last known to be alive."""
        self.behind_ns: int | None = None
        """Up to when everything was read that had come, while the line is read too slowly."""

    @property
    def whole_ns(self) -> int:
        """The time up to which nothing is missing: data that had arrived and was not read is lost with the line."""
        return self.alive_ns if self.behind_ns is None else min(self.alive_ns, self.behind_ns)

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Parse a socket message; never raises."""
        self.frames += 1
        self.alive_ns = received_ns
        known = len(out.gaps)
        shown = self.shown
        if received_ns >= shown.latest_ns:
            shown.latest_ns = received_ns
        elif latest_us := shown.behind(received_ns):
            return self._out_of_time(payload, received_ns, latest_us, out)
        try:
            events = self.parser.frame(payload, received_ns, out)
        except Exception as error:  # noqa: BLE001  a parser's bug costs its frame, never the daemon
            _quarantine_whole(out, self.venue, error, payload, received_ns)
            return ()
        if events:
            self._observe(events, known, received_ns, out)
        return events

    def rest(self, request: Mapping[str, Any], body: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Parse a REST answer; never raises."""
        self.frames += 1
        self.alive_ns = received_ns
        known, candles = len(out.gaps), len(out.candles)
        try:
            events = self.parser.rest(request["channel"], request.get("params", {}), body, received_ns, out)
        except Exception as error:  # noqa: BLE001  as above
            _quarantine_whole(out, self.venue, error, Answer(dict(request), body).encode(), received_ns)
            return ()
        self._keep_order(candles, received_ns, out)
        self._observe(events, known, received_ns, out)
        return events

    def not_kept(self, size: int, error: str, received_ns: int, out: Records) -> None:
        """Count a socket message that could not be stripped.

        Nothing of it is kept, since it may contain private data.
        """
        self.frames += 1
        self.alive_ns = received_ns
        reason = f"{size} bytes not kept: {error} while account data was taken out of them"
        out.quarantine.append(Quarantined(self.venue, None, reason, b"", 1, received_ns // 1000))
        out.items += 1

    def beat(self, received_ns: int, out: Records) -> None:
        """Let a living line's time pass; never raises."""
        self.alive_ns = received_ns
        candles = len(out.candles)
        try:
            self.parser.beat(received_ns, out)
        except Exception as error:  # noqa: BLE001  as above
            _quarantine_whole(out, self.venue, error, b"", received_ns)
        self._keep_order(candles, received_ns, out)
        self.gaps.end(self.coverage.seen(self.parser), received_ns // 1000, out)

    def _out_of_time(self, payload: bytes, received_ns: int, latest_us: int, out: Records) -> Sequence[Event]:
        """Parse a socket message while our clock shows an earlier time than before."""
        known, candles = len(out.gaps), len(out.candles)
        try:
            events = self.parser.frame(payload, received_ns, out)
        except Exception as error:  # noqa: BLE001  as above
            _quarantine_whole(out, self.venue, error, payload, received_ns)
            return ()
        _stamp(out, candles, latest_us)
        if events:
            self._observe(events, known, received_ns, out)
        return events

    def _keep_order(self, first: int, received_ns: int, out: Records) -> None:
        if received_ns >= self.shown.latest_ns:
            self.shown.latest_ns = received_ns
        elif latest_us := self.shown.behind(received_ns):
            _stamp(out, first, latest_us)

    def _observe(self, events: Sequence[Event], known: int, received_ns: int, out: Records) -> None:
        # The first `known` gaps are of earlier frames, and of sessions that ended, which parsers do not know.
        self.gaps.note(out.gaps[known:])
        now_us = received_ns // 1000
        self.gaps.end(self.coverage.acknowledged(events, now_us), now_us, out)

    def describe(self, closed_ns: int | None = None, reason: str | None = None) -> Session:
        """Return the row of `sessions`."""
        return Session(
            session_id=self.session_id,
            venue=self.venue,
            worker=self.header.worker or self.venue,
            url=self.header.url,
            opened_us=self.opened_ns // 1000,
            closed_us=None if closed_ns is None else closed_ns // 1000,
            reason=reason,
            frames=self.frames,
            details=orjson.dumps(
                {"subscriptions": self.header.to_json()["subscriptions"]}
                | {name: self.header.own[name] for name in ("book_numbering",) if name in self.header.own}
            ).decode(),
        )

    def fork(self, gaps: Gaps, shown: Shown) -> SessionParser:
        copy = SessionParser(
            self.session_id, self.header, self.opened_ns, self.parser.fork(), gaps, self.coverage.fork(), shown
        )
        copy.frames, copy.alive_ns, copy.behind_ns = self.frames, self.alive_ns, self.behind_ns
        return copy


class Normaliser:
    """The parsers of all open sessions, driven by journal records."""

    def __init__(self, find_adapter: Callable[[str], Adapter[Any]], gaps: Gaps | None = None) -> None:
        self._find_adapter = find_adapter
        self._gaps = Gaps() if gaps is None else gaps
        self._shown = Shown()
        self.sessions: dict[int, SessionParser] = {}
        self.events: Counter[str] = Counter()
        self.segment = 0
        """The segment that is being read, where the journal is read."""
        self.orphans: Counter[int] = Counter()
        """Frames of sessions that are not known, in that segment."""
        self.unreadable: dict[int, str] = {}
        """Sessions for which there is no parser, and why."""

    def prepare(self, session_id: int, header: SessionHeader, received_ns: int) -> SessionParser:
        """Make the parser of a session that is about to begin; raises where none can be made of its header."""
        parser = self._find_adapter(header.adapter).parser(header)
        return self._session(session_id, header, received_ns, parser)

    def _session(self, session_id: int, header: SessionHeader, received_ns: int, parser: Parser) -> SessionParser:
        coverage = Coverage(header.venue, header.subscriptions)
        return SessionParser(session_id, header, received_ns, parser, self._gaps, coverage, self._shown)

    def begin(self, session: SessionParser, out: Records) -> None:
        """Begin a session."""
        self.sessions[session.session_id] = session
        out.sessions.append(session.describe())

    def open(self, session_id: int, header: Any, received_ns: int, out: Records) -> SessionParser:
        """Begin a session; `header` is the JSON of its OPEN record. Never raises.

        If no parser can be made for it, all frames of the session are quarantined.
        """
        try:
            session = self.prepare(session_id, SessionHeader.from_json(header), received_ns)
        except Exception as error:  # noqa: BLE001  adapters come and go: no session may cost the others
            known, reason = readable_part(header), why(header, error)
            session = self._session(session_id, known, received_ns, UnreadableParser(known.venue, reason))
            self._gaps.begin(session.coverage.keys(), UNREADABLE, reason, received_ns // 1000, out)
            self.unreadable[session_id] = reason
        self.begin(session, out)
        return session

    def close(self, session_id: int, reason: str, received_ns: int, out: Records, cause: str | None = None) -> None:
        """End a session: what it covered is missing since the last time that its line was alive."""
        self._close(session_id, cause or (STOPPED if reason == STOPPED else DISCONNECT), reason, received_ns, out)

    def close_all(self, reason: str, received_ns: int, out: Records) -> None:
        """End all sessions: a new run of the daemon has begun, and the run before did not end them."""
        for session_id in list(self.sessions):
            self._close(session_id, KILLED, reason, received_ns, out)

    def _close(self, session_id: int, cause: str, reason: str, received_ns: int, out: Records) -> None:
        session = self.sessions.pop(session_id, None)
        if session is not None:
            out.sessions.append(session.describe(received_ns, reason))
            keys = session.coverage.keys()
            others = [one.coverage for one in self.sessions.values() if one.venue == session.venue]
            if cause != KILLED and others:
                held = set().union(*(one.flowing() for one in others))
                keys = [key for key in keys if key not in held]
            from_ns = session.whole_ns
            if from_ns > received_ns:  # set back while the daemon did not run: how far is not known
                from_ns = received_ns - UNKNOWN_START_NS
            self._gaps.begin(keys, cause, reason, from_ns // 1000, out, session.coverage.listed)

    def ask(self, venue: str, spans: Sequence[Span], received_ns: int, out: Records, *, whole: bool) -> None:
        """The configuration asks for these streams of a venue, and where `whole` for no others."""
        open_now = [session.coverage for session in self.sessions.values() if session.venue == venue]
        flowing = set[Key]().union(*(coverage.flowing() for coverage in open_now))
        self._gaps.ask(venue, spans, received_ns // 1000, flowing, out, whole=whole)

    def ask_only(self, venues: Collection[str], received_ns: int, out: Records) -> None:
        """The configuration asks for nothing of other venues."""
        for venue in sorted(self._gaps.wanted.venues.difference(venues)):
            self.ask(venue, (), received_ns, out, whole=True)

    def damaged(self, to_ns: int, out: Records) -> None:
        """Begin gaps for records that cannot be read: from the last good one to `to_ns`."""
        for session in self.sessions.values():
            self._gaps.lost(session.coverage.keys(), DAMAGED, session.alive_ns // 1000, to_ns // 1000, out)

    @property
    def gaps(self) -> Gaps:
        """The open gaps; replaced by those of a parser that has read more of the journal."""
        return self._gaps

    @gaps.setter
    def gaps(self, known: Gaps) -> None:
        self._gaps = known
        for session in self.sessions.values():
            session.gaps = known

    @property
    def shown(self) -> Shown:
        """What our clock has shown; replaced by that of a parser that has read more of the journal."""
        return self._shown

    @shown.setter
    def shown(self, known: Shown) -> None:
        self._shown = known
        for session in self.sessions.values():
            session.shown = known

    def clock_was_set(self, by_ns: int, now_ns: int, out: Records) -> None:
        """Adjust what is measured by our clock: it was set to `now_ns`, forward by `by_ns` (negative: back)."""
        if by_ns < 0:
            for session in self.sessions.values():
                if session.alive_ns > now_ns:
                    session.alive_ns += by_ns
                if session.behind_ns is not None and session.behind_ns > now_ns:
                    session.behind_ns += by_ns
            self._gaps.clock_was_set_back(by_ns // 1000, now_ns // 1000, out)

    def note(self, events: Sequence[Event]) -> None:
        """Count events that are not acted on here."""
        for event in events:
            self.events[type(event).__name__] += 1

    def orphan(self, received_ns: int, payload: bytes, out: Records) -> None:
        """Quarantine a frame of an unknown session, as after the loss of a segment."""
        if payload:
            self.set_apart("its session is not known", None, received_ns, payload, out)

    def set_apart(self, reason: str, session_id: int | None, received_ns: int, payload: bytes, out: Records) -> None:
        """Quarantine an entry of the journal that is of no use."""
        session = None if session_id is None else self.sessions.get(session_id)
        venue = session.venue if session else UNKNOWN_VENUE
        out.quarantine.append(Quarantined(venue, None, reason, payload, 1, received_ns // 1000))
        out.items += 1

    def fork(self) -> Normaliser:
        """Return an independent copy with the parsers' present state."""
        copy = Normaliser(self._find_adapter, self._gaps.fork())
        copy._shown = Shown(self._shown.latest_ns)
        copy.sessions = {number: session.fork(copy.gaps, copy.shown) for number, session in self.sessions.items()}
        return copy


def _stamp(out: Records, first: int, latest_us: int) -> None:
    out.candles[first:] = [candle._replace(received_us=latest_us) for candle in out.candles[first:]]


def _quarantine_whole(out: Records, venue: str, error: Exception, payload: bytes, received_ns: int) -> None:
    # Rows that the parser made before it failed are good and are kept. The items are counted again from them,
    # since the parser may have counted more or fewer.
    reason = f"parser failed: {type(error).__name__}: {error}"[:500]
    out.quarantine.append(Quarantined(venue, None, reason, payload, 1, received_ns // 1000))
    out.items = out.rows + sum(bad.items for bad in out.quarantine)
