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

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from collector.errors import VenueError
from collector.model import Instrument, InstrumentSpec, Records


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


@dataclass(frozen=True, slots=True)
class Limits:
    """What the venue allows one client address, for all connections together."""

    rest_per_second: float
    messages_per_second: float
    connections: int
    silence_seconds: float
    """With no frame at all, pings included, for so long the connection counts as dead."""
    ping_seconds: float
    """How often the feed sends a WebSocket ping of its own."""
    first_data_seconds: float = 30.0
    """A prompt subscription without data for so long is subscribed again."""
    max_message_bytes: int = 64 * 1024 * 1024
    """A socket message that is larger, unpacked, ends its connection."""
    max_answer_bytes: int = 32 * 1024 * 1024
    """A REST answer that is larger, packed or unpacked, is a failure. The largest that venues were seen to give, a
    week of minute bars or a page of all assets, are ten times smaller."""
    quotas: Mapping[str, float] = field(default_factory=dict)
    """Calls a second of each `RestCall.quota` that has a limit of its own, beside the venue's."""


# -- REST ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RestCall:
    """A request to make. `channel` is the venue's word for what comes back; the parser is given it with the body."""

    channel: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    record: bool = True
    """Whether the answer is market data, so that it goes to the journal. Never for logins or account data."""
    quota: str = ""
    """What the venue counts the call under, where it counts several things apart: a 429 holds only that one back."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What the parser has to know beside `params` to read the answer; journalled with them, never sent."""

    @property
    def told(self) -> dict[str, str]:
        """What of the request is journalled with its answer, and given to the parser as its params."""
        return {**self.params, **self.notes}


class RestAnswer(NamedTuple):
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_ns: int


# -- what an audit may compare ------------------------------------------------------------------------------------


class CandleSums(NamedTuple):
    """What of a closed one-minute candle (series `trade`) has to equal the trades of its minute."""

    volume: bool = False
    """Its volume is the sum of their sizes, in the same unit."""
    trades: bool = False
    """Its number of trades, where it has one, is how many there are."""
    prices: bool = False
    """Open, high, low and close are prices of theirs."""
    reason: str = ""
    """Why nothing of it can be compared, where nothing can."""

    @property
    def comparable(self) -> bool:
        """Whether there is anything to compare."""
        return self.volume or self.trades or self.prices


class MinuteCalls(NamedTuple):
    """How much `Adapter.minutes` gets with one call: bars of so many instruments, and so many bars in all."""

    instruments: int = 0
    """None where a venue has no bars to give, or wants money for them."""
    bars: int = 0
    quota: str = ""
    """What the calls are counted under, where they have a limit of their own; see `Limits.quotas`."""

    def at_once(self, minutes: int) -> int:
        """Return of how many instruments one call can tell so many minutes; of one, where that takes several."""
        return max(1, min(self.instruments, self.bars // max(1, minutes)))


class BookRows(StrEnum):
    """What rows of books have to do with each other."""

    WHOLE = "whole"  # each is a whole book, or cannot be laid over another
    NUMBERED = "numbered"  # changes are numbered without a hole
    LINKED = "linked"  # only changes that follow the last one are rows, whatever their numbers; best levels only


# -- what to connect to -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subscription:
    """Symbols wanted on one of the venue's channels."""

    channel: str
    stream: str
    symbols: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    prompt: bool = True
    """The venue sends data straight after its acknowledgement, so that silence there means trouble and not quiet."""


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """One connection. `header` is all that `Adapter.parser` needs; it is JSON and opens the session in the journal."""

    name: str
    url: str = field(repr=False)  # some venues want a token in it
    subscriptions: tuple[Subscription, ...]
    header: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PollPlan:
    """Instruments that are asked for again and again over REST. `header`: see `ConnectionPlan`.

    `lanes` are queues that do not wait for each other (a venue's methods with a quota each, say).
    """

    name: str
    subscriptions: tuple[Subscription, ...]
    header: Mapping[str, Any]
    lanes: tuple[str, ...] = ("rest",)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something asked for that the venue does not have; reported once, and the rest goes on."""

    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What discovery found: the connections to hold and the polls to make."""

    connections: tuple[ConnectionPlan, ...] = ()
    polls: tuple[PollPlan, ...] = ()
    instruments: tuple[InstrumentSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """What an operator may like to know of the plan, such as how often what is polled; `collector check` shows it."""
    look_again_seconds: float | None = None
    """Discover again so soon, since something is about to change; None: when the feed always does."""

    @property
    def lines(self) -> tuple[ConnectionPlan | PollPlan, ...]:
        """Connections and polls."""
        return (*self.connections, *self.polls)


# -- what the parser reports to the conversation --------------------------------------------------------------------


class Acknowledged(NamedTuple):
    """The venue says what is subscribed on `channel` now; `symbols` is the whole set.

    `since_us`: what came with it is a list that reaches back to there, and nothing that was to be had since then is
    missing. A polled list tells it each time: until the next one, what comes after is not known.
    """

    request_id: int | str | None
    channel: str
    symbols: frozenset[str]
    since_us: int | None = None


class Refused(NamedTuple):
    """The venue refused a request. `permanent`: the same request will always be refused."""

    request_id: int | str | None
    code: str
    message: str
    permanent: bool


class SequenceLost(NamedTuple):
    """Messages of this symbol were lost: its book is wrong until a new snapshot."""

    channel: str
    symbol: str
    expected: int
    got: int


class SnapshotTaken(NamedTuple):
    """A book is whole (again)."""

    channel: str
    symbol: str


class Told(NamedTuple):
    """Something that this venue's own conversation alone acts on. `topic` and the names of `facts` are the venue's."""

    topic: str
    facts: Mapping[str, Any]


Event = Acknowledged | Refused | SequenceLost | SnapshotTaken | Told


class Parser(Protocol):
    """Turns what one session received into records and events.

    Deterministic: the same calls give the same records. No call raises for bad input: what is not understood goes to
    `out.quarantine` with the frame, and `out.items` counts every item, good or bad. (The normaliser guards against
    the bug that raises nevertheless.)
    """

    last_seen: dict[str, dict[str, int]]
    """Channel to symbol to `received_ns` of the newest good item."""

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]: ...

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]: ...

    def beat(self, received_ns: int, out: Records) -> None:
        """Time has passed on a living line: closes candles whose time is over."""

    def fork(self) -> Self:
        """Return an independent copy with the same state."""


# -- what the conversation asks the feed to do ----------------------------------------------------------------------


class Send(NamedTuple):
    """Send a text message; it counts against the venue's limit."""

    payload: bytes


class Reconnect(NamedTuple):
    """Give this connection up and make it anew."""

    reason: str


Action = Send | Reconnect


class SubscriptionState(StrEnum):
    WAITING = "waiting"  # not asked for yet
    REQUESTED = "requested"
    ACKNOWLEDGED = "acknowledged"  # no data yet
    FLOWING = "flowing"
    REFUSED = "refused"


@dataclass(slots=True)
class SubscriptionStatus:
    """How one symbol on one channel stands; `since` is the conversation's clock."""

    channel: str
    stream: str
    symbol: str
    state: SubscriptionState
    since: float
    reason: str = ""


class Conversation(Protocol):
    """The client's side of one connection. `now` is a monotonic time in seconds."""

    def opened(self, now: float) -> Sequence[Action]: ...

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]: ...

    def tick(self, now: float) -> Sequence[Action]:
        """About once a second: time-outs, retries, proof by first data."""

    @property
    def proved(self) -> bool:
        """Every subscription flows, is acknowledged on a channel that may be quiet, or is refused for good."""

    def statuses(self) -> Sequence[SubscriptionStatus]: ...


class Polling(Protocol):
    """The client's side of a polled venue: logs in, spreads its calls over time, looks whether answers overlap.

    `now` is a monotonic time in seconds, `now_ns` the wall clock. Calls of one lane are made one after the other.
    Answers have been journalled (unless the call said not to) and parsed by the session's parser when `answered` is
    called; calls that failed are not repeated by the feed.
    """

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        """Return the lane's next call, or how many seconds to wait before asking again."""

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None: ...

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None: ...

    @property
    def proved(self) -> bool:
        """Every subscription flows, or is refused for good."""

    def statuses(self) -> Sequence[SubscriptionStatus]: ...


Discovery = Generator[RestCall, RestAnswer, Plan]
History = Generator[RestCall, RestAnswer, None]


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

    def parser(self, header: Mapping[str, Any]) -> Parser: ...

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
