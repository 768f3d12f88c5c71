"""Equal trades: as many keys as there are trades, whatever is read beside them, in whatever order and from where on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from random import Random
from types import MappingProxyType
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import VenueError
from collector.model import Records
from collector.venues.rest import History, RestAnswer, RestCall
from collector.venues.roles import Parser
from tests.venues.pasts import (
    BEGIN_MS,
    Deal,
    FinamNamelessPast,
    FinamPast,
    FmexPast,
    FmfwPast,
    FmfwTimesPast,
    MetaapiPast,
    Past,
)

# The table, the symbol, the time and the key of a row.
Key = tuple[str, str, int, int]


def keys(out: Records) -> list[Key]:
    trades = [("trades", row.instrument.symbol, row.time_us, row.trade_key) for row in out.trades]
    return [*trades, *(("ticks", row.instrument.symbol, row.time_us, row.tick_key) for row in out.ticks)]


# -- what may happen -------------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """A stretch of one stream of a symbol; both ends included."""

    symbol: str
    stream: str
    from_us: int
    to_us: int


class Scene(NamedTuple):
    """A market, how long pages are, from which deal on they are told live, and what is asked for."""

    deals: list[Deal]
    page: int
    live_from: int
    spans: list[Span]
    random: Random


# Milliseconds since the one before, which symbol, and which of three contents its trades have.
MOMENT = st.tuples(
    st.sampled_from([1, 900, 70_000]), st.integers(0, 1), st.lists(st.integers(0, 2), min_size=1, max_size=5)
)


def market(symbols: tuple[str, str], moments: Iterable[tuple[int, int, list[int]]]) -> list[Deal]:
    """Deals of moments as above."""
    deals: list[Deal] = []
    at_ms = BEGIN_MS
    for wait_ms, place, said in moments:
        at_ms += wait_ms
        deals += [
            Deal(len(deals) + number, symbols[place], at_ms, f"1{content}.5", "2", buy=content > 0)
            for number, content in enumerate(said, start=1)
        ]
    return deals


@st.composite
def scenes(draw: st.DrawFn, past: type[Past]) -> Scene:
    deals = market(past.symbols, draw(st.lists(MOMENT, min_size=1, max_size=15)))
    ends = st.sampled_from(sorted({deal.time_ms * 1000 for deal in deals})), st.integers(-1000, 1000)
    times = st.builds(int.__add__, *ends)
    span = st.builds(
        lambda symbol, stream, ends: Span(symbol, stream, *sorted(ends)),
        st.sampled_from(past.symbols),
        st.sampled_from(past.streams),
        st.tuples(times, times),
    )
    return Scene(
        deals,
        draw(st.integers(1, 4) | st.integers(1, 1000)),
        draw(st.integers(0, len(deals) - 1)),
        draw(st.lists(span, min_size=1, max_size=5)),
        draw(st.randoms(use_true_random=False)),
    )


class Entry(NamedTuple):
    """What the journal holds of one answer, or of a message where there is no channel."""

    received_ns: int
    payload: bytes
    channel: str = ""
    params: Mapping[str, str] = MappingProxyType({})

    def read(self, parser: Parser) -> list[Key]:
        out = Records()
        if self.channel:
            parser.rest(self.channel, self.params, self.payload, self.received_ns, out)
        else:
            parser.frame(self.payload, self.received_ns, out)
        assert not out.quarantine
        return keys(out)


class Reader:
    """A session that reads several stretches side by side, and whatever else comes."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self.parser = past.reader()
        self.entries: list[Entry] = []
        self.found: list[list[Key]] = []
        self._twins: list[Parser] = []

    def fork(self) -> None:
        self._twins = [*self._twins[-1:], self.parser.fork()]

    def take(self, payload: bytes, call: RestCall | None = None) -> None:
        received_ns = (BEGIN_MS + 10**8 + len(self.entries)) * 10**6
        entry = Entry(received_ns, payload)
        if call is not None:
            entry = Entry(received_ns, payload, call.channel, dict(getattr(call, "told", call.params)))
        found = entry.read(self.parser)
        assert all(entry.read(twin) == found for twin in self._twins)
        self.entries.append(entry)
        self.found.append(found)

    def drive(self, history: History) -> Iterator[None]:
        """Ask for what a history wants, a call each time."""
        try:
            call = next(history)
            while True:
                answer = self._past.answer(call)
                if call.record:
                    self.take(answer, call)
                yield
                call = history.send(RestAnswer(200, {}, answer, 0))
        except StopIteration:
            return
        except VenueError as error:  # its past does not reach back so far: all that there is was told
            assert error.permanent  # noqa: PT017

    def same_again(self, start: int) -> None:
        """A parser that begins with a later entry makes the same rows of the answers as the one that saw all."""
        parser = self._past.reader()
        for entry, found in zip(self.entries[start:], self.found[start:], strict=True):
            again = entry.read(parser)
            assert again == found or (start and not entry.channel)


class Live:
    """A session that is told what happens from some deal on."""

    def __init__(self, past: Past, first: int) -> None:
        self._past = past
        self._parser = past.listener()
        self._first = first
        self._payloads = [past.told(deal) for deal in past.deals[first:]]
        self.found: list[Key] = []

    def step(self) -> bytes | None:
        """The next trade happens: now the history has it, too. None where it is over."""
        if self._past.now >= len(self._past.deals):
            return None
        payload = self._payloads[self._past.now - self._first]
        self._past.now += 1
        out = Records()
        self._parser.frame(payload, (BEGIN_MS + 10**8) * 10**6, out)
        self.found += keys(out)
        return payload


def truth(past: Past) -> dict[Deal, set[Key]]:
    """The keys that each deal has when all of them are told live."""
    live, deals = Live(past, 0), past.deals
    past.now = 0
    of: dict[Deal, set[Key]] = {}
    for deal in deals:
        before = len(live.found)
        live.step()
        of[deal] = set(live.found[before:])
    assert len(set(live.found)) == len(live.found)
    return of


def everything(scene: Scene, kind: type[Past]) -> None:
    past = kind(scene.deals, scene.page)
    true = truth(past)
    past.now = scene.live_from
    live, reader, random = Live(past, scene.live_from), Reader(past), scene.random

    def happen() -> None:
        payload = live.step()
        if payload is not None and past.mixes:
            reader.take(payload)

    with past.paging():
        for deal in scene.deals[scene.live_from :]:  # a gap ends with the line's return, and is asked for after it
            if deal.time_ms > scene.deals[scene.live_from].time_ms:
                break
            happen()
        running = [reader.drive(past.history(*span)) for span in scene.spans]
        while running:
            place = random.randrange(len(running) + 2)
            if place == len(running):
                happen()
            elif place > len(running):
                reader.fork()
            elif next(running[place], running) is running:
                del running[place]
        while past.now < len(scene.deals):
            happen()
    stored = {key for found in [*reader.found, live.found] for key in found}
    assert stored <= set().union(*true.values()), "a trade that never was"
    for symbol, stream, from_us, to_us in scene.spans:
        for deal in scene.deals:
            if deal.symbol == symbol and from_us <= deal.time_ms * 1000 <= to_us:
                assert {key for key in true[deal] if key[0] == stream} <= stored, f"lost: {deal}"
    reader.same_again(0)
    reader.same_again(random.randrange(len(reader.entries) or 1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FmfwPast, FmfwTimesPast, FmexPast, MetaapiPast])
def test_stretches_read_side_by_side_lose_no_trade_and_make_none(kind: type[Past]) -> None:
    @settings(max_examples=50, deadline=None)
    @given(scenes(kind))
    def hold(scene: Scene) -> None:
        everything(scene, kind)

    hold()


def interleaved(first: int, second: int) -> Iterator[str]:
    """Every order in which so many steps of A and of B can be made."""
    for places in combinations(range(first + second), first):
        yield "".join("A" if place in places else "B" for place in range(first + second))


@pytest.mark.parametrize(("kind", "later"), [(FmfwPast, True), (FmexPast, False), (MetaapiPast, True)])
def test_no_order_in_which_the_pages_of_two_stretches_come_costs_a_trade(kind: type[Past], later: bool) -> None:
    deals = market(kind.symbols, [(1, 0, [0, 0, 0]), (70_000, 0, [1]), (70_000, 0, [1])])
    past = kind(deals, page=1)
    first_us, then_us, last_us = (deals[place].time_ms * 1000 for place in (0, 3, 4))
    equal = {key for found in truth(past).values() for key in found if key[0] == "trades" and key[2] == first_us}
    spans = {"A": (first_us, first_us), "B": (then_us, last_us) if later else (first_us, first_us)}

    def read(order: str) -> set[Key]:
        reader = Reader(past)
        both = {name: reader.drive(past.history(past.symbols[0], "trades", *span)) for name, span in spans.items()}
        with past.paging():
            for name in order:
                next(both[name], None)
            for driven in both.values():
                assert next(driven, None) is None
        return {key for found in reader.found for key in found}

    for order in interleaved(5, 5):
        assert equal <= read(order), order


def test_pages_in_journals_from_before_they_were_numbered_by_themselves_are_read_as_they_were() -> None:
    deals = market(FmfwPast.symbols, [(1, 0, [1, 2, 0]), (0, 0, [0]), *[(70_000, 0, [0])] * 5])
    past = FmfwPast(deals, page=3)
    first, second, other = (deals[:3], deals[3:6], deals[6:9])

    def read(*pages: list[Deal]) -> int:
        parser, out = past.reader(), Records()
        for page in pages:
            params = {
                "symbols": past.symbols[0],
                "by": "id",
                "from": str(1000 + page[0].number),
                "limit": str(len(page)),
            }
            parser.rest("rest:trades", params, past.answer(RestCall("rest:trades", "", params)), BEGIN_MS * 10**6, out)
        return len(set(keys(out)))

    assert read(first, second, other) == 9
    assert read(first, other, second) == 8


@st.composite
def listenings(draw: st.DrawFn, past: type[Past]) -> tuple[Past, list[tuple[str, int]]]:
    """A venue and what one session is told: trades one by one from some on, some of them again, and lists."""
    contents = st.lists(st.integers(0, 1), min_size=1, max_size=6)
    moment = st.tuples(st.just(1), st.integers(0, 1), contents)
    deals = market(past.symbols, draw(st.lists(moment, min_size=1, max_size=3)))
    on = past(deals, page=1)
    steps: list[tuple[str, int]] = []
    first = draw(st.integers(0, len(deals) - 1))
    for number in range(first, len(deals)):
        steps.append(("push", number))
        match draw(st.sampled_from(["nothing", "again", "list"])):
            case "again" if on.repeats:
                steps.append(("push", draw(st.integers(first, number))))
            case "list":
                steps.append(("list", draw(st.integers(1, 6))))
    return on, steps


@pytest.mark.parametrize("kind", [FmfwPast, FmfwTimesPast, FmexPast])
def test_each_trade_that_a_session_was_told_of_has_a_key_of_its_own_however_it_was_told(kind: type[Past]) -> None:
    @settings(max_examples=100, deadline=None)
    @given(listenings(kind))
    def hold(told: tuple[Past, list[tuple[str, int]]]) -> None:
        past, steps = told
        parser, out, seen, newest = past.listener(), Records(), set(), 0
        for number, (what, value) in enumerate(steps):
            if what == "push":
                newest = max(newest, value)
                deals = [past.deals[value]]
                payload = past.told(deals[0])
            else:
                symbol = past.deals[newest].symbol
                deals = [deal for deal in past.deals[: newest + 1] if deal.symbol == symbol][-value:]
                payload = past.listed(deals)
            parser = parser.fork()
            parser.frame(payload, (BEGIN_MS + 10**8 + number) * 10**6, out)
            seen |= set(deals)
        assert not out.quarantine
        assert len(set(keys(out))) == len(seen)

    hold()


@st.composite
def lists(draw: st.DrawFn, kind: type[FinamPast]) -> tuple[FinamPast, list[tuple[int, str]]]:
    """A venue with no more than lists of its latest trades, and when which of them are asked for, and how."""
    past = kind(market(kind.symbols, draw(st.lists(MOMENT, min_size=1, max_size=8))), draw(st.integers(1, 12)))
    asked = st.tuples(st.integers(0, len(past.deals)), st.sampled_from(["", "/history"]))
    return past, sorted(draw(st.lists(asked, max_size=12)))


@pytest.mark.parametrize("kind", [FinamPast, FinamNamelessPast])
def test_lists_of_the_latest_trades_have_the_keys_that_live_ones_have(kind: type[FinamPast]) -> None:
    @settings(max_examples=100, deadline=None)
    @given(lists(kind))
    def hold(told: tuple[FinamPast, list[tuple[int, str]]]) -> None:
        past, asked = told
        true, reader = truth(past), Reader(past)
        whole: set[Key] = set()
        for now, reading in asked:
            past.now = now
            for symbol in past.symbols:
                reader.fork()
                reader.take(past.lists(symbol), RestCall(f"LatestTrades/{symbol}{reading}", ""))
                listed = past.known(symbol)[-past.page :]
                for deal in listed:
                    if all(other in listed for other in past.known(symbol) if other.time_ms == deal.time_ms):
                        whole |= true[deal]
        stored = {key for found in reader.found for key in found}
        assert whole <= stored <= set().union(*true.values())
        reader.same_again(0)

    hold()
