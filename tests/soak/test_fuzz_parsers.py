"""Spoilt frames for every parser: nothing raises, nothing hangs, all of it is counted, and good frames go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from collector import venues
from collector.journal import Kind, Record
from collector.model import DECIMAL, Records
from collector.normalise.entries import Answer
from collector.normalise.normaliser import Normaliser, SessionParser

from .conftest import Measured
from .corpus import VENUES, Corpus, captured_fmfw, mutated, recorded

# Of processor time, for one frame; none of the corpus needs a thousandth of it.
FRAME_SECONDS = 2.0
ROUND = 60
AFTER = 300
PARSER_FAILED = "parser failed"

quick = settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
thorough = settings(quick, max_examples=3000)


@pytest.fixture(scope="module", params=VENUES)
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    found = recorded(request.param, tmp_path_factory.mktemp(request.param))
    assert sum(one.kind in (Kind.FRAME, Kind.REST) for one in found.records) > 200
    return found


def sessions(corpus: Corpus) -> list[tuple[dict[str, object], list[Record]]]:
    """Sessions with something in them: the header, and what came."""
    return [(header, frames) for number, header in corpus.headers.items() if len(frames := corpus.frames(number)) > 3]


class Fed:
    """A parser that is fed, and what is demanded of it after every frame."""

    def __init__(self, header: dict[str, object], opened_ns: int) -> None:
        self.normaliser = Normaliser(venues.find)
        self.session: SessionParser = self.normaliser.open(1, header, opened_ns, Records())
        self.quarantined = 0
        self.rows = 0

    def fork(self) -> None:
        """Go on with a copy, as catching up does."""
        self.normaliser = self.normaliser.fork()
        self.session = self.normaliser.sessions[1]

    def take(self, kind: Kind, payload: bytes, received_ns: int) -> Records:
        """Parse; fails where the parser raised, took too long, miscounted or let a wrong number through."""
        out = Records()
        began = time.thread_time()
        if kind is Kind.REST:
            request, body = Answer.decode(payload)
            self.session.rest(request, body, received_ns, out)
        else:
            self.session.frame(payload, received_ns, out)
        assert time.thread_time() - began < FRAME_SECONDS, payload[:500]
        failed = [bad.error for bad in out.quarantine if bad.error.startswith(PARSER_FAILED)]
        assert not failed, (failed, payload[:500])
        lost = sum(bad.items for bad in out.quarantine)
        assert out.items == out.rows + lost, payload[:500]
        for number in numbers(out):
            assert DECIMAL.fullmatch(number), (number, payload[:500])
        self.quarantined += lost
        self.rows += out.rows
        return out


def numbers(out: Records) -> Iterator[str]:
    """Every decimal that would go into a statement unquoted."""
    for trade in out.trades:
        yield from (trade.price, trade.size)
    for tick in out.ticks:
        yield from (value for value in tick[3:10] if value is not None)
    for candle in out.candles:
        yield from (value for value in candle[4:9] if value is not None)
    for book in out.books:
        yield from (value for side in book[4:8] for value in side.split(",") if value)


def spoilt(record: Record, random: Random, others: list[bytes]) -> bytes:
    """Mutate what the venue sent: of a REST answer the body, since the request is ours."""
    if record.kind is Kind.REST:
        request, body = Answer.decode(record.payload)
        return Answer(request, mutated(body, random, others)).encode()
    return mutated(record.payload, random, others)


def torment(corpus: Corpus, seed: int) -> tuple[int, int]:
    """Feed good and spoilt frames in turn, then good ones alone; returns frames and quarantined items."""
    random = Random(seed)
    header, frames = random.choice(sessions(corpus))
    others = [Answer.decode(one.payload)[1] if one.kind is Kind.REST else one.payload for one in frames[:200]]
    fed = Fed(header, frames[0].received_ns)
    begin = random.randrange(max(1, len(frames) - ROUND))
    for record in [*frames[:30], *frames[begin : begin + ROUND]]:
        if random.random() < 0.6:
            fed.take(record.kind, spoilt(record, random, others), record.received_ns)
        if random.random() < 0.9:
            fed.take(record.kind, record.payload, record.received_ns)
        if random.random() < 0.05:
            fed.fork()
    bad, fresh = fed.quarantined, Fed(header, frames[0].received_ns)
    for record in frames[:AFTER]:
        fed.take(record.kind, record.payload, record.received_ns)
        fresh.take(record.kind, record.payload, record.received_ns)
    assert fed.quarantined - bad <= fresh.quarantined, "good frames are refused after spoilt ones"
    assert fed.rows > 0
    return 2 * AFTER + 2 * ROUND, fed.quarantined


def run(corpus: Corpus, how: settings) -> tuple[int, int]:
    """Torment with as many seeds as wanted; hypothesis keeps the smallest one that fails."""
    frames = quarantined = 0

    @settings(how, phases=(Phase.generate,))
    @given(st.integers(0, 2**48))
    def one(seed: int) -> None:
        nonlocal frames, quarantined
        some, bad = torment(corpus, seed)
        frames, quarantined = frames + some, quarantined + bad

    one()
    return frames, quarantined


def test_spoilt_frames_raise_nothing_and_are_counted(corpus: Corpus, measured: Measured) -> None:
    frames, quarantined = run(corpus, quick)
    assert quarantined > 0
    measured(frames=frames, quarantined=quarantined)


@pytest.mark.soak
def test_many_spoilt_frames_raise_nothing_and_are_counted(corpus: Corpus, measured: Measured) -> None:
    frames, quarantined = run(corpus, thorough)
    assert quarantined > 1000
    measured(frames=frames, quarantined=quarantined)


@pytest.mark.parametrize("frames", [2_000, pytest.param(200_000, marks=pytest.mark.soak)])
def test_spoilt_frames_of_the_real_venue(frames: int, measured: Measured) -> None:
    texts = captured_fmfw()
    if not texts:
        pytest.skip("the captured frames are not at hand (FMFW_CAPTURES)")
    random = Random(frames)
    fed = Fed({"venue": "fmfw", "adapter": "fmfw", "worker": "fmfw-1", "url": "", "symbols": None}, 0)
    for number in range(frames):
        text = random.choice(texts)
        payload = mutated(text, random, texts) if random.random() < 0.7 else text
        fed.take(Kind.FRAME, payload, 1_633_000_000_000_000_000 + number * 1_000_000)
    assert fed.rows > 0
    assert fed.quarantined > 0
    measured(frames=frames, rows=fed.rows, quarantined=fed.quarantined)
