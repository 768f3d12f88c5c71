"""How long the audit of a day takes: `python -m benchmarks.audit`.

A million trades of fifty instruments over 1,440 minutes, with the candles that they make, in a real TimescaleDB; every
minute is added up and compared, twice: when nothing is known of it, and when all verdicts are there already.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import typer

from collector.audit.minutes import FULL, MinuteAudit, Span
from collector.store.embedded import EmbeddedServer
from collector.store.migrate import migrate

DAY = datetime(2026, 11, 20, tzinfo=UTC)

TRADES = """
insert into trades
select $1::timestamptz + (n * 86400.0 / $2::bigint) * interval '1 second', 1 + n % $3::bigint, n, n::text,
       100 + (n * 7919 % 1000) / 100.0, (1 + n * 104729 % 9999) / 1000.0, 1 - 2 * (n % 2)::int, now()
from generate_series(0, $2::bigint - 1) n
"""
CANDLES = """
insert into candles
select minute, instrument_id, 60, 'trade', open[1], high, low, close[1], volume, null, trades, true, now()
from (
  select date_bin('1 minute', time, 'epoch') as minute, instrument_id, array_agg(price order by time) as open,
         array_agg(price order by time desc) as close, max(price) as high, min(price) as low, sum(size) as volume,
         count(*) as trades
  from trades group by 1, 2
) x
"""


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder that the database's account can enter."""
    with tempfile.TemporaryDirectory(prefix="collector-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def measure(trades: int, instruments: int) -> dict[str, float | int | str]:
    """Return seconds of a first and of a second audit."""
    with _folder() as folder:
        server = EmbeddedServer(folder)
        dsn = await server.start()
        try:
            await migrate(dsn)
            connection = await asyncpg.connect(dsn)
            try:
                await connection.execute("insert into venues (code) values ('fmfw')")
                await connection.execute(
                    "insert into instruments (venue_id, symbol) select 1, 'S' || n from generate_series(1, $1) n",
                    instruments,
                )
                await connection.execute(TRADES, DAY, trades, instruments, timeout=600)
                await connection.execute(CANDLES, timeout=600)
                await connection.execute("analyze")
                spans = [Span(number, DAY, DAY + timedelta(days=1), FULL) for number in range(1, instruments + 1)]
                seconds, processor = [], []
                pid = await connection.fetchval("select pg_backend_pid()")
                await connection.execute("set max_parallel_workers_per_gather = 0")  # all of it in one process
                for _ in range(2):
                    began, used = time.perf_counter(), _cpu_seconds(pid)
                    counts = await MinuteAudit(connection).judge(spans, DAY + timedelta(days=2))
                    seconds.append(round(time.perf_counter() - began, 2))
                    processor.append(round(_cpu_seconds(pid) - used, 2))
            finally:
                await connection.close()
        finally:
            await server.stop()
    complete = sum(count.minutes for count in counts if count.verdict == "complete")
    return {
        "trades": trades,
        "instruments": instruments,
        "minutes": complete,
        "first_seconds": seconds[0],
        "first_cpu_seconds": processor[0],
        "second_seconds": seconds[1],
        "second_cpu_seconds": processor[1],
    }


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used: on a busy machine the seconds by the clock tell little."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def main(trades: int = 1_000_000, instruments: int = 50) -> None:
    """Measure and print."""
    result = asyncio.run(measure(trades, instruments))
    typer.echo(", ".join(f"{name} {value}" for name, value in result.items()))


if __name__ == "__main__":
    typer.run(main)
