"""Tells before a start what would go wrong after it: configuration, machine, database, venues.

The checks look and never change anything: no table is made, no server started, nothing subscribed. All that is written
is a small file in the data folder, to see how quick the disk is; it is gone at once.

*Offline* asks nobody who may be away for a while. The venues are left out, and of the database nothing is worse than a
warning: a daemon starts without either and loses nothing, so that a start must not hang on them.
"""

from __future__ import annotations

__all__ = ["Finding", "Verdict", "check"]

import asyncio
from collections.abc import AsyncIterator

from collector.check.access import data_folder, secrets
from collector.check.audit import auditable
from collector.check.database import look_at_database
from collector.check.findings import Finding, Verdict
from collector.check.machine import data_dir, disk_speed, file_limits, files, listen
from collector.check.venues import look_at_venue
from collector.config import Config

# How long the database may take to answer.
DATABASE_TIMEOUT_SECONDS = 30.0
# The same for `check --offline`, which shall be quick.
OFFLINE_DATABASE_TIMEOUT_SECONDS = 2.0


async def check(config: Config, *, offline: bool = False) -> AsyncIterator[Finding]:
    """Look at everything, one finding after the other as they come; `offline`: see above."""
    yield Finding("configuration", Verdict.OK, config.origin)
    folder = data_dir(config)
    # A full disk is no reason not to start: the daemon is who deletes what is no longer needed.
    full = folder.verdict is Verdict.FAILURE and folder.subject == "disk space"
    yield folder._replace(verdict=Verdict.WARNING) if offline and full else folder
    if folder.verdict is not Verdict.FAILURE or full:
        for finding in files(config):
            yield finding
    if folder.verdict is not Verdict.FAILURE:
        yield await asyncio.to_thread(disk_speed, config)
    for finding in (*data_folder(config), *secrets(config), listen(config), *file_limits(config)):
        yield finding
    seconds = OFFLINE_DATABASE_TIMEOUT_SECONDS if offline else DATABASE_TIMEOUT_SECONDS
    async for finding in look_at_database(config, seconds):
        yield finding._replace(verdict=Verdict.WARNING) if offline and finding.verdict is Verdict.FAILURE else finding
    if not config.venues:
        yield Finding(
            "venues",
            Verdict.FAILURE,
            "none is configured, so nothing would be recorded",
            "copy collector.example.toml to start with",
        )
    for finding in auditable(config):
        yield finding
    if offline:
        return
    # All at once, since one that does not answer takes half a minute to say so; told in their order.
    looks = [asyncio.ensure_future(look_at_venue(name, config)) for name in config.venues]
    try:
        for look in looks:
            for finding in await look:
                yield finding
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
