"""A new configuration for a daemon that runs: checked as a whole, then applied to the venues, or refused as a whole.

What only a start can change (the database, the journal, the page's address) is told and left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from collector.config import Config, secret_values
from collector.errors import CollectorError, ConfigError
from collector.logs import KNOWN
from collector.service.facts import ConfigurationFacts
from collector.service.status import iso

if TYPE_CHECKING:
    from collector.service.daemon import Daemon

log = structlog.get_logger()


class Reloading:
    """Reads the configuration again on request. `reread` does what the start did."""

    def __init__(self, daemon: Daemon, reread: Callable[[], Config] | None) -> None:
        self._daemon = daemon
        self._reread = reread
        self._loaded_ns = daemon.started_ns
        self._tried_ns: int | None = None
        self._refused: tuple[str, ...] = ()
        self._restart: tuple[str, ...] = ()
        self._reloads = 0

    def facts(self) -> ConfigurationFacts:
        """What `/api/status` tells of it."""
        return ConfigurationFacts(
            origin=self._daemon.config.origin,
            loaded=iso(self._loaded_ns),
            reloads=self._reloads,
            tried=None if self._tried_ns is None else iso(self._tried_ns),
            refused=self._refused,
            needs_restart=self._restart,
        )

    async def reload(self) -> None:
        """Read, check and apply; a configuration with a fault changes nothing. Never raises."""
        daemon = self._daemon
        self._tried_ns = daemon.clock.now_ns()
        try:
            new = daemon.config if self._reread is None else self._reread()
        except ConfigError as error:
            self._refused = tuple(f"{fault.key}: {fault.problem}" for fault in error.faults)
        except (CollectorError, OSError) as error:
            self._refused = (str(error),)
        else:
            self._refused = ()
            KNOWN.learn(secret_values(new))
        if self._refused:
            log.error("reload_refused", faults=list(self._refused), remedy="the configuration of before is still used")
            return
        old = daemon.config
        self._restart = tuple(
            name for name in type(old).model_fields if name != "venues" and getattr(old, name) != getattr(new, name)
        )
        daemon.config = old.model_copy(update={"venues": new.venues})
        daemon.auditing.reconfigure(daemon.config)
        changes = await daemon.feeds.apply(new.venues)
        self._loaded_ns = daemon.clock.now_ns()
        self._reloads += 1
        log.info("reloaded", **{name: list(venues) for name, venues in changes._asdict().items() if venues})
        if self._restart:
            log.warning("restart_needed", settings=list(self._restart),
                        remedy="these are read at the start only")  # fmt: skip
