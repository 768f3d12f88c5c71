"""What an adapter has to be, each point with what shows that it is not."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, NamedTuple

import orjson

from collector.model import DECIMAL, EARLIEST_US, LATEST_US, Records, Trade
from collector.tables import STREAMS
from collector.venues.adapter import Adapter, Venue
from collector.venues.conformance.sessions import Received, TriedSession
from collector.venues.conformance.spoil import spoilt
from collector.venues.events import Event, Send
from collector.venues.header import SessionHeader
from collector.venues.plan import Plan
from collector.venues.roles import Parser
from collector.venues.specimens import Answered, Frame

# Places of a session at which a parser is copied.
FORKS: Final = 12
# So many messages a copy is given garbled, to see whether that changes the original.
GARBLED: Final = 20
# So many spoilt messages one parser takes before another is begun.
FRESH_EVERY: Final = 40
# How much later the same messages come the second time.
SHIFT_NS: Final = 7_300_000_000
# What a parser may make of a message.
PARTS: Final = (
    *("trades", "ticks", "books", "candles", "derivatives", "rates", "news", "instruments", "gaps", "quarantine"),
    "events",
)
TICKS: Final = 120
SHOWN: Final = 200


class Problem(NamedTuple):
    """Something that the adapter is not."""

    check: str
    text: str


@dataclass(frozen=True)
class Trial:
    """An adapter with what it is tried on. `section` are the settings as a file would hold them."""

    adapter: Adapter[Any]
    venue: Venue[Any] | None
    plan: Plan | None
    section: dict[str, Any] | None
    sessions: Sequence[TriedSession]
    spoilt: int = 2_000
    seed: int = 1


@dataclass
class Reading:
    """A parser that reads, and what came of it."""

    parser: Parser
    out: Records = field(default_factory=Records)
    events: list[Event] = field(default_factory=list)

    def take(self, received: Received, by_ns: int = 0) -> None:
        self.events += read(self.parser, received, self.out, by_ns)

    @property
    def told(self) -> tuple[list[Any], ...]:
        """Everything that came of it, to be compared; see `PARTS`."""
        return (*(list(getattr(self.out, part)) for part in PARTS[:-1]), list(self.events))


def read(parser: Parser, received: Received, out: Records, by_ns: int = 0) -> Sequence[Event]:
    """Let a parser read something; `by_ns` later than it was received."""
    match received.what:
        case Frame(payload):
            return parser.frame(payload, received.received_ns + by_ns, out)
        case Answered(channel, body, params):
            return parser.rest(channel, params, body, received.received_ns + by_ns, out)


# -- the checks --------------------------------------------------------------------------------------------------------


def settings(trial: Trial) -> Iterator[str]:
    """Settings read back as they were written."""
    if trial.section is None:
        return
    made = trial.adapter.settings.model_validate(trial.section)
    again = trial.adapter.settings.model_validate(made.model_dump(exclude_unset=True))
    if made != again:
        yield f"{made!r} is read back as {again!r}"


def plan(trial: Trial) -> Iterator[str]:
    """Discovery makes a plan of known streams, and every name of the settings is in it."""
    if trial.plan is None or trial.venue is None:
        return
    if not trial.plan.lines:
        yield f"nothing is planned; problems: {[problem.subject for problem in trial.plan.problems]}"
    planned = {symbol for line in trial.plan.lines for one in line.subscriptions for symbol in one.symbols}
    for line in trial.plan.lines:
        for one in line.subscriptions:
            if one.stream not in (*STREAMS, "news"):
                yield f"{line.name}: {one.stream!r} is no stream; there are {', '.join(sorted(STREAMS))}"
    missing = {symbol for symbols in trial.venue.named().values() for symbol in symbols} - planned
    missing -= {problem.subject for problem in trial.plan.problems}
    if missing:
        yield f"named by the settings, and neither planned nor a problem: {sorted(missing)}"


def header(trial: Trial) -> Iterator[str]:
    """A session's header is JSON, and reads back the same."""
    for session in trial.sessions:
        before = SessionHeader.from_json(session.header)
        after = SessionHeader.from_json(orjson.loads(orjson.dumps(before.to_json())))
        if before != after:
            yield f"{before!r} is read back as {after!r}"


def deterministic(trial: Trial) -> Iterator[str]:
    """The same messages give the same records and events."""
    for session in trial.sessions:
        one, other = _read(trial, session), _read(trial, session)
        if one.told != other.told:
            yield f"{_name(session)}: {_difference(one, other)}"


def fork(trial: Trial) -> Iterator[str]:
    """A copy of a parser goes on as the original would, and shares nothing with it."""
    random = Random(trial.seed)  # noqa: S311  nothing secret
    for session in trial.sessions:
        whole, payloads = _read(trial, session), _payloads(session)
        step = max(1, len(session.entries) // FORKS)
        for at in range(0, len(session.entries), step):
            original = Reading(_parser(trial, session))
            for received in session.entries[:at]:
                original.take(received)
            first = original.told
            copy, garbled = Reading(original.parser.fork()), original.parser.fork()
            for received in session.entries[at : at + GARBLED]:
                with contextlib.suppress(Exception):  # what it raises is another check's business
                    read(garbled, _spoil(received, random, payloads), Records())
            for received in session.entries[at:]:
                copy.take(received)
            for received in session.entries[at:]:
                original.take(received)
            if original.told != whole.told:
                yield f"{_name(session)}: what copies read after {at} messages has changed the original"
                break
            if _together(first, copy.told) != whole.told:
                yield f"{_name(session)}: a copy made after {at} messages went on differently"
                break


def never_raises(trial: Trial) -> Iterator[str]:
    """Nothing that may come down a line makes a parser raise; what is not understood is counted and quarantined."""
    random = Random(trial.seed)  # noqa: S311  nothing secret
    for session in trial.sessions:
        payloads, parser = _payloads(session), _parser(trial, session)
        for number in range(trial.spoilt):
            if number % FRESH_EVERY == 0:
                parser = _parser(trial, session)
            received = _spoil(random.choice(session.entries), random, payloads)
            out = Records()
            try:
                read(parser, received, out)
                parser.beat(received.received_ns + 1, out)
            except Exception as error:  # noqa: BLE001  that is what is looked for
                yield f"{_name(session)}: {type(error).__name__}: {error} over {_shown(received)}"
                return
            if problem := _balance(out) or _not_a_text(out):
                yield f"{_name(session)}: {problem} over {_shown(received)}"
                return


def counts(trial: Trial) -> Iterator[str]:
    """Items are rows and quarantined items, after every message."""
    for session in trial.sessions:
        parser, taken = _parser(trial, session), 0
        for received in session.entries:
            out = Records()
            read(parser, received, out)
            taken += out.rows
            if problem := _balance(out):
                yield f"{_name(session)}: {problem} over {_shown(received)}"
                break
        if not taken and not session.past:
            yield f"{_name(session)}: not one row comes of its {len(session.entries)} messages"


def values(trial: Trial) -> Iterator[str]:
    """Rows are of the session's venue and symbols, and their values can be stored."""
    for session in trial.sessions:
        told, symbols = SessionHeader.from_json(session.header), session.header.get("symbols")
        for trade in _read(trial, session).out.trades:
            for problem in _wrong_values(trade, told.venue, None if symbols is None else set(symbols)):
                yield f"{_name(session)}: {problem} in {trade}"
                return


def key(trial: Trial) -> Iterator[str]:
    """A trade has one key, however and whenever it is told."""
    keys: dict[bool, dict[object, Counter[tuple[int, int]]]] = {False: {}, True: {}}
    for session in trial.sessions:
        first, second = _read(trial, session).out.trades, _read(trial, session, SHIFT_NS).out.trades
        if [_key(trade) for trade in first] != [_key(trade) for trade in second]:
            yield f"{_name(session)}: the same messages, received {SHIFT_NS / 1e9:g} s later, give trades other keys"
        named = {(trade.instrument, trade.trade_id): _key(trade) for trade in first if trade.trade_id is not None}
        if len(set(named.values())) < len(named):
            yield f"{_name(session)}: trades with ids of their own share a key"
        for trade in first:
            by_instrument = keys[session.past].setdefault(trade.instrument, Counter())
            by_instrument[trade.time_us, trade.trade_key] += 1
    for instrument in keys[False].keys() & keys[True].keys():
        live, past = set(keys[False][instrument]), set(keys[True][instrument])
        since, until = max(min(live), min(past))[0], min(max(live), max(past))[0]
        apart = [one for one in live ^ past if since < one[0] < until]
        if apart:
            yield f"{instrument}: {len(apart)} trades of history and of the socket have not the same keys"


def seen(trial: Trial) -> Iterator[str]:
    """`last_seen` tells when each symbol was heard of."""
    for session in trial.sessions:
        reading = _read(trial, session)
        heard = {symbol for symbols in reading.parser.last_seen.values() for symbol in symbols}
        times = {at for symbols in reading.parser.last_seen.values() for at in symbols.values()}
        if reading.out.trades and not heard:
            yield f"{_name(session)}: there are trades, and nothing was seen"
        if times and max(times) > session.entries[-1].received_ns:
            yield f"{_name(session)}: something was seen after the last message"


def conversation(trial: Trial) -> Iterator[str]:
    """A conversation asks for every subscription, and raises over nothing that its parser tells."""
    if trial.venue is None or trial.plan is None or not trial.plan.connections:
        return
    line, random = trial.plan.connections[0], Random(trial.seed)  # noqa: S311  nothing secret
    parser = trial.adapter.parser(line.session_header())
    talk = trial.venue.conversation(line, parser, random)
    sent = [action for action in talk.opened(0.0) if isinstance(action, Send)]
    for session in trial.sessions[:1]:
        for number, received in enumerate(session.entries):
            events = read(parser, received, Records())
            sent += [action for action in talk.handle(events, number / 10) if isinstance(action, Send)]
    start = len(trial.sessions[0].entries) / 10 if trial.sessions else 0.0
    for second in range(TICKS):
        sent += [action for action in talk.tick(start + second) if isinstance(action, Send)]
    if not sent:
        yield f"nothing was asked for in {TICKS} s"
    wanted = {(one.channel, symbol) for one in line.subscriptions for symbol in one.symbols}
    told = {(status.channel, status.symbol) for status in talk.statuses()}
    if missing := wanted - told:
        yield f"no status is told of {sorted(missing)[:5]}"


CHECKS: Final[tuple[Callable[[Trial], Iterator[str]], ...]] = (
    *(settings, plan, header, deterministic, fork, never_raises, counts, values, key, seen, conversation),
)


def problems(trial: Trial, check: Callable[[Trial], Iterable[str]]) -> list[Problem]:
    """Return what a check finds; what it raises is found, too."""
    try:
        return [Problem(check.__name__, text) for text in check(trial)]
    except Exception as error:  # noqa: BLE001  an adapter's bug
        return [Problem(check.__name__, f"{type(error).__name__}: {error}")]


# -- helpers -----------------------------------------------------------------------------------------------------------


def _parser(trial: Trial, session: TriedSession) -> Parser:
    return trial.adapter.parser(SessionHeader.from_json(session.header))


def _read(trial: Trial, session: TriedSession, by_ns: int = 0) -> Reading:
    reading = Reading(_parser(trial, session))
    for received in session.entries:
        reading.take(received, by_ns)
    return reading


def _payloads(session: TriedSession) -> list[bytes]:
    return [_bytes(received) for received in session.entries]


def _bytes(received: Received) -> bytes:
    return received.what.payload if isinstance(received.what, Frame) else received.what.body


def _spoil(received: Received, random: Random, others: Sequence[bytes]) -> Received:
    payload = spoilt(_bytes(received), random, others)
    what = received.what
    return received_as(
        received, Frame(payload) if isinstance(what, Frame) else Answered(what.channel, payload, what.params)
    )


def received_as(received: Received, what: Frame | Answered) -> Received:
    """Return something else that came at the same time."""
    return Received(received.received_ns, what)


def _balance(out: Records) -> str:
    held = out.rows + sum(bad.items for bad in out.quarantine)
    return "" if out.items == held else f"{out.items} items are counted, and {held} are rows or in quarantine"


def _not_a_text(out: Records) -> str:
    for bad in out.quarantine:
        try:
            bad.error.encode()
        except UnicodeEncodeError:
            return f"the reason {bad.error!r} holds half of a surrogate pair, which a database does not take"
    return ""


def _wrong_values(trade: Trade, venue: str, symbols: set[str] | None) -> Iterator[str]:
    if trade.instrument.venue != venue:
        yield f"venue {trade.instrument.venue!r} is not {venue!r}"
    if symbols is not None and trade.instrument.symbol not in symbols:
        yield f"symbol {trade.instrument.symbol!r} is not one of the session"
    if not EARLIEST_US <= trade.time_us <= LATEST_US:
        yield f"time {trade.time_us} is not between the years 2000 and 2100, in microseconds"
    for name, value in (("price", trade.price), ("size", trade.size)):
        if type(value) is not str or DECIMAL.fullmatch(value) is None:
            yield f"{name} {value!r} is no decimal number as text"
    if trade.side not in (1, -1, None):
        yield f"side {trade.side!r} is none of 1, -1 and None"


def _key(trade: Trade) -> tuple[object, int, int]:
    return trade.instrument, trade.time_us, trade.trade_key


def _difference(one: Reading, other: Reading) -> str:
    return ", ".join(part for part, a, b in zip(PARTS, one.told, other.told, strict=True) if a != b) + " differ"


def _together(first: tuple[list[Any], ...], then: tuple[list[Any], ...]) -> tuple[list[Any], ...]:
    return tuple([*a, *b] for a, b in zip(first, then, strict=True))


def _name(session: TriedSession) -> str:
    return str(session.header.get("worker") or session.header.get("venue"))


def _shown(received: Received) -> str:
    payload = _bytes(received)
    return repr(payload[:SHOWN]) + ("..." if len(payload) > SHOWN else "")
