"""The seam between a venue and everything else: what a venue's folder provides and what it can count on.

A package is one adapter: a folder below `collector/venues/`, or one of another distribution that names it in the group
of entry points `collector.venues`. It has an object `ADAPTER`, made of an `Adapter`, and is found by its name
(`collector.venues.find`). Everything in it is sans-I/O: no sockets, no clock, no randomness that was not passed in. The
feed (`collector/feed/`) does the talking.

    Adapter     the protocol: its settings, its parsers, what holds of every venue that speaks it
    Venue       one configured venue; owns what its lines share, such as a token
      discover      a generator of REST calls that returns a `Plan`: which connections and polls, which subscriptions
      conversation  a socket's client side: events and time to messages to send (subscribing, proving, resubscribing)
      polling       a polled venue's client side: time and answers to the next REST call
      history       a generator of REST calls that page through the past of one instrument
      minutes       the same for one-minute bars of several, which an audit compares with their trades
    parser      bytes to records and events, one for each session, built from the session's header alone

What a venue does not have it leaves out: the base classes have an answer for it. `docs/new-venue.md` is a walk through
the making of one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from collector.errors import VenueError
from collector.model import Instrument
from collector.venues.audit import BookRows, CandleSums, MinuteCalls
from collector.venues.header import SessionHeader
from collector.venues.kit.failures import usual_failure
from collector.venues.plan import ConnectionPlan, Limits, PollPlan
from collector.venues.rest import Discovery, History, RestAnswer, RestCall
from collector.venues.roles import Conversation, Parser, Polling
from collector.venues.specimens import Specimens


class VenueSettings(BaseModel):
    """The settings that every venue has; each adapter's own settings extend them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    old_keys: ClassVar[Mapping[str, str]] = {}
    """Today's names of keys that had other ones in the last release; these are still read, with a warning."""

    adapter: str | None = Field(None, description="The protocol to speak; the section's own name when left out.")
    enabled: bool = Field(True, description="false keeps the section but does not start its worker.")

    @property
    def polled_per_minute(self) -> float:
        """Of how many instruments trades are asked for in a minute; 0 where they come by themselves."""
        return 0.0

    def periods_of(self, symbol: str) -> tuple[str, ...]:
        """Return the candle periods that are recorded of an instrument; every venue that has candles names them so."""
        return tuple(getattr(self, "candles", ()))


S = TypeVar("S", bound=VenueSettings)


class Adapter(ABC, Generic[S]):
    """A venue's protocol. What it says of itself holds of every venue that speaks it."""

    name: ClassVar[str]
    """What `adapter` in the configuration names; also the name of the entry point."""
    settings: ClassVar[type[VenueSettings]]
    venue: ClassVar[type[Venue[Any]]]

    historic: ClassVar[frozenset[str]] = frozenset()
    """Streams of which the venue keeps a past that `history` can page through: their gaps can be repaired."""
    partly_historic: ClassVar[frozenset[str]] = frozenset()
    """Streams of which `history` gets back only a part, so that a gap stays one: fundings of all that futures tell."""
    history_page: ClassVar[int] = 1000
    """Items that one answer of `history` holds at the most, for estimates."""

    candle_sums: ClassVar[CandleSums] = CandleSums(reason="nothing is known of what its candles are made of")
    """What an audit may compare of candles and trades."""
    minute_calls: ClassVar[MinuteCalls] = MinuteCalls()
    """How an audit may fetch candles to compare, where none are recorded."""
    book_rows: ClassVar[BookRows] = BookRows.WHOLE
    """How an audit may rebuild books from rows."""

    def begin(self, name: str, settings: S) -> Venue[S]:
        """Return a configured venue; `name` is its name in the configuration (`fmfw`, `hitbtc`, ..)."""
        return self.venue(self, name, settings)

    @abstractmethod
    def parser(self, header: SessionHeader) -> Parser:
        """Return the parser of a session; raises where the header does not hold what it needs."""

    def specimens(self) -> Specimens | None:
        """Return what `python -m collector.venues.conformance` tries the adapter on; None where a journal has to do."""
        return None


class Venue(ABC, Generic[S]):
    """One configured venue. Its lines, repairs and audits share it, and so what it holds: a token, a list."""

    def __init__(self, adapter: Adapter[S], name: str, settings: S) -> None:
        self.adapter = adapter
        self.name = name
        self.settings = settings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def apply(self, settings: S) -> None:
        """Go by other settings from now on; the limits are the same."""
        self.settings = settings

    def limits(self) -> Limits:
        """Return what the venue allows."""
        return Limits()

    def named(self) -> Mapping[str, Sequence[str]]:
        """Return the symbols that the settings name, by stream, as far as that is certain without asking the venue.

        Symbols are spelt like those of the plan's subscriptions. Patterns are left out, and streams of which the venue
        may turn out not to have any for a symbol.
        """
        return {}

    @abstractmethod
    def discover(self) -> Discovery:
        """Find out what to connect to and what to subscribe."""

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        """Return the URL and the headers for the next attempt to connect."""
        return plan.url, {}

    @property
    def strip(self) -> Callable[[bytes], bytes | None] | None:
        """Takes out of a socket message what must not be kept (account data), before anything sees it.

        What it returns is journalled and parsed; None drops the message. The property is None where a venue sends
        nothing such.
        """
        return None

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> Conversation:
        """Return the client's side of a connection that was just made."""
        raise AssertionError(f"the plans of {self.adapter.name} have no connections")

    def polling(self, plan: PollPlan, parser: Parser, random: Random) -> Polling:
        """Return the client's side of a poll plan."""
        raise AssertionError(f"the plans of {self.adapter.name} have no polls")

    def history_header(self) -> Mapping[str, Any]:
        """Return what a parser of history needs of the header, beside what every header has."""
        return {}

    def whole_past(self, instrument: Instrument, stream: str) -> bool:
        """Whether `history` gets back all of what was recorded of a stream; else a gap stays one, however filled."""
        return stream in self.adapter.historic

    def history(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> History:
        """Page through the past, both ends included.

        VenueError, permanent, where the venue keeps none of this stream, or none that reaches back so far.
        """
        raise AssertionError(f"{self.adapter.name} keeps no past")

    def minutes(self, instruments: Sequence[Instrument], from_us: int, to_us: int) -> History:
        """Ask for the one-minute bars that open between two times, both included, whatever periods the settings name.

        No more instruments than `minute_calls` tells for that span. VenueError, permanent, where the venue has no bars
        of one of them, or none that reach back so far.
        """
        raise AssertionError(f"{self.adapter.name} has no minutes to be asked for")

    @staticmethod
    def judge(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
        """Return what went wrong in an answer, None where nothing did; `venue` is its name in the configuration.

        A venue sets this to its own function where the status of an answer does not tell.
        """
        return usual_failure(venue, call, answer)

    def failure(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
        """Tell whether an answer means failure, and whether trying again can help. The one place that decides it."""
        return self.judge(self.name, call, answer)
