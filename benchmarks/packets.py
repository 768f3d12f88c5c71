"""What a packet of MetaAPI costs at a steady pace: the whole daemon, and the vendor's own SDK on the same packets.

A packet every 5 ms is no load to speak of. What it costs is the waking up: every process, thread and cache is cold
again when the next one comes, so that the same code takes several times as long as in a loop. `path_us` is that loop.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import recorders
from benchmarks.environment import metaapi_python
from benchmarks.processes import Program, ProgramError, cpu_seconds, program
from benchmarks.terminal import KINDS, packets
from collector import venues
from collector.clock import SystemClock
from collector.journal import Journal, JournalOptions
from collector.normalise.normaliser import Normaliser
from collector.recording.intake import JournalledIntake
from collector.venues.header import SessionHeader
from collector.venues.metaapi.strip import strip

# What the SDK calls the venue's services.
NAMES = (
    "mt-provisioning-api-v1.localhost",
    "mt-client-api-v1.london-a.localhost",
    "mt-client-api-v1.london-b.localhost",
    "mt-client-api-v1.london.localhost",
    "mt-market-data-client-api-v1.london.localhost",
)
PATH_PACKETS = 3000
PATH_PASSES = 5
WARM_UP_SECONDS = 5.0
FLOW_SECONDS = 30.0
_HERE = Path(__file__).parent

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Packets:
    """One recorder at one shape of packets. `cpu_us` is all its processor time, by packet; `idle_ms` what it uses in a
    second in which nothing comes, and `net_us` what is left of `cpu_us` without that. `path_us`: the same packets in a
    loop in one process, from the message to the journal's buffer and the batch of rows.
    """

    recorder: str
    shape: str
    packets_per_second: float
    bytes_per_packet: float
    items_per_packet: float
    cpu_us: float
    idle_ms: float
    net_us: float
    server_us: float | None
    path_us: float | None


async def measure(
    folder: Path, recorder: str, *, shape: str, pace: float, seconds: float, progress: Progress = lambda _: None
) -> Packets:
    """Let one recorder take packets for so long. All speak TLS, as in earnest.

    `collector` is the whole daemon, `journal` the same without a database, which does what the SDK does and keeps the
    frames besides; `metaapi-cloud-sdk` is the vendor's.
    """
    certificate, key = _certificate(folder)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        venue = await enter(
            program(
                "terminal",
                sys.executable,
                "-m",
                "benchmarks.terminal",
                "--shape",
                shape,
                "--certificate",
                certificate,
                "--key",
                key,
                log=folder / "venue.log",
            )
        )
        address = await venue.first_line()
        open_one = {"collector": _collector, "journal": _journalling}.get(recorder, _sdk)
        running, server_pid = await enter(open_one(folder, address, certificate))
        http = await enter(aiohttp.ClientSession())
        control = address["control_url"]
        async with asyncio.timeout(FLOW_SECONDS):
            while not (await _ask(http, control))["flowing"]:  # noqa: ASYNC110  the terminal is another process
                await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_UP_SECONDS)
        idle, _, began, _ = await _used(http, control, running, server_pid, seconds / 2, lambda _: None)
        await http.post(f"{control}/pace", json={"pace": pace})
        await asyncio.sleep(WARM_UP_SECONDS)
        cpu, server, passed, sent = await _used(http, control, running, server_pid, seconds, progress)
        if not sent["packets"]:
            raise ProgramError("the terminal sent nothing")
        count = sent["packets"]
        path = await _path(folder / "path", shape) if recorder == "collector" else None
        return Packets(
            recorder=running.name,
            shape=shape,
            packets_per_second=round(count / passed, 1),
            bytes_per_packet=round(sent["bytes"] / count),
            items_per_packet=round(sent["items"] / count, 1),
            cpu_us=round(cpu / count * 1e6),
            idle_ms=round(idle / began * 1e3, 1),
            net_us=round((cpu - idle / began * passed) / count * 1e6),
            server_us=None if server is None else round(server / count * 1e6),
            path_us=path,
        )


async def measure_reading(folder: Path, *, shape: str, pace: float, seconds: float) -> Packets:
    """Let a program read the same packets that does nothing else: less than that no client can take."""
    certificate, key = _certificate(folder)
    trust = {"SSL_CERT_FILE": str(certificate)}
    module = (sys.executable, "-m", "benchmarks.bare")
    served = (*module, "serve", "--shape", shape, "--pace", str(pace), "--certificate", certificate, "--key", key)
    async with program("packets", *served, log=folder / "venue.log") as venue:
        url = (await venue.first_line())["url"]
        async with program("reader", *module, "read", url, str(seconds), log=folder / "log", environ=trust) as reader:
            used = await reader.first_line()
    cpu_us = round(used["cpu"] / used["packets"] * 1e6)
    return Packets(
        recorder=f"websockets {used['version']}, reading only",
        shape=shape,
        packets_per_second=round(used["packets"] / used["seconds"], 1),
        bytes_per_packet=round(used["bytes"] / used["packets"]),
        items_per_packet=0.0,
        cpu_us=cpu_us,
        idle_ms=0.0,
        net_us=cpu_us,
        server_us=None,
        path_us=None,
    )


async def _used(
    http: aiohttp.ClientSession,
    control: str,
    running: Program,
    server_pid: int | None,
    seconds: float,
    progress: Progress,
) -> tuple[float, float | None, float, dict[str, float]]:
    """Return seconds of processor time, the server's, seconds passed, and what the terminal sent meanwhile."""

    def server() -> float | None:
        return None if server_pid is None else cpu_seconds(server_pid, children=True)

    before, cpu, base, since = await _ask(http, control), running.cpu_seconds, server(), time.monotonic()
    while (passed := time.monotonic() - since) < seconds:
        progress(passed)
        await asyncio.sleep(min(0.5, seconds - passed))
    now, of_server = running.cpu_seconds, server()
    passed = time.monotonic() - since
    after = await _ask(http, control)
    sent = {name: after[name] - before[name] for name in ("packets", "bytes", "items")}
    return now - cpu, None if of_server is None or base is None else of_server - base, passed, sent


async def _ask(http: aiohttp.ClientSession, control: str) -> dict[str, Any]:
    async with http.get(f"{control}/state") as response:
        state: dict[str, Any] = await response.json()
        return state


@asynccontextmanager
async def _collector(
    folder: Path, address: dict[str, str], certificate: Path
) -> AsyncIterator[tuple[Program, int | None]]:
    async with recorders.collector(folder, _section(address), {"SSL_CERT_FILE": str(certificate)}) as running:
        yield running.program, running.observer.server_pid


@asynccontextmanager
async def _journalling(
    folder: Path, address: dict[str, str], certificate: Path
) -> AsyncIterator[tuple[Program, int | None]]:
    async with recorders.journalling(folder, _section(address), {"SSL_CERT_FILE": str(certificate)}) as running:
        yield running, None


def _section(address: dict[str, str]) -> str:
    return (
        f'[venues.metaapi]\ntoken = "{address["token"]}"\nbase_url = "{address["url"]}"\nticks = "both"\n'
        f'candles = ["1m", "1h"]\n[venues.metaapi.accounts.demo]\nid = "{address["account"]}"\nsymbols = ["*"]\n'
    )


@asynccontextmanager
async def _sdk(folder: Path, address: dict[str, str], certificate: Path) -> AsyncIterator[tuple[Program, int | None]]:
    python = await asyncio.to_thread(metaapi_python)
    subscriptions = []
    for kind, interval in KINDS.items():
        name, _, timeframe = kind.partition("/")
        subscriptions.append(
            {"type": name, "intervalInMilliseconds": interval} | ({"timeframe": timeframe} if timeframe else {})
        )
    _, described = await packets("one", 1)
    symbols = next(iter(described.values()))["symbols"]
    async with program(
        "metaapi-cloud-sdk",
        python,
        _HERE / "metaapi_recorder.py",
        address["url"].rpartition(":")[2],
        address["token"],
        address["account"],
        json.dumps(subscriptions),
        *symbols,
        log=folder / "log",
        environ={"SSL_CERT_FILE": str(certificate)},
    ) as running:
        running.name = f"metaapi-cloud-sdk {(await running.first_line())['version']}"
        yield running, None


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for the names that the SDK uses, and trust in itself."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ",".join([*(f"DNS:{name}" for name in NAMES), "IP:127.0.0.1"])
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        f"subjectAltName={names}",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    try:
        subprocess.run(command, capture_output=True, check=True, text=True)
    except FileNotFoundError as error:
        raise ProgramError("openssl is needed, for the terminal's certificate") from error
    except subprocess.CalledProcessError as error:
        raise ProgramError(f"openssl made no certificate: {error.stderr.strip()[-300:]}") from error
    return certificate, key


async def _path(folder: Path, shape: str) -> float:
    """Return the microseconds that a packet takes in a loop: stripped, appended to the journal, parsed into a batch."""
    frames, accounts = await packets(shape, PATH_PACKETS)
    header = SessionHeader("metaapi", "metaapi", own={"accounts": accounts}, worker="bench")
    best = float("inf")
    journal = await Journal.open(folder, JournalOptions(), now_ns=time.time_ns)
    for _ in range(PATH_PASSES):
        intake = JournalledIntake(journal, Normaliser(venues.find), SystemClock(), batch_rows=10**9, queue_bytes=10**9)
        session = intake.open(header, strip=strip)
        received_ns, began = time.time_ns(), time.process_time()
        for frame in frames:
            session.frame(frame, received_ns)
        best = min(best, (time.process_time() - began) / len(frames))
        if not intake.out.items or intake.out.quarantine:
            raise ProgramError("the packets were not understood")
        await journal.flush()
    await journal.close()
    return round(best * 1e6, 1)
