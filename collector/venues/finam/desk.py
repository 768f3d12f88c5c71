"""What the lines of one venue share in memory: the session's token, the list of assets, who is to be looked after.

A token lives about a quarter of an hour and cannot be prolonged: the secret is shown again at two thirds of its life,
by whoever polls, one at a time. Nothing of this is ever journalled or logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.values import time_us
from collector.venues.rest import RestAnswer

RENEW_AFTER_SECONDS = 600.0
RENEW_AT_SHARE = 2 / 3
USUAL_LIFE_SECONDS = 900.0
LISTING_SECONDS = 86_400.0

_LEVELS_WITH_BOOKS = frozenset({"QUOTE_LEVEL_DEPTH_OF_MARKET", "QUOTE_LEVEL_DEPTH_OF_BOOK", "QUOTE_LEVEL_UNSPECIFIED"})
_FORBIDDEN = "QUOTE_LEVEL_ACCESS_FORBIDDEN"


class Permission:
    """What the token may see of one exchange."""

    __slots__ = ("delay_minutes", "level")

    def __init__(self, level: str, delay_minutes: int) -> None:
        self.level = level
        self.delay_minutes = delay_minutes

    @property
    def books(self) -> bool:
        return self.level in _LEVELS_WITH_BOOKS

    @property
    def anything(self) -> bool:
        return self.level != _FORBIDDEN


class Desk:
    """One venue's shared state. Times are our wall clock in nanoseconds; only how long a token lives is the venue's."""

    def __init__(self, venue: str, settings: FinamSettings) -> None:
        self.venue = venue
        self.settings = settings
        self.token: str | None = None
        self.since_ns = 0
        self.renew_ns = 0
        self.account = settings.account_id
        self.permissions: dict[str, Permission] = {}
        self.listing: dict[str, dict[str, Any]] = {}
        self.listed_ns = 0
        self.urgent: set[str] = set()
        """Symbols whose stream has begun anew: REST is to look after them at once."""
        self.closed: frozenset[str] = frozenset()
        """Symbols whose market is closed now, as the schedules say."""

    def __repr__(self) -> str:
        return f"<Desk {self.venue} {'with' if self.token else 'without'} a token>"

    def log_in(self, answer: RestAnswer) -> str:
        """Take the answer to a login; returns the token. Raises `VenueError`."""
        token = _content(self.venue, answer, "login").get("token")
        if type(token) is not str or not token.isascii() or not token.isprintable() or not 0 < len(token) < 10_000:
            raise VenueError(self.venue, "the answer to a login holds no token; is rest_url right?")
        self.token, self.since_ns = token, answer.received_ns
        self._renew_after(answer.received_ns, USUAL_LIFE_SECONDS)
        return token

    def learn(self, answer: RestAnswer) -> None:
        """Take the answer that describes the token. Raises `VenueError`."""
        content = _content(self.venue, answer, "session details")
        begin_us, end_us = time_us(content.get("created_at")), time_us(content.get("expires_at"))
        if begin_us is not None and end_us is not None and end_us > begin_us:
            self._renew_after(self.since_ns, (end_us - begin_us) / 1e6)
        accounts = content.get("account_ids")
        if not self.settings.account_id and type(accounts) is list and accounts and type(accounts[0]) is str:
            self.account = accounts[0]
        rights = content.get("md_permissions")
        self.permissions = {
            scope: permission
            for right in (rights if type(rights) is list else ())
            if type(right) is dict
            for scope, permission in (_permission(right),)
        }

    def permission(self, symbol: str) -> Permission | None:
        """Return what may be seen of a symbol, where the session's details say it for its exchange or for all."""
        return self.permissions.get(symbol.rpartition("@")[2]) or self.permissions.get("worldwide")

    def due(self, now_ns: int) -> bool:
        """Tell whether it is time for a new token."""
        return self.token is None or now_ns >= self.renew_ns

    def is_old(self, now_ns: int) -> bool:
        """Tell whether the token is so old that a strange failure may mean its end."""
        return now_ns - self.since_ns > RENEW_AFTER_SECONDS * 1e9

    def reject(self, headers: Mapping[str, str]) -> None:
        """The venue did not take this call's token: unless there is a newer one already, get one."""
        if headers.get("Authorization") == self.token:
            self.token = None

    def _renew_after(self, from_ns: int, life_seconds: float) -> None:
        self.renew_ns = from_ns + int(min(RENEW_AFTER_SECONDS, life_seconds * RENEW_AT_SHARE) * 1e9)


def _content(venue: str, answer: RestAnswer, what: str) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        content = None
    if type(content) is not dict:
        raise VenueError(venue, f"the answer to {what} is no JSON object; is rest_url right?")
    return content


def _permission(right: Mapping[str, Any]) -> tuple[str, Permission]:
    delay = right.get("delay_minutes")
    level = right.get("quote_level")
    permission = Permission(
        level if type(level) is str else "QUOTE_LEVEL_UNSPECIFIED", delay if type(delay) is int else 0
    )
    for scope in ("mic", "country", "continent"):
        if type(right.get(scope)) is str and right[scope]:
            return (right[scope] if scope == "mic" else f"{scope}:{right[scope]}"), permission
    return "worldwide", permission
