"""Secrets, session tokens and the quota of each method."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from collector.simulator.finam.text import timestamp

MINUTE_NS: Final = 60_000_000_000


class Sessions:
    """The tokens that were given out. Old ones stay valid until their own end."""

    def __init__(
        self, secret: str, account: str, seconds: float, now_ns: Callable[[], int], random: Random, delayed: str
    ) -> None:
        self._secret = secret
        self._account = account
        self._seconds = seconds
        self._now_ns = now_ns
        self._random = random
        self._delayed = delayed
        self._tokens: dict[str, tuple[int, int]] = {}
        self.given = 0

    def __repr__(self) -> str:
        return f"<Sessions {self.given} given>"

    def open(self, secret: object) -> str | None:
        """Give a token for the secret; None where it is the wrong one."""
        if secret != self._secret:
            return None
        token = f"tapi_ak_{self._random.getrandbits(128):032x}"
        now = self._now_ns()
        self._tokens[token] = now, now + int(self._seconds * 1e9)
        self.given += 1
        return token

    def valid(self, authorization: str | None) -> bool:
        """Tell whether a header's or request's token lives; `Bearer` may stand before it."""
        token = (authorization or "").removeprefix("Bearer ")
        return token in self._tokens and self._now_ns() < self._tokens[token][1]

    def expire(self) -> int:
        """End every token now; give how many there were."""
        count = len(self._tokens)
        self._tokens.clear()
        return count

    def details(self, token: str) -> dict[str, Any]:
        """Make the answer that describes a valid token."""
        begin, end = self._tokens[token]
        level = "QUOTE_LEVEL_DEPTH_OF_MARKET"
        return {
            "created_at": timestamp(begin // 1000),
            "expires_at": timestamp(end // 1000),
            "md_permissions": [
                {"quote_level": level, "delay_minutes": 15 if mic == self._delayed else 0, "mic": mic}
                for mic in ("MISX", "RTSX", "XNGS", "_SP")
            ],
            "account_ids": [self._account],
            "readonly": True,
        }


class Quotas:
    """So many calls of each method in each minute of the clock."""

    def __init__(self, limit: int, now_ns: Callable[[], int]) -> None:
        self.limit = limit
        self._now_ns = now_ns
        self._minute = 0
        self._used: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def take(self, method: str) -> bool:
        """Count a call; False where the quota is used up."""
        self._turn()
        self.calls[method] = self.calls.get(method, 0) + 1
        if self._used.get(method, 0) >= self.limit:
            self.refused[method] = self.refused.get(method, 0) + 1
            return False
        self._used[method] = self._used.get(method, 0) + 1
        return True

    def seconds_left(self) -> int:
        """Give how long this minute lasts."""
        return 60 - self._now_ns() % MINUTE_NS // 1_000_000_000

    def as_json(self) -> dict[str, Any]:
        """Make the answer of the usage method."""
        self._turn()
        reset = timestamp((self._minute + 1) * MINUTE_NS // 1000)
        return {
            "quotas": [
                {"name": name, "limit": str(self.limit), "remaining": str(self.limit - used), "reset_time": reset}
                for name, used in sorted(self._used.items())
            ]
        }

    def _turn(self) -> None:
        minute = self._now_ns() // MINUTE_NS
        if minute != self._minute:
            self._minute = minute
            self._used.clear()
