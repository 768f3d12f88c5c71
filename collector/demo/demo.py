"""The whole thing at once, without an account: simulated venues, a database of its own, the daemon, a live table.

At the end the market stands still, everything is committed, and the tables are compared with what the venues say they
sent. The comparison is the demo's point: it can fail.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from collector.config import FILE_NAME, load
from collector.daemon.daemon import Daemon
from collector.data_dir import make_folder
from collector.demo.compare import LEDGER_TIMEOUT_SECONDS, Ledger, Verdict, verify
from collector.errors import CollectorError
from collector.model import Instrument
from collector.status.observed import Observed

# For everything to run; a first start makes the database.
START_TIMEOUT_SECONDS = 60.0
# For everything sent to be committed after the market stopped.
SETTLE_TIMEOUT_SECONDS = 10.0
# If nothing new has arrived for this long after the market stopped, everything sent has arrived.
QUIET_SECONDS = 0.5
# Comparisons before a difference is reported: a row may be committed between two queries.
COMPARISONS_MAX = 3
# How often the screen is redrawn.
SCREEN_INTERVAL_SECONDS = 0.5
INSTRUMENTS_SHOWN_MAX = 20


async def demo(
    *,
    duration_seconds: float | None,
    rate: float,
    seed: int,
    venues: str | None,
    data_dir: Path | None,
    listen: str,
    console: Console,
) -> list[Verdict]:
    """Run until `duration_seconds` are over or somebody presses Ctrl-C, then compare; returns the comparison.

    Without `data_dir` everything is in a temporary folder and gone at the end.
    """
    with _folder(data_dir) as folder:
        async with _simulators(folder, rate=rate, seed=seed, venues=venues) as addresses:
            path = folder / FILE_NAME
            # With its data folder inside, the file is all that other commands need to find this demo's data.
            path.write_text(f"data_dir = {json.dumps(str(folder / 'data'))}\n\n{path.read_text('utf-8')}", "utf-8")
            config = load(path, {"COLLECTOR_HTTP__LISTEN": listen, "COLLECTOR_LOG__LEVEL": "warning"})
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, ended.set)
            try:
                async with Daemon.opened(config) as daemon, asyncio.TaskGroup() as group:
                    running = group.create_task(daemon.run())
                    await _show(daemon, running, ended, duration_seconds, console)
                    verdicts = await _settle_and_compare(daemon, addresses)
                    daemon.stop()
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
            return verdicts


class _folder:  # noqa: N801  used as a function
    """A folder that the database's account can pass through; removed at the end when it is temporary."""

    def __init__(self, wanted: Path | None) -> None:
        self._wanted = wanted
        self._made: Path | None = None

    def __enter__(self) -> Path:
        if self._wanted is not None:
            make_folder(self._wanted, server=True)
            if (self._wanted / "data" / "journal").exists():
                raise CollectorError(
                    f"{self._wanted} holds an earlier demo, whose rows these venues would not have sent: "
                    "remove it, or name another folder"
                )
            return self._wanted.absolute()
        self._made = Path(tempfile.mkdtemp(prefix="collector-demo-"))
        if os.geteuid() == 0:
            self._made.chmod(0o711)  # the database's account passes through
        return self._made

    def __exit__(self, *_: object) -> None:
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)


@asynccontextmanager
async def _simulators(
    folder: Path, *, rate: float, seed: int, venues: str | None
) -> AsyncIterator[Mapping[str, Mapping[str, str]]]:
    """Run the venues in a process of their own, as they would be elsewhere in the world."""
    command = [
        sys.executable,
        "-m",
        "collector.simulator",
        "--rate",
        str(rate),
        "--seed",
        str(seed),
        "--write-config",
        str(folder / FILE_NAME),
    ]
    if venues:
        command += ["--venues", venues]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise CollectorError(f"the simulated venues ended at once with status {await process.wait()}")
        yield json.loads(line)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _show(
    daemon: Daemon, running: asyncio.Task[None], ended: asyncio.Event, duration: float | None, console: Console
) -> None:
    """Show the live table until the time is over, somebody ends it, or the daemon fails.

    The time counts from the first rows: a database that is slow to start takes nothing of it.
    """
    begun, until = time.monotonic(), None
    seen = _Rates()
    with Live(console=console, refresh_per_second=4, transient=not console.is_terminal) as live:
        while not ended.is_set() and not running.done() and (until is None or time.monotonic() < until):
            now = time.monotonic()
            if (
                until is None
                and duration is not None
                and (daemon.statistics.total.stored or now - begun > START_TIMEOUT_SECONDS)
            ):
                until = now + duration
            if daemon.started.is_set():
                live.update(_screen(daemon.observed, daemon.http_address, seen, _left(until, duration)))
            try:
                async with asyncio.timeout(SCREEN_INTERVAL_SECONDS):
                    await ended.wait()
            except TimeoutError:
                continue
        if daemon.started.is_set():
            live.update(_screen(daemon.observed, daemon.http_address, seen, _left(until, duration)))


class _Rates:
    """Items a second by instrument, between two looks."""

    def __init__(self) -> None:
        self._last: dict[Instrument, tuple[float, int]] = {}

    def of(self, instrument: Instrument, count: int, now: float) -> float:
        at, before = self._last.get(instrument, (now, count))
        if now - at >= 2.0 or instrument not in self._last:
            self._last[instrument] = (now, count)
        return (count - before) / (now - at) if now > at else 0.0


def _left(until: float | None, duration: float | None) -> float | None:
    return duration if until is None else max(0.0, until - time.monotonic())


def _screen(observed: Observed, page: str | None, rates: _Rates, left: float | None) -> RenderableType:
    facts, now = observed.statistics, time.monotonic()
    rest = "press Ctrl-C to end" if left is None else f"{left:.0f} s left"
    table = Table(title=f"collector demo, {rest}", title_justify="left")
    for name, justify in (
        ("instrument", "left"),
        ("last", "right"),
        ("bid", "right"),
        ("ask", "right"),
        ("spread", "right"),
        ("items/s", "right"),
        ("trades", "right"),
        ("ticks", "right"),
        ("books", "right"),
        ("candles", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    busiest = sorted(facts.rows_by_instrument.items(), key=lambda entry: -entry[1].total())
    for instrument, counts in busiest[:INSTRUMENTS_SHOWN_MAX]:
        tick, trade = facts.last_tick.get(instrument), facts.last_trade.get(instrument)
        last = trade.price if trade else (tick.last if tick else None)
        table.add_row(
            f"{instrument.venue} {instrument.symbol}",
            last or "-",
            (tick and tick.bid) or "-",
            (tick and tick.ask) or "-",
            _spread(tick and tick.bid, tick and tick.ask),
            f"{rates.of(instrument, counts.total(), now):.0f}",
            *(f"{counts[name]:,}" for name in ("trades", "ticks", "books", "candles")),
        )
    if len(busiest) > INSTRUMENTS_SHOWN_MAX:
        table.add_row(f"and {len(busiest) - INSTRUMENTS_SHOWN_MAX} more", *[""] * 9)
    return Group(table, *_footer(observed, page))


def _spread(bid: str | None, ask: str | None) -> str:
    return str(Decimal(ask) - Decimal(bid)) if bid and ask else "-"


def _footer(observed: Observed, page: str | None) -> list[str]:
    total = observed.statistics.total
    lag = observed.statistics.last_lag_seconds
    backlog = observed.recorder.backlog_bytes
    counts = f"{total.stored:,} stored + {total.duplicates:,} duplicates + {total.quarantined:,} quarantined"
    lines = [
        f"{total.items:,} items = {counts}",
        f"from receipt to commit: {'-' if lag is None else f'{lag * 1000:.0f} ms'}",
        f"in the journal and not yet in the tables: {'-' if backlog is None else f'{backlog:,} bytes'}",
        f"status page: {page or '-'}",
    ]
    hint = observed.database.hint()
    if hint:
        lines.append(f"psql: {hint.command}")
        lines.append(f"Python: Market({str(observed.config().data_dir.parent)!r})")
    return lines


async def _settle_and_compare(daemon: Daemon, addresses: Mapping[str, Mapping[str, str]]) -> list[Verdict]:
    timeout = aiohttp.ClientTimeout(total=LEDGER_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        ledgers = {name: Ledger(http, _any_url(address)) for name, address in addresses.items()}
        for ledger in ledgers.values():
            await ledger.pause()
        try:
            return await compared(daemon.observed, ledgers)
        except TimeoutError:
            raise CollectorError(
                f"{SETTLE_TIMEOUT_SECONDS:.0f} s after the market stopped not everything was committed, so nothing "
                f"can be compared; the database: {daemon.writer.database.reason or 'connected'}"
            ) from None


async def compared(
    observed: Observed, ledgers: Mapping[str, Ledger], tables: Sequence[str] | None = None
) -> list[Verdict]:
    """Compare the tables with what the venues sent, once all of it is committed.

    Polls go on while the market stands still: an answer can be on its way while the tables are read, and is found in
    them a moment later. What was dropped is not.
    """
    verdicts: list[Verdict] = []
    for _ in range(COMPARISONS_MAX):
        await settled(observed)
        verdicts = []
        for name, ledger in ledgers.items():
            verdicts += await verify(observed.database.dsn(), name, ledger, tables)
        if all(verdict.equal for verdict in verdicts):
            break
    return verdicts


def _any_url(address: Mapping[str, Any]) -> str:
    return next(str(address[key]) for key in ("rest_url", "url", "ws_url") if key in address)


async def settled(observed: Observed) -> None:
    """Wait until nothing new arrives and all that arrived is committed."""
    async with asyncio.timeout(SETTLE_TIMEOUT_SECONDS):
        last, since = -1, time.monotonic()
        while True:
            frames = sum(feed.frames for one in observed.workers.values() for feed in one.worker.connections.values())
            if frames != last:
                last, since = frames, time.monotonic()
            if time.monotonic() - since > QUIET_SECONDS and observed.intake.settled:
                return
            await asyncio.sleep(0.05)
