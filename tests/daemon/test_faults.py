"""A live daemon on a venue that misbehaves: nothing stops, nothing else is touched, nothing is lost, all is counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from collector.daemon.daemon import Daemon
from collector.demo.compare import Verdict, verify
from collector.feed import rest as rest_module
from collector.feed.connection import ConnectionFeed
from collector.feed.worker import VenueWorker
from collector.venues.events import SubscriptionState
from collector.venues.fmfw import FmfwVenue
from collector.venues.fmfw.parser import FmfwParser
from tests.kit.rebuilt import current, rebuilt
from tests.kit.stage import Stage, all_equal, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

CHANNELS = ("trades", "candles/M1", "orderbook/top/100ms", "price/rate/3s")
REFUSED_FRAMES = (
    "garbage",
    "truncated",
    "wrong_types",
    "unknown_channel",
    "nan_price",
    "negative_size",
    "year_9999",
    "unknown_symbol",
)
THIRTY_DIGITS = "123456789012345678901234567890"


def feed_of(daemon: Daemon, venue: str = "fmfw") -> Any:
    (feed,) = daemon.workers[venue].worker.connections.values()
    return feed


def whole(daemon: Daemon) -> bool:
    """Live, and no symbol is on its way to be subscribed again."""
    return live(daemon) and all(
        isinstance(feed, ConnectionFeed) and feed.living is not None and feed.living.conversation.proved
        for one in daemon.workers.values()
        for feed in one.worker.connections.values()
    )


async def recording(daemon: Daemon, rows: int = 500) -> None:
    before = daemon.statistics.total.stored
    await until(lambda: whole(daemon) and daemon.statistics.total.stored >= before + rows, f"live and {rows} rows")


async def eventually(look: Callable[[], Awaitable[object]], what: str) -> None:
    end = time.monotonic() + 20
    while not await look():
        assert time.monotonic() < end, f"not within 20 s: {what}"
        await asyncio.sleep(0.05)


async def ended_sessions(on: Stage) -> list[str]:
    """Why sockets were closed that had been open."""
    return [row[0] for row in await on.query("select reason from sessions where closed_at is not null and url <> ''")]


async def quarantined(on: Stage) -> Counter[bytes]:
    return Counter(bytes(row[0]) for row in await on.query("select payload from quarantine"))


def of_table(verdicts: list[Verdict], table: str) -> Verdict:
    (verdict,) = (one for one in verdicts if one.table == table)
    return verdict


def asked_of(on: Stage, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A list that grows with what clients ask from now on."""
    asked: list[dict[str, Any]] = []
    handle = on.venue.requests.handle

    def spy(connection: Any, text: str, now: float) -> None:
        asked.append(orjson.loads(text))
        handle(connection, text, now)

    monkeypatch.setattr(on.venue.requests, "handle", spy)
    return asked


# -- books ----------------------------------------------------------------------------------------------------------


async def test_a_lost_sequence_renews_that_book_alone(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        asked = asked_of(on, monkeypatch)
        opened = on.venue.opened
        on.venue.fault("skip_sequence", symbol="ETHBTC", count=2)
        await eventually(
            lambda: on.query("select from gaps where cause = 'sequence lost' and to_time is not null"), "a closed gap"
        )
        assert all_equal(await on.compare(daemon))
        assert [(one["method"], one["ch"], one["params"]["symbols"]) for one in asked] == [
            ("unsubscribe", "orderbook/full", ["ETHBTC"]),
            ("subscribe", "orderbook/full", ["ETHBTC"]),
        ]
        assert on.venue.opened == opened
        assert await ended_sessions(on) == []
        [(symbol, stream, cause, span, missing)] = await on.query(
            "select symbol, stream, cause, to_time >= from_time, to_seq - from_seq from gaps"
            " join instruments using (instrument_id) where cause = 'sequence lost'"
        )
        assert (symbol, stream, cause, span) == ("ETHBTC", "books", "sequence lost", True)
        assert missing > 2
        for one in ("ETHBTC", "BTCUSDT"):
            assert await rebuilt(on, one) == await current(on, one)
        await on.counts_add_up()


async def test_a_book_that_loses_numbers_again_and_again_is_taken_on_a_new_line(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.venues.kit.subscriptions.LOSSES_ALLOWED", 1)
    async with stage(database, tmp_path, rate=1000) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("skip_sequence", symbol="BTCUSDT", count=1)
        await eventually(
            lambda: on.query("select from gaps where cause = 'sequence lost' and to_time is not null"), "a closed gap"
        )
        on.venue.fault("skip_sequence", symbol="BTCUSDT", count=1)
        await until(lambda: feed_of(daemon).reconnects == 1, "a new line")
        await recording(daemon)
        assert all_equal(await on.compare(daemon, "trades", "candles"))
        assert await ended_sessions(on) == ["orderbook/full BTCUSDT: 2 losses in five minutes"]
        assert await rebuilt(on, "BTCUSDT") == await current(on, "BTCUSDT")


@pytest.mark.parametrize("fault", ["repeat_update", "remove_unknown_level"])
async def test_odd_updates_leave_the_book_right(database: str, tmp_path: Path, fault: str) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault(fault, count=30)
        await until(lambda: not on.venue.faults.armed, "all of them sent")
        await recording(daemon, 100)
        assert all_equal(await on.compare(daemon))
        assert await on.query("select from gaps where cause = 'sequence lost'") == []
        for symbol in on.venue.exchange.markets:
            assert await rebuilt(on, symbol) == await current(on, symbol)
        if fault == "repeat_update":
            assert daemon.statistics.tables["books"].duplicates >= 30
        await on.counts_add_up()


async def test_zero_levels_of_snapshots_are_not_stored(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        on.venue.fault("zero_level_in_snapshot", count=5)
        async with on.daemon() as daemon:
            await recording(daemon)
            assert not on.venue.faults.armed
            assert all_equal(await on.compare(daemon))
            assert await on.query("select from books where snapshot and 0 = any(ask_sizes || bid_sizes)") == []


async def test_a_snapshot_of_many_megabytes_is_taken_whole(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=100) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("huge_snapshot", symbol="BTCUSDT", levels=60_000)
        await recording(daemon, 100)
        assert all_equal(await on.compare(daemon))
        book = await rebuilt(on, "BTCUSDT")
        assert len(book.asks) > 60_000
        assert book == await current(on, "BTCUSDT")
        assert feed_of(daemon).reconnects == 0
        assert (await on.query("select max(octet_length(ask_prices::text)) > 300000 from books")) == [(True,)]


# -- the line -------------------------------------------------------------------------------------------------------


async def test_a_cut_line_is_made_again_and_its_trades_and_candles_are_got_back(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        for cuts in (1, 2):
            await recording(daemon)
            on.venue.fault("cut")
            await until(lambda cuts=cuts: feed_of(daemon).reconnects == cuts, "a new line")  # type: ignore[misc]
        await recording(daemon)
        assert all_equal(await on.compare(daemon, "trades", "candles"))
        for reason in await ended_sessions(on):
            assert "cut" in reason or "broke" in reason
        assert len(await ended_sessions(on)) == 2
        assert await rebuilt(on, "BTCUSDT") == await current(on, "BTCUSDT")
        await on.counts_add_up()


async def test_a_silent_line_is_given_up_and_made_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = FmfwVenue.limits
    monkeypatch.setattr(
        FmfwVenue,
        "limits",
        lambda self: replace(limits(self), silence_seconds=1.5, ping_seconds=0.5),
    )
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("freeze")
        await until(lambda: feed_of(daemon).reconnects == 1, "a new line")
        await recording(daemon)
        assert all_equal(await on.compare(daemon, "trades", "candles"))
        (reason,) = await ended_sessions(on)
        assert "nothing was heard" in reason
        await on.counts_add_up()


# -- frames ---------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_understood_is_in_quarantine_to_the_byte(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        for fault in REFUSED_FRAMES:
            for channel in CHANNELS:
                assert on.venue.fault(fault, channel=channel, count=2)["hit"] == 2, (fault, channel)
        await recording(daemon, 200)
        assert all_equal(await on.compare(daemon))
        injected = Counter(one.text.encode() for one in on.venue.ledger.injected)
        assert injected.total() == 2 * len(REFUSED_FRAMES) * len(CHANNELS)
        assert await quarantined(on) == injected
        assert daemon.statistics.total.quarantined == injected.total()
        assert feed_of(daemon).reconnects == 0
        assert await on.query("select from quarantine where error = '' or kind <> 'frame' or segment is null") == []
        await on.counts_add_up()


async def test_numbers_of_sixty_digits_are_stored_to_the_last(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        for channel in ("trades", "candles/M1", "orderbook/top/100ms"):
            on.venue.fault("long_numbers", channel=channel)
        await recording(daemon, 200)
        verdicts = await on.compare(daemon)
        assert [one.missing for one in verdicts] == [0] * len(verdicts)
        assert {one.table for one in verdicts if one.surplus == 1} == {"trades", "candles", "ticks"}
        # The bar of tomorrow that it came in has closed none of today's before its time.
        early = "select from candles where closed and time + interval '1 minute' > received_at"
        assert await on.query(early) == []
        for query in (
            "select price::text, size::text from trades where size > 1e20",
            "select close::text, volume::text from candles where volume > 1e20",
            "select ask::text, ask_size::text from ticks where ask_size > 1e20",
        ):
            assert await on.query(query) == [(f"{THIRTY_DIGITS}.{THIRTY_DIGITS}", THIRTY_DIGITS)]
        assert await on.rows("quarantine") == 0
        await on.counts_add_up()


async def test_prices_that_are_not_there_are_null_and_not_zero(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("null_fields", count=20)
        await until(lambda: not on.venue.faults.armed, "all of them sent")
        await recording(daemon, 100)
        assert all_equal(await on.compare(daemon))
        [(empty,)] = await on.query("select count(*) from ticks where bid is null and ask is null")
        assert empty >= 1
        assert await on.rows("quarantine") == 0


async def test_fields_that_nobody_knows_are_passed_over(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        on.venue.fault("unknown_fields")
        async with on.daemon() as daemon:
            await recording(daemon, 1000)
            assert all_equal(await on.compare(daemon))
            # What stands where symbols and currencies do is told: it could be one. Everywhere else it is no fault.
            assert set(await on.query("select distinct error from quarantine")) == {
                ("symbol: 'zz_unknown' is not one of this session",),
                ("[1, '2', None] is not an object",),
            }
            await on.counts_add_up()


async def test_trades_that_come_twice_are_one_row(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recording(daemon)
        on.venue.fault("repeat_trades", count=20)
        await until(lambda: not on.venue.faults.armed, "all of them sent")
        assert all_equal(await on.compare(daemon, "trades"))
        assert daemon.statistics.tables["trades"].duplicates >= 20
        await on.counts_add_up()


# -- refusals -------------------------------------------------------------------------------------------------------


async def test_a_venue_that_limits_and_fails_at_the_start_is_asked_again(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        on.venue.fault("429", channel="rest", count=1)
        on.venue.fault("5xx", count=1)
        async with on.daemon() as daemon:
            await recording(daemon)
            assert not on.venue.faults.armed
            assert all_equal(await on.compare(daemon))


async def test_a_venue_that_is_down_is_asked_until_it_is_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_module, "ATTEMPTS_MAX", 1)
    async with stage(database, tmp_path) as on:
        on.venue.fault("5xx", status=503)
        async with on.daemon() as daemon:
            await until(
                lambda: bool(daemon.workers) and daemon.workers["fmfw"].worker.state == "waiting", "a failed start"
            )
            assert "503" in daemon.workers["fmfw"].worker.reason
            on.venue.faults.clear()
            await recording(daemon)


async def test_subscriptions_refused_for_their_pace_are_made_later(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on:
        on.venue.fault("429", channel="socket", count=2)
        async with on.daemon() as daemon:
            await recording(daemon)
            assert all_equal(await on.compare(daemon))
            assert feed_of(daemon).reconnects == 0


async def test_a_refused_symbol_takes_no_other_with_it(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(database, tmp_path) as on:
        on.venue.fault("refuse_symbol", symbol="ETHBTC")
        with capture_logs() as told:
            async with on.daemon() as daemon:
                await recording(daemon)
                asked = asked_of(on, monkeypatch)
                refused = [one for one in feed_of(daemon).statuses() if one.state is SubscriptionState.REFUSED]
                assert {status.symbol for status in refused} == {"ETHBTC"}
                assert {status.stream for status in refused} == {"trades", "candles", "books", "ticks"}
                assert all("2001" in status.reason for status in refused)
                await recording(daemon)
                assert asked == []  # left alone
                on.venue.fault("cut")
                await until(lambda: feed_of(daemon).reconnects == 1, "a new line")
                await recording(daemon)
                assert all_equal(await on.compare(daemon, "trades", "candles"))
                assert await on.query("select from v_books where symbol = 'ETHBTC'") == []
        told = [one for one in told if one["event"] == "subscription_refused"]
        assert sorted(one["channel"] for one in told) == sorted(status.channel for status in refused)


@pytest.mark.parametrize("fault", ["late_acks", "reordered_acks"])
async def test_acknowledgements_out_of_step_cost_nothing(database: str, tmp_path: Path, fault: str) -> None:
    async with stage(database, tmp_path) as on:
        on.venue.fault(fault)
        async with on.daemon() as daemon:
            await recording(daemon)
            assert all_equal(await on.compare(daemon))
            assert feed_of(daemon).reconnects == 0


# -- everything at once ---------------------------------------------------------------------------------------------


async def test_many_faults_at_random_leave_trades_and_counts_right(database: str, tmp_path: Path) -> None:
    random = Random(20261121)
    async with stage(database, tmp_path, rate=600) as on, on.daemon() as daemon:
        await recording(daemon)
        symbols = list(on.venue.exchange.markets)
        for _ in range(60):
            fault = random.choice(
                (
                    *REFUSED_FRAMES,
                    "long_numbers",
                    "repeat_update",
                    "repeat_trades",
                    "remove_unknown_level",
                    "null_fields",
                    "unknown_fields",
                    "late_acks",
                    "skip_sequence",
                    "huge_snapshot",
                    "zero_level_in_snapshot",
                    "cut",
                )
            )
            if fault in (*REFUSED_FRAMES, "long_numbers"):
                on.venue.fault(fault, channel=random.choice(CHANNELS))
            elif fault == "skip_sequence":
                on.venue.fault(fault, symbol=random.choice(symbols))
            elif fault == "huge_snapshot":
                on.venue.fault(fault, levels=3000)
            elif fault == "cut":
                on.venue.fault(fault)
            else:
                on.venue.fault(fault, count=random.randrange(1, 20))
            await asyncio.sleep(random.uniform(0.01, 0.15))  # the faults' own pace, nothing is awaited here
        on.venue.faults.clear()
        await recording(daemon)
        assert feed_of(daemon).reconnects >= 2
        verdicts = await on.compare(daemon, "trades", "candles")
        injected = Counter((one.fault, one.channel) for one in on.venue.ledger.injected if one.frames)
        for table, channel in (("trades", "trades"), ("candles", "candles/M1")):
            verdict = of_table(verdicts, table)
            assert verdict.missing == 0, verdict.examples
            assert verdict.surplus <= injected["long_numbers", channel]
        bad = Counter(one.text.encode() for one in on.venue.ledger.injected if one.fault in REFUSED_FRAMES)
        held = await quarantined(on)
        understood = {one for one in held if b"zz_unknown" in one}
        assert understood  # but for the key that stands where symbols do
        for one in understood:
            del held[one]
        assert held.keys() <= bad.keys()
        assert sum((held - bad).values()) == 0  # a cut may take some with it
        assert await on.query("select sum(items) from quarantine") == [(daemon.statistics.total.quarantined,)]
        for symbol in symbols:
            assert await rebuilt(on, symbol) == await current(on, symbol)
        await on.counts_add_up()


# -- faults of our own ----------------------------------------------------------------------------------------------


async def test_a_parser_that_raises_costs_its_frame_only(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = FmfwParser.frame
    spoilt: list[bytes] = []

    def fails_sometimes(self: FmfwParser, payload: bytes, received_ns: int, out: Any) -> Any:
        if len(spoilt) < 5 and payload.startswith(b'{"ch":"trades","update"'):
            spoilt.append(bytes(payload))
            raise RuntimeError("a bug of ours")
        return frame(self, payload, received_ns, out)

    # Else the audit of the minute brings back what was lost, where one ends meanwhile.
    async with stage(database, tmp_path, extra="[audit]\nenabled = false") as on, on.daemon() as daemon:
        await recording(daemon)
        await on.begun()
        monkeypatch.setattr(FmfwParser, "frame", fails_sometimes)
        await until(lambda: len(spoilt) == 5, "five frames that fail")
        await recording(daemon, 200)
        verdict = of_table(await on.compare(daemon), "trades")
        lost = sum(len(items) for one in spoilt for items in orjson.loads(one)["update"].values())
        assert (verdict.missing, verdict.surplus) == (lost, 0)
        assert await quarantined(on) == Counter(spoilt)
        assert {row[0] for row in await on.query("select error from quarantine")} == {
            "parser failed: RuntimeError: a bug of ours"
        }
        assert feed_of(daemon).reconnects == 0
        await on.counts_add_up()


async def test_two_venues_of_one_protocol_are_recorded_side_by_side(database: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with (
        stage(database, tmp_path / "other") as other,
        stage(database, tmp_path, extra=hitbtc(other)) as on,
        on.daemon() as daemon,
    ):
        await recording(daemon, 2000)
        await other.ledger.pause()
        assert all_equal(await on.compare(daemon))
        assert all_equal(await verify(database, "hitbtc", other.ledger))
        await on.counts_add_up()


async def test_a_worker_that_fails_is_started_again_and_touches_no_other(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest_for = VenueWorker._rest_for
    failures: list[float] = []

    async def fails_twice(self: VenueWorker, seconds: float) -> None:
        if len(failures) < 2 and self.venue.name == "hitbtc":
            await until(lambda: all(feed.state == "live" for feed in self.connections.values()), "live lines")
            failures.append(seconds)
            raise RuntimeError("a bug of ours")
        await rest_for(self, seconds)

    monkeypatch.setattr(VenueWorker, "_rest_for", fails_twice)
    (tmp_path / "other").mkdir()
    async with (
        stage(database, tmp_path / "other") as other,
        stage(database, tmp_path, extra=hitbtc(other)) as on,
        on.daemon() as daemon,
    ):
        await until(lambda: len(failures) == 2 and other.venue.opened == 3, "two failures and a third line")
        await recording(daemon)
        assert daemon.workers["hitbtc"].failures == 2
        assert "a bug of ours" in daemon.workers["hitbtc"].failure
        assert daemon.workers["fmfw"].failures == 0
        assert on.venue.opened == 1
        await other.ledger.pause()
        assert all_equal(await on.compare(daemon))
        assert all_equal(await verify(database, "hitbtc", other.ledger, ["trades", "candles"]))
        open_sessions = await on.query(
            "select worker from sessions where closed_at is null"
            " and worker !~ '-(repair|audit)$' order by 1"  # which may be at work or not
        )
        assert open_sessions == [("fmfw-1",), ("fmfw-rest",), ("hitbtc-1",), ("hitbtc-rest",)]
        await on.counts_add_up()


def hitbtc(other: Stage) -> str:
    """The section of a second venue that speaks the same protocol."""
    address = other.venue.address
    return f"""
            [venues.hitbtc]
            adapter = "fmfw"
            symbols = ["*"]
            rest_url = "{address["rest_url"]}"
            ws_url = "{address["ws_url"]}"
            """
