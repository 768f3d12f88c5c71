"""An adapter in a wheel of its own, installed beside the program: recorded, shown, and judged by the kit."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import asyncpg
import pytest

from .server import SYMBOLS, ToyServer, serving

HERE = Path(__file__).parent
LONGEST_ADAPTER_LINES = 120
PATIENCE_SECONDS = 90.0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a Python that has the toy's wheel beside ours."""
    folder = tmp_path_factory.mktemp("toy")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(HERE)]
    subprocess.run(build, check=True, cwd=folder)
    [wheel] = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True, cwd=folder)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(HERE.parents[1])])}


def run(environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=PATIENCE_SECONDS)


def configured(folder: Path, server: ToyServer, dsn: str) -> Path:
    path = folder / "collector.toml"
    path.write_text(
        f"""
        data_dir = "{folder / "data"}"
        [database]
        dsn = "{dsn}"
        [http]
        listen = "127.0.0.1:0"
        [venues.toy]
        symbols = ["AB", "CD", "NIX"]
        rest_url = "http://{server.address}"
        ws_url = "ws://{server.address}/ws"
        """
    )
    return path


def test_adapter_of_trades_alone_is_short() -> None:
    lines = (HERE / "collector_toy" / "__init__.py").read_text().splitlines()
    assert len(lines) <= LONGEST_ADAPTER_LINES


def test_guide_shows_the_adapter_as_it_is() -> None:
    guide = (HERE.parents[1] / "docs" / "new-venue.md").read_text()
    source = (HERE / "collector_toy" / "__init__.py").read_text()
    blocks = [block.partition("\n")[2] for block in guide.split("```")[1::2] if block.startswith("python\n")]
    assert len(blocks) >= 4
    for block in blocks:
        assert block.strip() in source


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_toy_is_recorded_and_checked_and_its_tables_hold_what_it_told(
    database: str, tmp_path: Path, installed: Mapping[str, str]
) -> None:
    async with serving() as server:
        path = configured(tmp_path, server, database)
        checked = await asyncio.to_thread(run, installed, "collector.cli", "check", "--config", str(path))
        assert "venues.toy" in checked.stdout
        assert "NIX: no such symbol" in checked.stdout
        assert "2 symbols, trades, 1 connection(s)" in checked.stdout
        log = (tmp_path / "log").open("wb")
        command = [sys.executable, "-m", "collector.cli", "run", "--config", str(path)]
        daemon = await asyncio.create_subprocess_exec(*command, env=installed, stdout=log, stderr=log)
        try:
            await eventually(lambda: all(len(server.told[symbol]) > 200 for symbol in ("AB", "CD")), daemon)
            server.running = False
            connection = await asyncpg.connect(database)
            try:
                end = time.monotonic() + PATIENCE_SECONDS
                while await held(connection) != server.told | {"EF": []} and time.monotonic() < end:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                assert await held(connection) == server.told
            finally:
                await connection.close()
        finally:
            daemon.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_SECONDS):
                status = await daemon.wait()
            log.close()
        assert status == 0, (tmp_path / "log").read_text()
    kit = run(installed, "collector.venues.conformance", "toy", "--journal", str(tmp_path / "data/journal"))
    assert kit.returncode == 0, kit.stdout + kit.stderr
    wrong = run(installed, "collector.venues.conformance", "toy_wrong", "--json")
    assert wrong.returncode == 1
    assert {problem["check"] for problem in json.loads(wrong.stdout)["problems"]} == {"key"}


async def held(connection: asyncpg.Connection) -> dict[str, list[int]]:
    try:
        rows = await connection.fetch(
            "select symbol, trade_id from v_trades where venue = 'toy' order by trade_id::int"
        )
    except asyncpg.UndefinedTableError:
        return {}
    found: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
    for symbol, trade_id in rows:
        found[symbol].append(int(trade_id))
    return found


async def eventually(condition: Callable[[], bool], daemon: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            assert daemon.returncode is None, "the daemon has ended"
            await asyncio.sleep(0.05)
