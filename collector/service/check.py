"""Tells before a start what would go wrong after it: configuration, database, venues, disk.

The checks look and never change anything: no table is made, no server started, nothing subscribed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import NamedTuple

from collector import venues
from collector.config import Config, VenueConfig
from collector.errors import CollectorError
from collector.feed.network import AiohttpNetwork, LineError, Network, shown
from collector.service.catalogue import discover
from collector.store.dsn import address, connect
from collector.store.embedded import EmbeddedServer, find
from collector.store.migrate import pending
from collector.venues.adapter import Plan

VENUE_TIMEOUT_SECONDS = 30.0
LITTLE_SPACE_BYTES = 5 << 30
NO_SPACE_BYTES = 256 << 20


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(NamedTuple):
    """One thing looked at: what it is, how it stands, and what to do about it."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


async def check(config: Config) -> AsyncIterator[Finding]:
    """Look at everything, one finding after the other as they come."""
    yield Finding("configuration", Verdict.OK, config.origin)
    for look in (_data_dir, _listen):
        yield look(config)
    async for finding in _database(config):
        yield finding
    if not config.venues:
        yield Finding("venues", Verdict.FAILURE, "none is configured, so nothing would be recorded",
                      "collector.example.toml is a configuration to start from")  # fmt: skip
    for name, venue in config.venues.items():
        async for finding in _venue(name, venue):
            yield finding


def _data_dir(config: Config) -> Finding:
    path = config.data_dir
    existing = path
    while not os.path.lexists(existing):  # false, too, where this user may not look
        existing = existing.parent
    if not _writable(existing):
        return Finding("data_dir", Verdict.FAILURE, f"{path} cannot be written",
                       f"give this user the folder {existing}, or set data_dir to one of its own")  # fmt: skip
    free = shutil.disk_usage(existing).free
    text = f"{path}, {free / (1 << 30):.1f} GiB free"
    if free < config.journal.min_free_gb * (1 << 30):
        floor = config.journal.min_free_gb
        return Finding("data_dir", Verdict.FAILURE, f"{text}, and journal.min_free_gb is {floor:g}",
                       "free some space or lower it: nothing would be recorded")  # fmt: skip
    if free < NO_SPACE_BYTES:
        return Finding("data_dir", Verdict.FAILURE, text, "free some space: nothing could be recorded")
    if free < LITTLE_SPACE_BYTES:
        return Finding("data_dir", Verdict.WARNING, text, "that is little for a journal and a database")
    return Finding("data_dir", Verdict.OK, text)


def _writable(folder: Path) -> bool:
    try:
        probe = folder / f".collector-check-{Random().getrandbits(64):x}"  # noqa: S311  a name nobody else has
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def _listen(config: Config) -> Finding:
    host, port = config.http.host, config.http.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding("http.listen", Verdict.WARNING, f"{config.http.listen}: {error.strerror}",
                           "fine if a collector runs already; else choose another port")  # fmt: skip
    return Finding("http.listen", Verdict.OK, f"{config.http.listen} is free")


async def _database(config: Config) -> AsyncIterator[Finding]:
    if config.database.dsn is None:
        installation = find()
        if installation is None:
            yield Finding("database", Verdict.FAILURE, "none is configured and there is no server to start",
                          "run `collector database install`, or set database.dsn")  # fmt: skip
            return
        server = EmbeddedServer(config.data_dir)
        if obstacle := server.obstacle(installation):
            yield Finding("database", Verdict.FAILURE, obstacle)
        else:
            hint = server.describe()
            yield Finding("database", Verdict.OK, f"embedded: {installation}" + ("" if hint else ", not made yet"))
        return
    dsn = config.database.dsn.get_secret_value()
    try:
        connection = await connect(dsn)
        try:
            version = await connection.fetchval("show server_version")
            timescaledb = await connection.fetchval(
                "select coalesce(installed_version, 'not installed, but available as ' || default_version)"
                " from pg_available_extensions where name = 'timescaledb'"
            )
        finally:
            await connection.close(timeout=5)
        waiting = await pending(dsn)
    except CollectorError as error:
        yield Finding("database", Verdict.FAILURE, str(error), "set database.dsn right, or start the server")
        return
    yield Finding("database", Verdict.OK,
                  f"{address(dsn)}: PostgreSQL {version}, TimescaleDB {timescaledb or 'not available'}")  # fmt: skip
    if waiting:
        yield Finding("migrations", Verdict.WARNING, f"{len(waiting)} to apply: {', '.join(waiting)}",
                      "`collector run` applies them, or `collector migrate` now")  # fmt: skip


async def _venue(name: str, venue: VenueConfig) -> AsyncIterator[Finding]:
    subject = f"venues.{name}"
    limits = venues.find(venue.adapter).limits(venue.settings)
    async with AiohttpNetwork.open() as network:
        try:
            async with asyncio.timeout(VENUE_TIMEOUT_SECONDS):
                plan = await discover(name, venue, network)
        except TimeoutError:
            yield Finding(
                subject, Verdict.FAILURE, f"no answer in {VENUE_TIMEOUT_SECONDS:.0f} s", "is the network open?"
            )
            return
        except CollectorError as error:
            yield Finding(subject, Verdict.FAILURE, str(error), f"check the addresses in [venues.{name}]")
            return
        for problem in plan.problems:
            yield Finding(f"{subject}.symbols", Verdict.WARNING, f"{problem.subject}: {problem.reason}")
        yield _planned(subject, plan)
        for note in plan.notes:
            yield Finding(f"{subject}.plan", Verdict.OK, note)
        if plan.connections:
            address = venues.find(venue.adapter).address(plan.connections[0], Random())  # noqa: S311  no secret
            yield await _socket(subject, network, *address, limits.max_message_bytes)


def _planned(subject: str, plan: Plan) -> Finding:
    pairs = {(one.stream, symbol) for line in plan.lines for one in line.subscriptions for symbol in one.symbols}
    streams = sorted({stream for stream, _ in pairs})
    symbols = {symbol for _, symbol in pairs}
    text = f"{len(symbols)} symbols, {', '.join(streams) or 'no streams'}, {len(plan.connections)} connection(s)"
    if not plan.lines:
        return Finding(subject, Verdict.FAILURE, text, "no configured symbol can be recorded")
    return Finding(subject, Verdict.OK, text)


async def _socket(
    subject: str, network: Network, url: str, headers: Mapping[str, str], max_message_bytes: int
) -> Finding:
    try:
        line = await network.connect(url, headers=headers, max_message_bytes=max_message_bytes)
    except LineError as error:
        return Finding(f"{subject}.ws_url", Verdict.FAILURE, str(error), "check the address, and that sockets may pass")
    await line.close()
    return Finding(f"{subject}.ws_url", Verdict.OK, f"{shown(url)} accepts connections")
