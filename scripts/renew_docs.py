"""Write the answers in docs/cookbook.md and the pictures in docs/images anew: `.venv/bin/python scripts/renew_docs.py`.

Records simulated venues for some minutes, fetches two hours of their history, cuts a line once, and asks. The answers
differ each time, as the market does; a test sees to it that every question is still answered, and with these columns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from collector import simulator
from collector.config import load
from collector.daemon.daemon import Daemon
from collector.data.chart import draw
from collector.data.picture import ask
from collector.data.source import opened
from collector.demo.compare import Ledger

DOCS = Path(__file__).parents[1] / "docs"
COOKBOOK = DOCS / "cookbook.md"
IMAGES = DOCS / "images"
SHOWN_ROWS = 12

# A question of a page, and the answer that follows it.
BLOCK = re.compile(r"```sql\n(?P<sql>.*?)```\n(?:\n```text\n(?P<answer>.*?)```\n)?", re.DOTALL)


def shown(value: Any) -> str:
    """Write a value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        text = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
        return text.removesuffix(".000")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.3f} s" if value < timedelta(minutes=1) else str(value).partition(".")[0]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def aligned(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write an answer as a table, numbers to the right."""
    texts = [[shown(value) for value in row] for row in rows[:SHOWN_ROWS]]
    widths = [max(map(len, (name, *(row[place] for row in texts)))) for place, name in enumerate(names)]
    numbers = [all(isinstance(row[place], int | float | Decimal | None) for row in rows) for place in range(len(names))]

    def line(row: Sequence[str]) -> str:
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numbers, strict=True)
        )
        return " | ".join(cells).rstrip() + "\n"

    left_out = len(rows) - len(texts)
    return (
        line(names)
        + "-+-".join("-" * width for width in widths)
        + "\n"
        + "".join(map(line, texts))
        + (f".. and {left_out} more\n" if left_out else "")
    )


async def answered(connection: asyncpg.Connection, text: str) -> str:
    """Return a page with the answer of this moment after each question."""
    pieces, end = [], 0
    for match in BLOCK.finditer(text):
        statement = await connection.prepare(match["sql"])
        names = [one.name for one in statement.get_attributes()]
        table = aligned(names, [tuple(row) for row in await statement.fetch()])
        pieces += [text[end : match.start()], f"```sql\n{match['sql']}```\n\n```text\n{table}```\n"]
        end = match.end()
    return "".join(pieces) + text[end:]


@asynccontextmanager
async def reading(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as an analyst has it."""
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        yield connection
    finally:
        await connection.close()


async def record(folder: Path, seconds: float) -> None:
    """Record all simulated venues, get two hours of history, cut the line of one for a while, and renew the docs."""
    async with simulator.serve(seed=3, rate=60.0) as running, aiohttp.ClientSession() as http:
        path = folder / "collector.toml"
        path.write_text(f"data_dir = {json.dumps(str(folder / 'data'))}\n\n{running.config()}")
        config = load(path, {"COLLECTOR_HTTP__LISTEN": "127.0.0.1:0", "COLLECTOR_LOG__LEVEL": "warning"})
        ledger = Ledger(http, running.addresses["fmfw"]["rest_url"])
        async with Daemon.opened(config) as daemon, asyncio.TaskGroup() as group:
            group.create_task(daemon.run())
            await daemon.started.wait()
            await asyncio.sleep(seconds * 0.5)
            await backfilled(path)
            await ledger.tell("faults", {"fault": "refuse_connections", "seconds": seconds * 0.08})
            await ledger.tell("faults", {"fault": "cut"})
            await asyncio.sleep(seconds * 0.5)
            await renew(path)
            daemon.stop()


async def backfilled(path: Path) -> None:
    since = datetime.now(UTC) - timedelta(hours=3)
    command = [
        sys.executable,
        "-m",
        "collector.cli",
        "backfill",
        "fmfw",
        "BTCUSDT",
        "ETHUSDT",
        "--stream",
        "trades",
        "--from",
        since.isoformat(),
        "--config",
        str(path),
    ]
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise SystemExit("the backfill failed")


async def renew(path: Path) -> None:
    async with opened(path) as dsn:
        async with reading(dsn) as connection:
            text = await answered(connection, COOKBOOK.read_text("utf-8"))
        now = datetime.now(UTC)
        history = await ask(dsn, "fmfw", "BTCUSDT", now - timedelta(hours=2), now, "1m")
        live = await ask(dsn, "fmfw", "BTCUSDT", now - timedelta(minutes=5), now, None)
    COOKBOOK.write_text(text, "utf-8")
    IMAGES.mkdir(exist_ok=True)
    draw(history, IMAGES / "hours.png")
    draw(live, IMAGES / "minutes.png")
    draw(live, IMAGES / "minutes-dark.png", style="dark")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="how long to record")
    folder = Path(tempfile.mkdtemp(prefix="collector-docs-"))
    folder.chmod(0o755)  # for the account of the database server
    try:
        asyncio.run(record(folder, parser.parse_args().seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
