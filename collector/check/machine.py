"""The machine: the data folder, its disk's space and speed, the port, and the limits of this account."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from collector.check.findings import Finding, Verdict
from collector.check.obstacles import ENTER, READ, WRITE, look, obstacles, strangers
from collector.config import Config

# Less free space than this is worth a warning: a day of a busy recorder.
FREE_WARNING_BYTES = 5 << 30
# With less than this, recording would soon stop.
FREE_FAILURE_BYTES = 256 << 20
# The disk's speed is measured by this many syncs, or by fewer where the time is up.
SYNCS_MAX = 20
SYNCS_TIMEOUT_SECONDS = 2.0
SYNC_BYTES = 64 << 10
# Files that are named; what is wrong with them is mostly wrong with all of their kind.
FILES_SHOWN_MAX = 20
# For the journal, database connections, 128 connections of the status page, REST calls of repairs, libraries, and
# spares.
OWN_DESCRIPTORS = 256
# The embedded server inherits the limit, and each of its processes keeps that many tables open.
SERVER_DESCRIPTORS = 1024


def data_dir(config: Config) -> Finding:
    """Whether the data folder can be written, and how much room there is."""
    path = config.data_dir
    existing = _existing(path)
    obstacle = look(existing, READ | WRITE | ENTER, existing, folder=True)
    if obstacle is not None or not _writable(existing):
        why = f" ({obstacle})" if obstacle else ""
        return Finding(
            "data_dir",
            Verdict.FAILURE,
            f"{path} cannot be written{why}",
            f"make {existing} writable for this user, or set data_dir to another folder",
        )
    free = shutil.disk_usage(existing).free
    text = f"{path}, {free / (1 << 30):.1f} GiB free"
    if free < config.journal.min_free_gb * (1 << 30):
        floor = config.journal.min_free_gb
        return Finding(
            "disk space",
            Verdict.FAILURE,
            f"{text}, and journal.min_free_gb is {floor:g}",
            "free some space or lower journal.min_free_gb; otherwise nothing would be recorded",
        )
    if free < FREE_FAILURE_BYTES:
        return Finding("disk space", Verdict.FAILURE, text, "free some space: nothing could be recorded")
    if free < FREE_WARNING_BYTES:
        return Finding(
            "disk space",
            Verdict.WARNING,
            text,
            "this is little for a journal and a database; `collector plan` estimates how long it lasts",
        )
    return Finding("data_dir", Verdict.OK, text)


def files(config: Config) -> Iterator[Finding]:
    """Whether every file in the data folder can be used: one finding for each that cannot."""
    embedded = config.database.dsn is None
    found = [*obstacles(config.data_dir, embedded=embedded)]
    for obstacle in found[:FILES_SHOWN_MAX]:
        yield Finding("files", Verdict.FAILURE, str(obstacle), obstacle.remedy)
    if len(found) > FILES_SHOWN_MAX:
        yield Finding("files", Verdict.FAILURE, f"and {len(found) - FILES_SHOWN_MAX} more like these", found[-1].remedy)
    of_others = [*strangers(config.data_dir)]
    for obstacle in of_others[:FILES_SHOWN_MAX]:
        yield Finding("files", Verdict.WARNING, str(obstacle), obstacle.remedy)
    if len(of_others) > FILES_SHOWN_MAX:
        more = len(of_others) - FILES_SHOWN_MAX
        yield Finding("files", Verdict.WARNING, f"and {more} more like these", of_others[-1].remedy)
    if not found and not of_others:
        yield Finding("files", Verdict.OK, "this account can use every file in the data folder")


def disk_speed(config: Config) -> Finding:
    """How long the disk takes to sync, measured on a small file within two seconds."""
    spans: list[float] = []
    try:
        with tempfile.TemporaryFile(prefix=".collector-check-", dir=_existing(config.data_dir)) as probe:
            fd, piece = probe.fileno(), os.urandom(SYNC_BYTES)
            end = time.perf_counter() + SYNCS_TIMEOUT_SECONDS
            while len(spans) < SYNCS_MAX and time.perf_counter() < end:
                os.write(fd, piece)
                began = time.perf_counter()
                os.fdatasync(fd)
                spans.append((time.perf_counter() - began) * 1000)
    except OSError as error:
        return Finding(
            "disk speed",
            Verdict.FAILURE,
            f"a file in data_dir cannot be synced: {error.strerror}",
            "the journal needs a file system that takes fdatasync",
        )
    return judge_syncs(spans, config.journal.sync_ms)


def judge_syncs(spans_ms: list[float], sync_ms: float) -> Finding:
    """Judge measured syncs, in milliseconds, by how often the journal wants one."""
    middle, longest = sorted(spans_ms)[len(spans_ms) // 2], max(spans_ms)
    text = f"a sync of {SYNC_BYTES >> 10} KiB takes {middle:.1f} ms, the longest of {len(spans_ms)} {longest:.1f} ms"
    if middle > sync_ms:
        return Finding(
            "disk speed",
            Verdict.WARNING,
            f"{text}; journal.sync_ms is {sync_ms:g}",
            "rows are stored only after a sync: use a faster disk for data_dir, or raise journal.sync_ms",
        )
    return Finding("disk speed", Verdict.OK, text)


def listen(config: Config) -> Finding:
    """Whether the port is free."""
    host, port = config.http.host, config.http.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding(
                "http.listen",
                Verdict.WARNING,
                f"{config.http.listen}: {error.strerror}; the daemon would record without its status page, "
                "and keep trying",
                "this is fine if a collector is running already; otherwise free the port or choose another",
            )
    if not config.http.loopback:
        return Finding(
            "http.listen",
            Verdict.OK,
            f"{config.http.listen} is free; everyone who can reach it can read the status page, since there "
            "is no password",
        )
    return Finding("http.listen", Verdict.OK, f"{config.http.listen} is free")


def file_limits(config: Config) -> Iterator[Finding]:
    """Whether as many files may be open, and as large ones, as the configuration asks for."""
    enabled = [one for one in config.venues.values() if one.enabled]
    lines = sum(one.begin().limits().connections for one in enabled)
    needed = OWN_DESCRIPTORS + lines + (SERVER_DESCRIPTORS if config.database.dsn is None else 0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # the daemon raises its limit to that
    if most == resource.RLIM_INFINITY or most >= needed:
        files = "any number of" if most == resource.RLIM_INFINITY else f"{most:,}"
        yield Finding("open files", Verdict.OK, f"{files} files may be open, {needed:,} may be needed")
    else:
        yield Finding(
            "open files",
            Verdict.WARNING,
            f"{most:,} files may be open at a time, and up to {needed:,} may be needed",
            f"set LimitNOFILE={needed} in the systemd unit, or run `ulimit -Hn {needed}`; this counts all "
            "connections that the settings allow",
        )
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest not in (resource.RLIM_INFINITY, -1) and largest < config.journal.segment_mb << 20:
        yield Finding(
            "file size",
            Verdict.FAILURE,
            f"no file may be larger than {largest >> 20} MiB, and journal.segment_mb is {config.journal.segment_mb}",
            "set LimitFSIZE=infinity in the systemd unit, run `ulimit -f unlimited`, or lower journal.segment_mb",
        )


def _existing(path: Path) -> Path:
    while not os.path.lexists(path):  # false, too, where this user may not look
        path = path.parent
    return path


def _writable(folder: Path) -> bool:
    try:
        tempfile.TemporaryFile(prefix=".collector-check-", dir=folder).close()
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)  # told as little space
    return True
