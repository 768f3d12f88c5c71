"""A new configuration for a daemon that runs: checked as a whole, then applied to the venues, or refused as a whole.

What only a start can change (the database, the journal, the page's address) is told and left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from collector.clock import Clock, iso
from collector.config import Config, secret_values
from collector.daemon.venues import Changes
from collector.errors import CollectorError, ConfigError
from collector.logs import KNOWN_SECRETS
from collector.status.facts import ConfigurationFacts

log = structlog.get_logger()


class Reloading:
    """Holds the configuration that is used, and reads it again on request.

    It is `asked` for by an event. `reread` does what the start did, `apply` changes the venues.
    """

    def __init__(
        self,
        config: Config,
        asked: asyncio.Event,
        *,
        reread: Callable[[], Config] | None,
        apply: Callable[[Config], Awaitable[Changes]],
        clock: Clock,
    ) -> None:
        self.config = config
        self._reread = reread
        self._apply = apply
        self._clock = clock
        self._asked = asked
        self._loaded_ns = clock.now_ns()
        self._tried_ns: int | None = None
        self._refused: tuple[str, ...] = ()
        self._restart: tuple[str, ...] = ()
        self._reloads = 0

    def facts(self) -> ConfigurationFacts:
        """What `/api/status` tells of it."""
        return ConfigurationFacts(
            origin=self.config.origin,
            loaded=iso(self._loaded_ns),
            reloads=self._reloads,
            tried=None if self._tried_ns is None else iso(self._tried_ns),
            refused=self._refused,
            needs_restart=self._restart,
        )

    async def run(self) -> None:
        """Reload whenever that is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Read, check and apply; a configuration with a fault changes nothing. Never raises."""
        self._tried_ns = self._clock.now_ns()
        try:
            new = self.config if self._reread is None else self._reread()
        except ConfigError as error:
            self._refused = tuple(f"{fault.key}: {fault.problem}" for fault in error.faults)
        except (CollectorError, OSError) as error:
            self._refused = (str(error),)
        else:
            self._refused = ()
            KNOWN_SECRETS.learn(secret_values(new))
        if self._refused:
            log.error(
                "reload_refused",
                faults=list(self._refused),
                remedy="the previous configuration stays in use; correct the faults and reload again",
            )
            return
        old = self.config
        self._restart = tuple(
            name for name in type(old).model_fields if name != "venues" and getattr(old, name) != getattr(new, name)
        )
        self.config = old.model_copy(update={"venues": new.venues})
        changes = await self._apply(self.config)
        self._loaded_ns = self._clock.now_ns()
        self._reloads += 1
        log.info("reloaded", **{name: list(venues) for name, venues in changes._asdict().items() if venues})
        if self._restart:
            log.warning(
                "restart_needed", settings=list(self._restart), remedy="restart the daemon to apply these settings"
            )
