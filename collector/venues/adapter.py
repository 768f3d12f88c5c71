"""The seam between a venue and everything else: what a venue's folder provides and what it can count on.

A folder below `collector/venues/` is one adapter. Its package exports `ADAPTER`, an object that meets `Adapter`, and
is found by its name (`collector.venues.find`). Everything in it is sans-I/O: no sockets, no clock, no randomness that
was not passed in. The feed (`collector/feed/`) does the talking:

    discover    a generator of REST calls that returns a `Plan`: which connections and polls, which subscriptions
    parser      bytes to records and events, one for each session, built from the session's header alone
    conversation    a socket's client side: events and time to messages to send (subscribing, proving, resubscribing)
    polling     a polled venue's client side: time and answers to the next REST call
    history     a generator of REST calls that page through the past of one instrument
    minutes     the same for one-minute bars of several, which an audit compares with their trades

Generators yield a `RestCall` and are sent its `RestAnswer`; an answer that means failure is thrown into them as a
`VenueError`. `AdapterDefaults` holds what most venues have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.audit import BookRows, CandleSums, MinuteCalls
from collector.venues.header import SessionHeader
from collector.venues.plan import ConnectionPlan, Limits, PollPlan
from collector.venues.rest import Discovery, History, RestAnswer, RestCall
from collector.venues.roles import Conversation, Parser, Polling


class VenueSettings(BaseModel):
    """The settings that every venue has; each adapter's own settings extend them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    adapter: str | None = Field(None, description="The protocol to speak; the section's own name when left out.")
    enabled: bool = Field(True, description="false keeps the section but does not start its worker.")

    @property
    def polled_per_minute(self) -> float:
        """Of how many instruments trades are asked for in a minute; 0 where they come by themselves."""
        return 0.0

    def periods_of(self, symbol: str) -> tuple[str, ...]:
        """Return the candle periods that are recorded of an instrument; every venue that has candles names them so."""
        return tuple(getattr(self, "candles", ()))


class Adapter(Protocol):
    """A venue's protocol. `venue` is the configured name (`fmfw`, `hitbtc`, ..), `settings` its validated section."""

    name: ClassVar[str]
    settings: ClassVar[type[VenueSettings]]

    def limits(self, settings: Any) -> Limits: ...

    def named(self, settings: Any) -> Mapping[str, Sequence[str]]:
        """Return the symbols that the settings name, by stream, as far as that is certain without asking the venue.

        Symbols are spelt like those of the plan's subscriptions. Patterns are left out, and streams of which the venue
        may turn out not to have any for a symbol.
        """

    def discover(self, venue: str, settings: Any) -> Discovery: ...

    def parser(self, header: SessionHeader) -> Parser: ...

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        """Return the URL and the headers for the next attempt to connect."""

    @property
    def strip(self) -> Callable[[bytes], bytes | None] | None:
        """Takes out of a socket message what must not be kept (account data), before anything sees it.

        What it returns is journalled and parsed; None drops the message. The property is None where a venue sends
        nothing such.
        """

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation: ...

    def polling(self, plan: PollPlan, settings: Any, parser: Parser, random: Random) -> Polling: ...

    historic: ClassVar[frozenset[str]]
    """Streams of which the venue keeps a past that `history` can page through: their gaps can be repaired."""
    partly_historic: ClassVar[frozenset[str]]
    """Streams of which `history` gets back only a part, so that a gap stays one: fundings of all that futures tell."""
    history_page: ClassVar[int]
    """Items that one answer of `history` holds at the most, for estimates."""

    candle_sums: ClassVar[CandleSums]
    """What an audit may compare of candles and trades."""
    minute_calls: ClassVar[MinuteCalls]
    """How an audit may fetch candles to compare, where none are recorded."""
    book_rows: ClassVar[BookRows]
    """How an audit may rebuild books from rows."""

    def history_header(self, settings: Any) -> Mapping[str, Any]:
        """Return what the header of a session that reads history holds beside the usual."""

    def whole_past(self, settings: Any, instrument: Instrument, stream: str) -> bool:
        """Whether `history` gets back all of what was recorded of a stream; else a gap stays one, however filled."""

    def history(
        self, venue: str, settings: Any, instrument: Instrument, stream: str, from_us: int, to_us: int
    ) -> History:
        """Page through the past, both ends included.

        VenueError, permanent, where the venue keeps none of this stream, or none that reaches back so far.
        """

    def minutes(
        self, venue: str, settings: Any, instruments: Sequence[Instrument], from_us: int, to_us: int
    ) -> History:
        """Ask for the one-minute bars that open between two times, both included, whatever periods the settings name.

        No more instruments than `minute_calls` tells for that span. VenueError, permanent, where the venue has no bars
        of one of them, or none that reach back so far.
        """

    def failure(self, venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
        """Tell whether an answer means failure, and whether trying again can help. The one place that decides it."""


class AdapterDefaults:
    """What most venues have in common: a address, nothing to hide, nothing to poll, no past unless they say so."""

    historic: ClassVar[frozenset[str]] = frozenset()
    partly_historic: ClassVar[frozenset[str]] = frozenset()
    history_page: ClassVar[int] = 1000
    candle_sums: ClassVar[CandleSums] = CandleSums(reason="nothing is known of what its candles are made of")
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls()
    book_rows: ClassVar[BookRows] = BookRows.WHOLE

    @property
    def strip(self) -> Callable[[bytes], bytes | None] | None:
        return None

    def named(self, settings: Any) -> Mapping[str, Sequence[str]]:
        return {}

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        return plan.url, {}

    def history_header(self, settings: Any) -> Mapping[str, Any]:
        return {}

    def whole_past(self, settings: Any, instrument: Instrument, stream: str) -> bool:
        return stream in self.historic

    def minutes(
        self, venue: str, settings: Any, instruments: Sequence[Instrument], from_us: int, to_us: int
    ) -> History:
        raise AssertionError("this venue has no minutes to be asked for")

    def polling(self, plan: PollPlan, settings: Any, parser: Parser, random: Random) -> Polling:
        raise AssertionError("this venue's plans have no polls")
