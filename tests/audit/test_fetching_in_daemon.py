"""A daemon that records no candles, and finds out all the same what venues left out; its minutes last five seconds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector import simulator
from collector.daemon.daemon import Daemon
from collector.demo.compare import Ledger
from collector.demo.demo import settled
from collector.simulator.fmex.payloads import amount, price
from collector.status.audit import audit_facts
from collector.status.snapshot import snapshot
from tests.audit.test_in_daemon import PATIENCE_SECONDS, QuickClock
from tests.kit.stage import Stage, live, until
from tests.repair.truth import traded

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

PACE = 12
# A symbol of each venue that loses trades.
LOSSES = {"fmfw": "BTCUSDT", "fmex": "btcusd_p", "finam": "SBER@MISX"}
# Leaves the repair as the only way to what was lost.
MORE = {
    "fmfw": "snapshot = 0",
    "fmex": "snapshot = 0",
    "finam": 'transport = "stream"\nrest_check_seconds = 86400\nbackfill_per_minute = 6000',
}

Rows = list[tuple[Any, ...]]


class ManyVenues(Stage):
    """Three simulated venues, of which only trades are recorded."""

    def __init__(
        self, running: Any, folder: Path, dsn: str, http: aiohttp.ClientSession, more: dict[str, str] = MORE
    ) -> None:
        self.running = running
        self.folder = folder
        self.dsn = dsn
        self.ledgers = {name: Ledger(http, running[name].address["rest_url"]) for name in LOSSES}
        self.config = folder / "collector.toml"
        venues = "\n".join(f"{only_trades(running[name].config)}\n{more[name]}" for name in LOSSES)
        self.config.write_text(
            f"""
            data_dir = "{folder / "data"}"
            [database]
            dsn = "{dsn}"
            [http]
            listen = "127.0.0.1:0"
            [audit]
            fetch_per_minute = 600
            {venues}
            """
        )

    def truth(self, venue: str, since_us: int) -> Iterator[tuple[str, Rows]]:
        """What was traded since a time, by symbol: time, price, size, side."""
        one = self.running[venue]
        if venue == "fmfw":
            self.venue = one
            yield from ((symbol, traded(self, symbol, since_us)) for symbol in one.exchange.markets)
        elif venue == "fmex":
            yield from ((symbol, fmex_trades(market, since_us)) for symbol, market in one.markets.items())
        else:
            wanted = re.findall(r"[A-Za-z0-9]+@[A-Z]+", self.config.read_text())
            yield from ((symbol, finam_trades(one.exchange.markets[symbol], since_us)) for symbol in wanted)


def only_trades(config: str) -> str:
    """Return a venue's section with trades as its only stream, and of Finam two shares that are told at once."""
    config = re.sub(r"(?m)^streams = .*\n", "", config)
    config = re.sub(r"(?m)^symbols = .*SBER.*$", 'symbols = ["SBER@MISX", "GAZP@MISX"]', config)
    return f'{config}\nstreams = ["trades"]'


def fmex_trades(market: Any, since_us: int) -> Rows:
    return sorted(
        (one.time_ms * 1000, Decimal(price(one.price).plain), Decimal(amount(one.size).plain), 1 if one.buy else -1)
        for one in market.trades
        if one.time_ms * 1000 >= since_us
    )


def finam_trades(market: Any, since_us: int) -> Rows:
    scale = Decimal(1).scaleb(-market.instrument.decimals)
    return sorted(
        (one.time_us, one.price * scale, Decimal(one.size), 1 if one.buy else -1)
        for one in market.trades
        if one.time_us >= since_us
    )


@asynccontextmanager
async def many_venues(dsn: str, folder: Path, clock: QuickClock) -> AsyncIterator[ManyVenues]:
    settings = {"finam": {"quota": 100_000, "trades_kept": 1000}}
    async with (
        simulator.serve(list(LOSSES), seed=7, rate=60, clock_ns=clock.now_ns, settings=settings) as running,
        aiohttp.ClientSession() as http,
    ):
        yield ManyVenues(running, folder, dsn, http)


def audited(daemon: Daemon, venues: Iterable[str] = LOSSES) -> bool:
    """Whether minutes of each venue are complete."""
    facts = audit_facts(daemon.auditing)
    assert facts is not None
    return all(facts.verdicts.get(venue, {}).get("complete", 0) > 0 for venue in venues)


async def stored(on: Stage, venue: str, symbol: str, since_us: int) -> Rows:
    return await on.query(
        "select (extract(epoch from time) * 1000000)::bigint, price, size, side::int from v_trades"
        " where venue = $1 and symbol = $2 and time >= timestamptz 'epoch' + $3::bigint * interval '1 microsecond'"
        " order by 1, 2, 3, 4",
        venue,
        symbol,
        since_us,
    )


async def test_trades_left_out_on_living_lines_are_found_told_and_got_back(database: str, tmp_path: Path) -> None:
    clock = QuickClock(pace=PACE)
    async with many_venues(database, tmp_path, clock) as on, on.daemon(clock) as daemon:
        await until(lambda: live(daemon), "a live daemon")
        await until(lambda: audited(daemon), "audited minutes of every venue", PATIENCE_SECONDS)
        since_us = clock.now_ns() // 1000
        for venue, symbol in LOSSES.items():
            on.running[venue].fault("lose_trades", symbol=symbol, count=3)
        auditor = daemon.auditing.auditor
        assert auditor is not None
        alarms = auditor.alarms
        await until(
            lambda: {alarm.venue for alarm in alarms.settled} == set(LOSSES) and not alarms.open,
            "every alarm's end",
            PATIENCE_SECONDS,
        )
        for ledger in on.ledgers.values():
            await ledger.pause()
        await settled(daemon.observed)

        for venue in LOSSES:
            for symbol, rows in on.truth(venue, since_us):
                assert await stored(on, venue, symbol, since_us) == rows, symbol
        assert {(one.venue, one.symbol, one.state) for one in alarms.settled} == {
            (venue, symbol, "repaired") for venue, symbol in LOSSES.items()
        }
        gaps = await on.query(
            "select venue, symbol, stream, state, filled_rows > 0 from v_gaps where cause = 'silent loss'"
        )
        assert set(gaps) == {(venue, symbol, "trades", "repaired", True) for venue, symbol in LOSSES.items()}
        verdicts = await on.query("select distinct verdict, repaired from v_audits where gap_cause = 'silent loss'")
        assert verdicts == [("complete", True)]
        assert await on.query("select 1 from audits where verdict = 'unexplained'") == []
        await candles_are_facts_and_not_recorded(on)
        status = snapshot(daemon.observed)
        assert status.audit is not None
        assert {(one.venue, one.refused, one.trouble) for one in status.audit.fetching} == {
            (venue, 0, "") for venue in LOSSES
        }
        await on.counts_add_up()


async def candles_are_facts_and_not_recorded(on: Stage) -> None:
    """They are in the table, came by a session of the audit, and no coverage tells that anybody asked for them."""
    assert await on.query("select distinct series, period from candles") == [("trade", 60)]
    sessions = await on.query("select distinct worker from sessions where worker like '%-audit'")
    assert {worker for (worker,) in sessions} >= {f"{venue}-audit" for venue in LOSSES}
    assert await on.query("select distinct stream from coverage") == [("trades",)]
    assert await on.query("select distinct stream from gaps") == [("trades",)]
