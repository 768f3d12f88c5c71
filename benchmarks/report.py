"""Results as tables for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table

from benchmarks.analysts import Answer
from benchmarks.bursts import Burst
from benchmarks.machine import Machine
from benchmarks.micro import Micro
from benchmarks.packets import Packets
from benchmarks.steady import Steady


@dataclass(slots=True)
class Results:
    """What was measured; what was not asked for is empty."""

    machine: Machine
    bursts: list[Burst] = field(default_factory=list)
    steady: Steady | None = None
    micro: Micro | None = None
    answers: list[Answer] = field(default_factory=list)
    packets: list[Packets] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """How many times more rows a second the collector stored than the other, from one-trade frames."""
        rates = {one.recorder: one.rows_per_second for one in self.bursts if one.trades_in_frame == 1}
        ours = rates.pop("collector", None)
        theirs = next(iter(rates.values()), None)
        return round(ours / theirs, 2) if ours and theirs else None

    def as_json(self) -> dict[str, Any]:
        """Everything, with units in the names."""
        result = asdict(self) | {"ratio": self.ratio}
        if self.steady is not None:
            result["steady"]["lags"] = {table: lags._asdict() for table, lags in self.steady.lags.items()}
        return result


def show(console: Console, results: Results) -> None:
    """Print all tables."""
    machine = results.machine
    console.print(
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb:g} GB, {machine.python}, {machine.database}, "
        f"load before {machine.load:g}",
        highlight=False,
    )
    for table in _tables(results):
        console.print(table)


def _tables(results: Results) -> Iterator[RenderableType]:
    if results.bursts:
        yield _bursts(results.bursts)
    if results.ratio is not None:
        yield f"[bold]{results.ratio:g} times[/] as many rows a second from one-trade frames\n"
    if results.steady is not None:
        yield _steady(results.steady)
    if results.packets:
        yield _packets(results.packets)
    if results.micro is not None:
        yield _micro(results.micro)
    if results.answers:
        yield _answers(results.answers)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _answers(answers: list[Answer]) -> Table:
    table = _table(
        "What analysts ask (milliseconds; server: its processor time)", "question", "rows", "median", "p90", "server"
    )
    for one in answers:
        table.add_row(one.question, f"{one.rows:,}", f"{one.median_ms:g}", f"{one.p90_ms:g}", f"{one.cpu_ms:g}")
    return table


def _bursts(bursts: list[Burst]) -> Table:
    table = _table(
        "From socket to table, as fast as it goes (CPU: us a row)",
        "recorder",
        "frame",
        "stored",
        "lost",
        "seconds",
        "rows/s",
        "CPU",
        "server",
        "MiB",
    )
    for one in bursts:
        table.add_row(
            one.recorder,
            f"{one.trades_in_frame}",
            f"{one.stored:,}",
            f"{one.sent - one.stored:,}",
            f"{one.seconds:.2f}",
            f"[bold]{one.rows_per_second:,}[/]",
            f"{one.cpu_us:.1f}",
            f"{one.server_cpu_us:.1f}",
            f"{one.peak_memory_mb:.0f}",
        )
    return table


def _steady(one: Steady) -> Table:
    table = _table(f"Steady load: {one.frames_per_second:,.0f} frames/s for {one.seconds:.0f} s", "", "")
    table.add_row("frames in the time", f"{one.frames:,}")
    table.add_row("records sent / stored", f"{one.sent:,} / {one.stored:,}")
    table.add_row("missing / never sent", f"{one.missing:,} / {one.surplus:,}")
    for name, lags in one.lags.items():
        table.add_row(
            f"receipt to commit, {lags.rows:,} {name}: p50 / p99 / most",
            f"{lags.p50 * 1000:.0f} / {lags.p99 * 1000:.0f} / {lags.most * 1000:.0f} ms",
        )
    table.add_row(
        "of each batch's oldest frame: p50 / p99",
        f"{one.batch_p50 * 1000:.0f} / {one.batch_p99 * 1000:.0f} ms",
    )
    table.add_row("daemon's share of one core", f"{one.cpu_share:.0%}")
    table.add_row(
        "memory at first / at last / most",
        f"{one.memory_start_mb:.0f} / {one.memory_end_mb:.0f} / {one.memory_peak_mb:.0f} MiB",
    )
    return table


def _packets(packets: list[Packets]) -> Table:
    table = _table(
        "MetaAPI: CPU a packet in us (net: less that of the idle program; loop: up to the batch, in a loop)",
        "recorder",
        "shape",
        "n/s",
        "bytes",
        "items",
        "CPU",
        "net",
        "idle ms/s",
        "server",
        "loop",
    )
    for one in packets:
        table.add_row(
            one.recorder,
            one.shape,
            f"{one.packets_per_second:.0f}",
            f"{one.bytes_per_packet:,.0f}",
            f"{one.items_per_packet:.1f}",
            f"[bold]{one.cpu_us:.0f}[/]",
            f"{one.net_us:.0f}",
            f"{one.idle_ms:.1f}",
            "-" if one.server_us is None else f"{one.server_us:.0f}",
            "-" if one.path_us is None else f"{one.path_us:.0f}",
        )
    return table


def _micro(one: Micro) -> Table:
    table = _table("The parts", "", "")
    for channel, value in one.parse_us.items():
        table.add_row(f"parse a frame of {channel}", f"{value:.2f} us")
    table.add_row("append a record to the journal", f"{one.journal_us:.2f} us")
    table.add_row("journal with fsync", f"{one.journal_mb_per_second:.0f} MiB/s")
    table.add_row("encode and insert trades", f"{one.insert_rows_per_second:,} rows/s")
    table.add_row("its CPU in our process", f"{one.insert_cpu_us:.2f} us/row")
    return table
