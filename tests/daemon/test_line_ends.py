"""Where the gap of a line begins that has ended: not over what is stored, and not behind what is lost.

Both take seconds, since a line counts as read too slowly only after two.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from collector.daemon.daemon import Daemon
from collector.demo.demo import settled
from collector.feed.connection import ConnectionFeed
from collector.feed.reading import LAG_MAX_SECONDS
from collector.recording.intake import JournalledIntake
from tests.kit.known import known
from tests.kit.stage import STREAMS, Stage, live, stage, until
from tests.repair.truth import now_us, traded

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

UNREPAIRED = "connections = 1\n[repair]\nenabled = false"
# Frames at once.
BURST = 120


def feed_of(daemon: Daemon) -> ConnectionFeed:
    [feed] = daemon.workers["fmfw"].worker.connections.values()
    assert isinstance(feed, ConnectionFeed)
    return feed


async def burst(on: Stage, feed: ConnectionFeed) -> None:
    """Have the venue send a burst, and wait until all of it was read."""
    frames, sent = feed.frames, 0
    while sent < BURST:
        event = on.venue.exchange.step(on.venue.now_ms(), 1.0)
        on.venue.hub.publish(event)
        sent += bool(event.trades)
    on.venue.flush()
    await until(lambda: feed.frames >= frames + BURST, "the burst")
    await asyncio.sleep(0.05)


async def test_bursts_and_then_a_cut_leave_no_stored_row_in_the_gap(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path, rate=0.0, extra=UNREPAIRED) as on:
        # Nothing comes between the bursts, so that the reader waits for each.
        on.config.write_text(on.config.read_text().replace(STREAMS, '["trades"]'))
        async with on.daemon() as daemon:
            await until(lambda: live(daemon), "a live line")
            await cut_after_bursts(on, daemon)


async def cut_after_bursts(on: Stage, daemon: Daemon) -> None:
    feed, end = feed_of(daemon), time.monotonic() + LAG_MAX_SECONDS + 1.5
    while time.monotonic() < end:
        await burst(on, feed)
        await asyncio.sleep(0.2)
    await burst(on, feed)
    await until(lambda: known(feed.living).reading.lag < 1.5, "a look since this machine stood still, if it did")
    on.venue.fault("refuse_connections")
    on.venue.fault("cut")
    await until(lambda: not live(daemon), "a lost line")
    await settled(daemon.observed)
    found = await on.query("select symbol, stream, from_time, cause from v_gaps where cause <> 'starting'")
    assert {cause for *_, cause in found} == {"disconnect"}
    rows = (
        "select symbol, max(time), max(received_at), count(*) from trades"
        " join instruments using (instrument_id) group by 1"
    )
    newest = {symbol: times for symbol, *times in await on.query(rows)}
    assert sum(count for *_, count in newest.values()) > BURST
    begins = {symbol: from_time for symbol, stream, from_time, _ in found if stream == "trades"}
    assert newest.keys() <= begins.keys()
    assert [symbol for symbol, (at, received, _) in newest.items() if max(at, received) > begins[symbol]] == []


async def test_slow_reading_and_then_an_end_leave_no_lost_trade_outside_a_gap(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = False

    async def room(_: JournalledIntake) -> None:
        await asyncio.sleep(0.5)

    async with stage(database, tmp_path, rate=600.0, extra=UNREPAIRED) as on:
        async with on.daemon() as daemon:
            await until(lambda: live(daemon), "a live line")
            feed = feed_of(daemon)
            await until(lambda: feed.frames > 500, "frames")
            monkeypatch.setattr(JournalledIntake, "full", property(lambda _: slow))
            monkeypatch.setattr(JournalledIntake, "room", room)
            slow, since_us = True, now_us()
            await until(lambda: known(feed.living).reading.lag > LAG_MAX_SECONDS + 1, "a line that is read too slowly")
            await on.ledger.pause()
            slow = False
        rows = "select symbol, (extract(epoch from time) * 1000000)::bigint, price, size from v_trades"
        stored = set(await on.query(rows))
        begins = dict(
            await on.query(
                "select symbol, (extract(epoch from from_time) * 1000000)::bigint from gaps"
                " join instruments using (instrument_id) where stream = 'trades' and to_time is null"
            )
        )
        lost = [
            (symbol, trade)
            for symbol in on.venue.exchange.markets
            for trade in traded(on, symbol, since_us)
            if (symbol, *trade[:3]) not in stored
        ]
        assert len(lost) > 100
        assert [(symbol, trade) for symbol, trade in lost if trade[0] < begins[symbol]] == []
