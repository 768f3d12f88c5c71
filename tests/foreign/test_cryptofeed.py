"""cryptofeed's own FMFW class, with nothing but its addresses changed; it insists on wss."""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from collector import simulator
from collector.simulator.fmfw import FmfwVenue, extracts

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(1200)]

SYMBOLS = {"BTC-USDT": "BTCUSDT", "ETH-BTC": "ETHBTC"}


@pytest.fixture
async def venue(certificate: Callable[[str], Path]) -> AsyncIterator[FmfwVenue]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate("server.pem"), certificate("server.key"))
    async with simulator.serve(("fmfw",), seed=11, rate=200, tls=tls) as running:
        yield running["fmfw"]


def extract(venue: FmfwVenue, stream: str, symbol: str, **asked: str) -> dict[str, Any]:
    return extracts.extract(venue, {"stream": stream, "symbol": symbol, **asked})


def numbers(side: list[list[str]]) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(size) for price, size in side}


async def test_it_records_every_trade_candle_ticker_and_book_change(
    venue: FmfwVenue, cryptofeed: Any, certificate: Callable[[str], Path]
) -> None:
    trusted = str(certificate("client.pem"))
    trust = {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted}
    urls = venue.address["rest_url"], venue.address["ws_url"]
    async with cryptofeed.drive("drive_cryptofeed.py", *urls, *SYMBOLS, environment=trust) as process:
        await cryptofeed.ready(process)
        venue.pause()
        held = await cryptofeed.result(process)

    for normal, symbol in SYMBOLS.items():
        ledger = extract(venue, "trades", symbol)
        ((first, end),) = ledger["sent"]
        assert end == ledger["total"]
        assert held["trades"][normal] == [[str(row[0]), *row[1:]] for row in ledger["rows"][first:]]

        sent = {int(start): json.loads(bar) for start, bar in extract(venue, "candles", symbol)["sent"].items()}
        got = {int(start): values for start, values in held["candles"][normal].items()}
        assert got == {start: [bar[key] for key in "ochlv"] for start, bar in sent.items()}

        tickers = [json.loads(row) for row in extract(venue, "ticks", symbol, channel="ticker/1s")["rows"]]
        assert held["tickers"][normal] == [[one["t"], one["b"], one["a"]] for one in tickers]

        books = extract(venue, "books", symbol)
        assert numbers(held["books"][symbol]["a"]) == numbers(books["current"]["a"])
        assert numbers(held["books"][symbol]["b"]) == numbers(books["current"]["b"])
        sequences = held["sequences"][symbol]
        assert sequences[-1] == books["current"]["s"]
        assert all(later - earlier in (0, 1) for earlier, later in pairwise(sequences))
    assert venue.opened == 1
