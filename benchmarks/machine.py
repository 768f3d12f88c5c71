"""What the numbers were measured on; without it they mean nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from collector import __version__
from collector.store.embedded import find


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` is the load average of the minute before: much more than 0 means that the machine was shared."""

    when: str
    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str
    database: str
    collector: str
    load: float


def describe() -> Machine:
    """Look around."""
    server = find()
    return Machine(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30), 1),
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        database="none found" if server is None else f"PostgreSQL {server.version}",
        collector=__version__,
        load=round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.machine()
