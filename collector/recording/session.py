"""A live session: each frame goes to the journal first and is then parsed into the current batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from collector.feed.intake import NotStrippedError
from collector.journal import Kind
from collector.model import Records
from collector.normalise.entries import Answer, Closing, NotKept, ReadSlowly, encode_note
from collector.normalise.normaliser import SessionParser
from collector.venues.events import Event
from collector.venues.rest import RestAnswer, RestCall
from collector.venues.roles import Parser


class Batching(Protocol):
    """What a session needs of the intake."""

    out: Records
    """The current batch's records."""

    def append(self, session_id: int, kind: Kind, received_ns: int, payload: bytes) -> None:
        """Write an entry to the journal's buffer."""

    def cut_if_large(self) -> None:
        """End the current batch if it has enough rows."""

    def now_ns(self) -> int:
        """Return the wall clock's time."""

    def closed(self, session_id: int, reason: str, received_ns: int, cause: str | None) -> None:
        """A session has ended."""


class JournalledSession:
    """Implements `collector.feed.intake.LiveSession`."""

    __slots__ = ("_append", "_intake", "_parse", "_session")

    def __init__(self, intake: Batching, session: SessionParser) -> None:
        self._intake = intake
        self._session = session
        self._parse = session.frame
        self._append = intake.append

    @property
    def parser(self) -> Parser:
        return self._session.parser

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        intake = self._intake
        self._append(self._session.session_id, Kind.FRAME, received_ns, payload)
        events = self._parse(payload, received_ns, intake.out)
        if not self._session.frames & 127:
            intake.cut_if_large()
        return events

    def rest(self, call: RestCall, answer: RestAnswer) -> Sequence[Event]:
        request = {"channel": call.channel, "params": call.told, "status": answer.status}
        self._append(self._session.session_id, Kind.REST, answer.received_ns, Answer(request, answer.body).encode())
        events = self._session.rest(request, answer.body, answer.received_ns, self._intake.out)
        self._intake.cut_if_large()
        return events

    def beat(self, received_ns: int) -> None:
        self._append(self._session.session_id, Kind.BEAT, received_ns, b"")
        self._session.beat(received_ns, self._intake.out)

    def behind(self, read_to_ns: int | None) -> None:
        note = encode_note(ReadSlowly(read_to_ns))
        self._append(self._session.session_id, Kind.NOTE, self._intake.now_ns(), note)
        self._session.behind_ns = read_to_ns

    def close(self, reason: str, cause: str | None = None) -> None:
        received_ns = self._intake.now_ns()
        self._append(self._session.session_id, Kind.CLOSE, received_ns, Closing(reason, cause).encode())
        self._intake.closed(self._session.session_id, reason, received_ns, cause)


class StrippedSession(JournalledSession):
    """A session whose messages contain private data, which is removed before they go to the journal."""

    __slots__ = ("_strip",)

    def __init__(self, intake: Batching, session: SessionParser, strip: Callable[[bytes], bytes | None]) -> None:
        super().__init__(intake, session)
        self._strip = strip

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        try:
            kept = self._strip(payload)
        except Exception as error:
            self._not_kept(len(payload), type(error).__name__, received_ns)
            raise NotStrippedError from error
        return () if kept is None else super().frame(kept, received_ns)

    def _not_kept(self, size: int, error: str, received_ns: int) -> None:
        # Not the error's text, which may quote the private data.
        note = encode_note(NotKept(size, error))
        self._append(self._session.session_id, Kind.NOTE, received_ns, note)
        self._session.not_kept(size, error, received_ns, self._intake.out)
