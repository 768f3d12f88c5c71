"""The vendor's own SDK with nothing but its domain changed: what its listener is given is what was sent."""

import asyncio
import json
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector import simulator
from collector.demo.demo import settled
from collector.simulator.metaapi import MetaapiVenue
from tests.daemon.test_metaapi import MetaapiStage
from tests.kit.stage import live, until

from .conftest import ANSWER_SECONDS, Foreign, install

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(1200)]

SYMBOLS = ("EURUSD", "Si-12.26")
NAMES = (
    "mt-provisioning-api-v1.localhost",
    "mt-client-api-v1.london-a.localhost",
    "mt-client-api-v1.london-b.localhost",
    "mt-client-api-v1.london.localhost",
    "mt-market-data-client-api-v1.london.localhost",
    "127.0.0.1",
)


@pytest.fixture(scope="module")
def sdk() -> Foreign:
    return install("metaapi", "--only-binary", ":all:", "--no-binary", "metaapi-cloud-sdk,python-socketio")


@pytest.fixture(scope="module")
def names_certificate(sdk: Foreign, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A certificate for the names that the SDK makes: give the path of one of its files."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run([sdk.python, "-m", "trustme", "--quiet", "--dir", folder, "--identities", *NAMES], check=True)
    return lambda name: folder / name


class Driven:
    """The SDK in its process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> Any:
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
        return json.loads(line)

    async def ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        return await self.answer()


@asynccontextmanager
async def simulated(certificate: Callable[[str], Path], **settings: object) -> AsyncIterator[MetaapiVenue]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate("server.pem"), certificate("server.key"))
    switches = {"status_every": 1.0, "accounts": ("demo",), "history_events": 9000, **settings}
    async with simulator.serve(("metaapi",), seed=3, rate=100, tls=tls, settings={"metaapi": switches}) as running:
        yield running["metaapi"]


@asynccontextmanager
async def driven(sdk: Foreign, certificate: Callable[[str], Path], venue: MetaapiVenue) -> AsyncIterator[Driven]:
    port = venue.address["url"].rpartition(":")[2]
    arguments = (port, venue.settings.token, venue.address["account"], "1m", *SYMBOLS)
    trust = {"SSL_CERT_FILE": str(certificate("client.pem"))}
    async with sdk.drive("drive_metaapi.py", *arguments, environment=trust) as process:
        client = Driven(process)
        assert await client.answer() == "ready"
        yield client


def of_ticks(items: list[dict[str, Any]]) -> Counter[Any]:
    return Counter(
        (one["symbol"], one["time"], one["bid"], one["ask"], one.get("last"), one.get("volume"), one.get("side"))
        for one in items
    )


def last_candles(items: list[dict[str, Any]]) -> dict[Any, Any]:
    names = ("open", "high", "low", "close", "tickVolume", "volume")
    return {(one["symbol"], one["timeframe"], one["time"]): [one[name] for name in names] for one in items}


def true_ticks(venue: MetaapiVenue, symbol: str) -> list[dict[str, Any]]:
    quoted = venue.accounts["demo"].broker.quoted[symbol]
    return [json.loads(quoted.tick_json(tick)) for tick in quoted.ticks]


async def test_the_sdk_synchronises_and_pages_through_the_whole_past(
    sdk: Foreign, names_certificate: Callable[[str], Path]
) -> None:
    async with simulated(names_certificate) as venue, driven(sdk, names_certificate, venue) as client:
        venue.pause()
        held = await client.ask("held 1 1 1 1")
        history = await client.ask("history")

        assert held["synchronized"]
        assert held["connects"] == 1
        assert held["specifications"] == len(venue.accounts["demo"].broker.quoted)
        # The venue's own example counts by the last page alone, which is right while no page is one millisecond.
        assert of_ticks(history["ticks"]) == of_ticks(true_ticks(venue, SYMBOLS[0]))
        quoted = venue.accounts["demo"].broker.quoted[SYMBOLS[0]]
        bars = [json.loads(bar.json(quoted.symbol, "1m", quoted.offset_ms)) for bar in quoted.series.bars["1m"]]
        assert last_candles(history["candles"]) == last_candles(bars)


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_the_listener_is_given_what_our_tables_hold(
    sdk: Foreign,
    names_certificate: Callable[[str], Path],
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(names_certificate("client.pem")))
    async with simulated(names_certificate, running=False) as venue, aiohttp.ClientSession() as http:
        on = MetaapiStage(venue, tmp_path, database, http, "quotes_interval_ms = 1\ncandles_interval_ms = 1")
        text = on.config.read_text().replace('["*"]', json.dumps(SYMBOLS)).replace('["1m", "1h"]', '["1m"]')
        on.config.write_text(text.replace("books_interval_ms = 200", "books_interval_ms = 1"))
        async with on.daemon() as daemon, driven(sdk, names_certificate, venue) as client:
            await until(lambda: live(daemon), "a live daemon")
            await client.ask("held 1 1 1 1")
            await client.ask("forget")
            began_ms = venue.now_ms()
            for _ in range(300):
                venue.step(2)
                await asyncio.sleep(0.004)
            venue.pause()
            held = await client.ask("held 100 100 50 50")
            await settled(daemon.observed)

    since = "where time >= timestamptz 'epoch' + $1::bigint * interval '1 ms'"

    async def rows(query: str) -> Counter[Any]:
        return Counter(
            tuple(float(one) if isinstance(one, Decimal) else one for one in row)
            for row in await on.query(query.replace("SINCE", since), began_ms)
        )

    time = """to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    ticks = await rows(f"select symbol, {time}, bid, ask, last, last_size from v_ticks SINCE")
    assert len(ticks) > 100
    # A quote and a tick that say the same are one row here; of equal ticks each one counts.
    deals = Counter((*row[:6],) for row in of_ticks(held["ticks"]).elements())
    quotes = set(of_ticks(held["prices"]))
    expected = deals + Counter({row[:6]: 1 for row in quotes if row[:6] not in deals})
    assert ticks == expected
    trades = await rows(f"select symbol, {time}, price, size, side::int from v_trades SINCE")
    sides = {"buy": 1, "sell": -1}
    assert trades == Counter(
        (one["symbol"], one["time"], one["last"], one["volume"], sides[one["side"]])
        for one in held["ticks"]
        if "last" in one
    )
    books = await on.query(
        f"select symbol, {time}, bid_prices::float8[], bid_sizes::float8[], ask_prices::float8[], ask_sizes::float8[]"
        f" from v_books {since}",
        began_ms,
    )
    assert len(books) > 20
    assert sorted(map(list, books)) == sorted(map(of_book, held["books"]))
    candles = await on.query(
        f"select symbol, {time}, open, high, low, close, trades, volume from v_candles",
    )
    stored = {(row[0], row[1]): [float(one) for one in row[2:]] for row in candles}
    given = {(key[0], key[2]): values for key, values in last_candles(held["candles"]).items()}
    assert given == {key: stored[key] for key in given}


def of_book(item: dict[str, Any]) -> list[Any]:
    sides = []
    for kind, sign in (("BOOK_TYPE_BUY", -1), ("BOOK_TYPE_SELL", 1)):
        levels = sorted(
            ((one["price"], one["volume"]) for one in item["book"] if one["type"] == kind),
            key=lambda level: sign * level[0],
        )
        sides += [[float(level[0]) for level in levels], [float(level[1]) for level in levels]]
    return [item["symbol"], item["time"], *sides]


async def test_the_sdk_recovers_from_a_cut_line_and_hears_of_a_downgrade(
    sdk: Foreign, names_certificate: Callable[[str], Path]
) -> None:
    async with simulated(names_certificate) as venue, driven(sdk, names_certificate, venue) as client:
        await client.ask("held 5 5 1 1")
        assert venue.fault("cut")["hit"]
        await client.ask("forget")
        held = await client.ask("held 20 20 1 1")
        assert len(held["prices"]) >= 20
        assert len(held["books"]) >= 1
        assert venue.requested["synchronize"] >= 2
        await client.ask("synchronized")
        assert venue.fault("downgrade", symbol="Si-12.26")["hit"]
        held = await client.ask("held 30 30")
        assert held["downgrades"][0][0] == "Si-12.26"
        assert held["downgrades"][0][2] == [{"type": "marketDepth"}]
