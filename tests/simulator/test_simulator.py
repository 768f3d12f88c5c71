"""The simulator as a whole: in this process, and in one of its own."""

import asyncio
import json
import signal
import socket
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector import simulator
from collector.simulator.__main__ import main
from collector.simulator.finam.venue import FinamVenue
from collector.simulator.fmex.venue import FmexVenue
from collector.simulator.fmfw.venue import FmfwVenue
from collector.simulator.metaapi.venue import MetaapiVenue


def test_venues_are_found_by_their_folders() -> None:
    assert "fmfw" in simulator.venue_names()


@pytest.mark.parametrize("name", simulator.venue_names())
async def test_a_tenth_of_the_moments_with_trades_has_equal_ones(name: str) -> None:
    settings = {"history_events": 8000, "running": False}
    async with simulator.serve((name,), seed=5, settings={name: settings}) as running:
        told = counted_trades(running[name])
    moments = Counter[Any]()
    for symbol, time, *_ in told:
        moments[symbol, time] += 1
    equal = {trade[:2] for trade, count in told.items() if count > 1}
    assert 0.08 < len(equal) / len(moments) < 0.16


def counted_trades(venue: Any) -> Counter[Any]:
    """What every trade of a venue's history says, and how many say so: symbol, time, price, size and side first."""
    if isinstance(venue, FmfwVenue):
        logs = [(market.symbol, market.trades) for market in venue.exchange.markets.values()]
        return Counter((symbol, *log[place][1:]) for symbol, log in logs for place in range(log.dropped, log.end))
    if isinstance(venue, FmexVenue):
        return Counter((market.symbol, *one[1:]) for market in venue.markets.values() for one in market.trades)
    if isinstance(venue, FinamVenue):
        markets = venue.exchange.markets.values()
        return Counter((market.symbol, *one[1:]) for market in markets for one in market.trades)
    assert isinstance(venue, MetaapiVenue)
    return Counter(
        (quoted.symbol.name, tick.time_ms, tick.last, tick.volume, tick.side, tick.bid, tick.ask)
        for quoted in venue.brokers[0].quoted.values()
        for tick in quoted.ticks
        if tick.volume
    )


async def test_an_unknown_venue_is_refused_before_anything_starts() -> None:
    with pytest.raises(simulator.UnknownVenueError, match=r"choose from .*fmfw"):
        async with simulator.serve(("fmfw", "nasdaq")):
            pass


async def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="idz"):
        async with simulator.serve(("fmfw",), settings={"fmfw": {"idz": "time"}}):
            pass


async def test_the_configuration_points_at_the_addresses() -> None:
    async with simulator.serve(("fmfw",), settings={"fmfw": {"history_events": 100}}) as running:
        tables = tomllib.loads(running.config())
        assert set(running.addresses["fmfw"]) == {"rest_url", "ws_url"}
        assert running.addresses["fmfw"].items() <= tables["venues"]["fmfw"].items()
        assert tables["venues"]["fmfw"]["symbols"] == ["*"]
        assert "1 venues" not in repr(running)


async def test_the_doors_are_shut_when_the_context_ends() -> None:
    async with simulator.serve(("fmfw",), settings={"fmfw": {"history_events": 100}}) as running:
        url = running.addresses["fmfw"]["rest_url"]
        session = aiohttp.ClientSession()
        line = await session.ws_connect(running.addresses["fmfw"]["ws_url"])
    assert (await line.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    with pytest.raises(aiohttp.ClientConnectorError):
        await session.get(f"{url}/public/symbol")
    await session.close()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_tells_its_addresses_first_and_stops_cleanly(tmp_path: Path, stop: Any) -> None:
    file = tmp_path / "collector.toml"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "collector.simulator",
        "--venues",
        "fmfw",
        "--seed",
        "5",
        "--rate",
        "100",
        "--symbols",
        "3",
        "--write-config",
        str(file),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    addresses = json.loads(await asyncio.wait_for(process.stdout.readline(), 10))
    async with aiohttp.ClientSession() as session:
        answer = await (await session.get(addresses["fmfw"]["rest_url"] + "/public/symbol")).json()
    assert list(answer) == ["BTCUSDT", "ETHUSDT", "ETHBTC"]
    assert tomllib.loads(file.read_text())["venues"]["fmfw"]["ws_url"] == addresses["fmfw"]["ws_url"]
    process.send_signal(stop)
    out, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_a_wrong_venue_on_the_command_line_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--venues", "nasdaq"]) == 2
    assert "choose from" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--venues", "fmfw", "--port", str(taken.getsockname()[1])]) == 1
    assert "cannot serve" in capsys.readouterr().err


def test_a_certificate_that_is_none_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "empty.pem"
    file.touch()
    with pytest.raises(SystemExit, match="2"):
        main(["--certificate", str(file)])
    assert f"{file} is no PEM file" in capsys.readouterr().err
