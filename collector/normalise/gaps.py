"""Finds gaps from the journal: the times at which no session received a stream.

A gap begins when a session ends, at the last time that its line was known to be alive. It ends when a later session has
the stream's subscription acknowledged, or has data of it. Streams that another session receives at that time have no
gap. Gaps within a session (lost sequence numbers) are found by parsers; those still open at its end are ended here too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from collector.model import Gap, GapOutcome, GapState, Instrument, Records, Wanted
from collector.normalise.wanted import Key, Span, WantedStreams
from collector.tables import OF_VENUES
from collector.venues.events import Acknowledged, Event
from collector.venues.header import Covered
from collector.venues.roles import Parser

STOPPED = "stopped"
KILLED = "killed"
DISCONNECT = "disconnect"
DISK_FULL = "disk full"
DISK_FAULT = "disk fault"
DAMAGED = "journal damaged"
RESTORED = "database restored"
UNREADABLE = "not readable"
STARTING = "starting"

# Causes of gaps that end with the next session. Gaps of other causes begin and end within one.
_CAUSES_BETWEEN_SESSIONS = frozenset({STOPPED, KILLED, DISCONNECT, DISK_FULL, DISK_FAULT, UNREADABLE, STARTING})

NOT_RECEIVED_YET = "asked for, and not received yet"

# A list of recent trades closes a gap only if it begins this much before it: the gap's ends are by our clock, and a
# venue may add trades late.
LIST_MARGIN_US = 5_000_000

# Streams of a whole venue. Only streams of instruments have gaps.
VENUE_STREAMS = frozenset(OF_VENUES)


class Coverage:
    """The streams that a session has to receive, by the venue's channel."""

    __slots__ = ("_awaited", "_streams", "_venue", "listed")

    def __init__(self, venue: str, subscriptions: Iterable[Covered]) -> None:
        self._venue = venue
        self._streams: dict[str, tuple[str, tuple[str, ...]]] = {
            channel: (stream, symbols) for channel, stream, symbols in subscriptions if stream not in VENUE_STREAMS
        }
        self._awaited: set[tuple[str, str]] = {
            (channel, symbol) for channel, (_, symbols) in self._streams.items() for symbol in symbols
        }
        self.listed: dict[Key, int] = {}
        """When the newest list of a polled stream was received, in microseconds."""

    def keys(self) -> list[Key]:
        """Everything that this session covers."""
        return [
            (Instrument(self._venue, symbol), stream)
            for stream, symbols in self._streams.values()
            for symbol in symbols
        ]

    def flowing(self) -> set[Key]:
        """The streams that this session receives: acknowledged, or with data, on each of their channels."""
        awaited = {(Instrument(self._venue, symbol), self._streams[channel][0]) for channel, symbol in self._awaited}
        return {key for key in self.keys() if key not in awaited}

    def acknowledged(self, events: Sequence[Event], now_us: int) -> list[tuple[Key, int | None]]:
        """Note an acknowledgement.

        Return the streams that are covered from now on, and since when, if older data came along.
        """
        for event in events:
            if isinstance(event, Acknowledged) and event.since_us is not None and event.channel in self._streams:
                stream = self._streams[event.channel][0]
                self.listed.update(((Instrument(self._venue, symbol), stream), now_us) for symbol in event.symbols)
        return [
            (key, event.since_us)
            for event in events
            if isinstance(event, Acknowledged)
            for symbol in event.symbols
            for key in self._arrived(event.channel, symbol)
        ]

    def seen(self, parser: Parser) -> list[tuple[Key, int | None]]:
        """Note data of a stream; return the streams that are covered from now on."""
        return [
            (key, None)
            for channel, symbol in sorted(self._awaited)
            if symbol in parser.last_seen.get(channel, ())
            for key in self._arrived(channel, symbol)
        ]

    def _arrived(self, channel: str, symbol: str) -> Iterable[Key]:
        if (channel, symbol) in self._awaited:
            self._awaited.discard((channel, symbol))
            yield Instrument(self._venue, symbol), self._streams[channel][0]

    def fork(self) -> Coverage:
        copy = Coverage(self._venue, ())
        copy._streams, copy._awaited, copy.listed = self._streams, set(self._awaited), self.listed.copy()
        return copy


class Gaps:
    """All gaps that are open now."""

    def __init__(self, known: Iterable[Gap] = (), wanted: Iterable[Wanted] = ()) -> None:
        self.wanted = WantedStreams(wanted)
        self._missing: dict[Key, Gap] = {}
        self._within: dict[tuple[Instrument, str, str], Gap] = {}
        for gap in known:
            self._take(gap)

    def _take(self, gap: Gap) -> None:
        if gap.cause in _CAUSES_BETWEEN_SESSIONS:
            self._missing.setdefault(gap[:2], gap)
        else:
            self._within[gap.instrument, gap.stream, gap.cause] = gap

    def __len__(self) -> int:
        return len(self._missing) + len(self._within)

    def begin(
        self,
        keys: Iterable[Key],
        cause: str,
        reason: str,
        last_us: int,
        out: Records,
        listed: Mapping[Key, int] = MappingProxyType({}),
    ) -> None:
        """Begin gaps of these streams: since `last_us`, or since the last list of a polled one.

        Streams that are not wanted any more get no gap.
        """
        for instrument, stream in keys:
            from_us = min(last_us, listed.get((instrument, stream), last_us))
            for key in [key for key in self._within if key[:2] == (instrument, stream)]:
                out.gaps.append(self._within.pop(key)._replace(to_us=from_us))
            if (instrument, stream) not in self._missing and (instrument, stream) in self.wanted:
                gap = Gap(instrument, stream, from_us, None, None, None, cause, reason)
                self._missing[instrument, stream] = gap
                out.gaps.append(gap)

    def lost(
        self, keys: Iterable[Key], cause: str, from_us: int, to_us: int, out: Records, reason: str | None = None
    ) -> None:
        """What was received of these in between is in no table and can no longer be read."""
        for instrument, stream in keys:
            if (instrument, stream) not in self._missing:
                out.gaps.append(Gap(instrument, stream, from_us, to_us, None, None, cause, reason))

    def clock_was_set_back(self, by_us: int, now_us: int, out: Records) -> None:
        """Extend gaps that began before our clock was set back to `now_us`, so that they cover both times.

        It is not known which of the two times was right, so that the venue's history is fetched for both.
        """
        for key, gap in list(self._missing.items()):
            if gap.from_us > now_us:
                began_us = min(gap.from_us + by_us, now_us)
                out.gaps.append(gap._replace(to_us=gap.from_us + now_us - began_us))
                self._missing[key] = gap._replace(from_us=began_us)
                out.gaps.append(self._missing[key])

    def end(self, covered: Iterable[tuple[Key, int | None]], now_us: int, out: Records) -> None:
        """End gaps of these streams, which are received again; with a time: since then."""
        for key, since_us in covered:
            gap = self._missing.pop(key, None)
            if gap is None:
                continue
            if since_us is None:
                out.gaps.append(gap._replace(to_us=max(now_us, gap.from_us)))
            elif since_us > gap.from_us - LIST_MARGIN_US:
                out.gaps.append(gap._replace(to_us=max(min(since_us, now_us), gap.from_us)))
            else:
                out.gaps.append(gap._replace(to_us=max(now_us, gap.from_us)))
                reach = datetime.fromtimestamp(since_us // 1_000_000, UTC)
                reason = f"the venue's list reached back to {reach:%Y-%m-%dT%H:%M:%SZ}"
                reason = f"{gap.reason}; {reason}" if gap.reason else reason
                out.outcomes.append(
                    GapOutcome(
                        gap.instrument, gap.stream, gap.from_us, gap.cause, GapState.REPAIRED, reason, None, now_us
                    )
                )

    def ask(
        self, venue: str, spans: Sequence[Span], now_us: int, flowing: Collection[Key], out: Records, *, whole: bool
    ) -> None:
        """Note the wanted streams of a venue; `whole`: it has no others.

        Streams that do not flow yet have a gap since the time that they are wanted.
        """
        for key, since_us in self.wanted.ask(venue, spans, out):
            if key not in flowing:
                self.begin([key], STARTING, NOT_RECEIVED_YET, since_us, out)
        if whole:
            self.wanted.leave_only(venue, spans, now_us, out)
            over = [key for key in self._missing if key[0].venue == venue and key not in self.wanted]
            self.end([(key, None) for key in over], now_us, out)

    def note(self, found: Sequence[Gap]) -> None:
        """Keep a gap that a parser has found, until it finds its end."""
        for gap in found:
            if gap.to_us is None:
                self._within[gap.instrument, gap.stream, gap.cause] = gap
            else:
                self._within.pop((gap.instrument, gap.stream, gap.cause), None)

    def fork(self) -> Gaps:
        copy = Gaps()
        copy.wanted = self.wanted.fork()
        copy._missing, copy._within = self._missing.copy(), self._within.copy()
        return copy
