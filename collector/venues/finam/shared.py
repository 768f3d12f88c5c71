"""What the connections and polls of one venue share in memory: the session's token, permissions, the list of assets.

A token lives about 15 minutes and cannot be renewed: the polling logs in again with the secret at two thirds of its
life. None of this is ever journalled or logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.values import time_us
from collector.venues.rest import RestAnswer

# A token is replaced after this share of its life, and at the latest after this time: early enough that calls in flight
# never carry an expired one, and seldom enough that the quota for logins (200 a minute) does not matter.
TOKEN_RENEWAL_SHARE = 2 / 3
TOKEN_RENEWAL_MAX_SECONDS = 600.0

# The life of a token whose details the venue does not give; tokens have lived 15 minutes in all observations.
TOKEN_LIFE_DEFAULT_SECONDS = 900.0

# How long the list of all assets is used before it is fetched again. It takes about 100 calls and changes daily.
LISTING_AGE_MAX_SECONDS = 86_400.0

# Longer tokens are refused as garbage; the venue's tokens are far shorter.
_TOKEN_MAX_CHARACTERS = 10_000

# The quote levels that include order books. One that the venue does not specify counts as one of them, so that books
# are left out only where the venue says so.
_LEVELS_WITH_BOOKS = frozenset({"QUOTE_LEVEL_DEPTH_OF_MARKET", "QUOTE_LEVEL_DEPTH_OF_BOOK", "QUOTE_LEVEL_UNSPECIFIED"})
_FORBIDDEN = "QUOTE_LEVEL_ACCESS_FORBIDDEN"


class Permission:
    """What the token may see of one exchange. `level`: the venue's quote level; `delay_minutes`: of delayed data."""

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


class SharedState:
    """One venue's shared state. Times are nanoseconds of our wall clock.

    Of the venue's clock only the difference between a token's creation and expiry is used, so that a wrong clock on
    either side does not matter.
    """

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
        """Symbols whose stream has just begun (again): REST is to fetch at once what was missed before."""
        self.closed: frozenset[str] = frozenset()
        """Symbols whose market is closed now, according to the schedules."""

    def __repr__(self) -> str:
        return f"<SharedState {self.venue} {'with' if self.token else 'without'} a token>"

    def log_in(self, answer: RestAnswer) -> str:
        """Take over the answer to a login, and return its token. Raises `VenueError`."""
        token = _content(self.venue, answer, "login").get("token")
        printable = type(token) is str and token.isascii() and token.isprintable()
        if type(token) is not str or not printable or not 0 < len(token) < _TOKEN_MAX_CHARACTERS:
            raise VenueError(self.venue, "the answer to the login has no token; check rest_url")
        self.token, self.since_ns = token, answer.received_ns
        self._renew_after(answer.received_ns, TOKEN_LIFE_DEFAULT_SECONDS)
        return token

    def learn(self, answer: RestAnswer) -> None:
        """Take over the answer that describes the token: its life, account and permissions. Raises `VenueError`."""
        content = _content(self.venue, answer, "call for the session's details")
        begin_us, end_us = time_us(content.get("created_at")), time_us(content.get("expires_at"))
        if begin_us is not None and end_us is not None and end_us > begin_us:
            self._renew_after(self.since_ns, (end_us - begin_us) / 1e6)
        accounts = content.get("account_ids")
        if not self.settings.account_id and type(accounts) is list and accounts and type(accounts[0]) is str:
            self.account = accounts[0]
        items = content.get("md_permissions")
        self.permissions = dict(
            _permission(item) for item in (items if type(items) is list else ()) if type(item) is dict
        )

    def permission(self, symbol: str) -> Permission | None:
        """Return what the token may see of a symbol; None where its details name neither the exchange nor all."""
        return self.permissions.get(symbol.rpartition("@")[2]) or self.permissions.get("worldwide")

    def due(self, now_ns: int) -> bool:
        """Whether it is time to log in: there is no token, or it is to be replaced."""
        return self.token is None or now_ns >= self.renew_ns

    def is_old(self, now_ns: int) -> bool:
        """Whether the token is so old that an unclear failure may mean that it has expired."""
        return now_ns - self.since_ns > TOKEN_RENEWAL_MAX_SECONDS * 1e9

    def reject(self, headers: Mapping[str, str]) -> None:
        """The venue refused a call with these headers: drop its token, unless there is a newer one already."""
        if headers.get("Authorization") == self.token:
            self.token = None

    def _renew_after(self, from_ns: int, life_seconds: float) -> None:
        self.renew_ns = from_ns + int(min(TOKEN_RENEWAL_MAX_SECONDS, life_seconds * TOKEN_RENEWAL_SHARE) * 1e9)


def _content(venue: str, answer: RestAnswer, subject: str) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        content = None
    if type(content) is not dict:
        raise VenueError(venue, f"the answer to the {subject} is not a JSON object; check rest_url")
    return content


def _permission(item: Mapping[str, Any]) -> tuple[str, Permission]:
    """Return a permission with its scope: an exchange's code, `country:..`, `continent:..` or `worldwide`."""
    delay = item.get("delay_minutes")
    level = item.get("quote_level")
    permission = Permission(
        level if type(level) is str else "QUOTE_LEVEL_UNSPECIFIED", delay if type(delay) is int else 0
    )
    for scope in ("mic", "country", "continent"):
        if type(item.get(scope)) is str and item[scope]:
            return (item[scope] if scope == "mic" else f"{scope}:{item[scope]}"), permission
    return "worldwide", permission
