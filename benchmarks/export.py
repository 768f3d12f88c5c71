"""How fast an export is, and how much memory it takes: `.venv/bin/python -m benchmarks.export --rows 1000000`.

A server as durable as in earnest gets trades of two days; then `collector export` runs as a user would run it, in a
process of its own. Seconds are from its start to its end, processor time and memory are the kernel's figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from collector.data.files import FORMATS
from collector.store.embedded import EmbeddedServer
from collector.store.migrate import migrate

MARKET = """
with venue as (insert into venues (code) values ('fmfw') returning venue_id)
insert into instruments (venue_id, symbol) select venue_id, 'BTCUSDT' from venue
"""
TRADES = """
insert into trades (time, instrument_id, trade_key, trade_id, price, size, side, received_at)
select t, instrument_id, n * 7919, n::text, 60000 + (n % 99991) * 0.01, (n * 31 % 99991 + 1) * 0.00001,
       case n % 2 when 0 then 1 else -1 end, t + interval '3 ms'
from instruments, generate_series(0, $1::bigint - 1) n,
     lateral (select timestamptz '2026-11-10 00:00:00+00' + n * (interval '2 days' / $1::bigint) as t) moment
"""


async def measure(folder: Path, rows: int) -> None:
    server = EmbeddedServer(folder / "data")
    async with server.running() as dsn:
        await migrate(dsn)
        connection = await asyncpg.connect(dsn)
        await connection.execute(MARKET)
        await connection.execute(TRADES, rows)
        await connection.execute("vacuum analyze trades")
        await connection.close()
        print("| format | seconds | rows/s | CPU s | peak MiB | bytes |")
        print("|---|---:|---:|---:|---:|---:|")
        for kind in FORMATS:
            await asyncio.to_thread(export, dsn, folder / kind, kind, rows)


def export(dsn: str, out: Path, kind: str, rows: int) -> None:
    """Run the command, and print what the kernel says of its process."""
    command = [sys.executable, "-m", "collector.cli", "export", "trades", "--format", kind, "--out", str(out)]
    started = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, "COLLECTOR_DATABASE__DSN": dsn}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if status:
        raise SystemExit(f"the export as {kind} failed")
    size = sum(path.stat().st_size for path in out.rglob("rows.*"))
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    print(f"| {kind} | {seconds:.1f} | {rows / seconds:,.0f} | {cpu:.1f} | {peak:,.0f} | {size:,} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="collector-export-"))
    folder.chmod(0o755)  # for the account of the database server
    try:
        asyncio.run(measure(folder, parser.parse_args().rows))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
