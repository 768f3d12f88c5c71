"""The messages that we send on the socket, and the numbers by which their answers are known.

A request's id is 32 letters, as the venue's own client has them. The last six tell which symbol of the session it is
for, so that an answer in the journal says what it acknowledges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import orjson

APPLICATION = "MetaApi"
PING = b"2"

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ID_LETTERS = 32
_TARGET_LETTERS = 6


def request_id(random: Random, target: int | None = None) -> str:
    """Return a new id; `target` is the place of the symbol that it is for."""
    number = 0 if target is None else target + 1
    tail = ""
    for _ in range(_TARGET_LETTERS):
        number, letter = divmod(number, 26)
        tail = _LETTERS[letter] + tail
    return "".join(random.choices(_LETTERS, k=_ID_LETTERS - _TARGET_LETTERS)) + tail


def target_of(identity: str) -> int | None:
    """Return the place of the symbol that a request was for; None where it was for none."""
    tail = identity[-_TARGET_LETTERS:]
    if len(identity) != _ID_LETTERS or not tail.isascii() or not tail.isalpha() or not tail.islower():
        return None
    number = 0
    for letter in tail:
        number = number * 26 + ord(letter) - ord("a")
    return number - 1 if number else None


def random_session(random: Random) -> str:
    """Return a session's id."""
    return "".join(random.choices(_LETTERS, k=_ID_LETTERS))


def request(kind: str, account_id: str, identity: str, instance: int, now_iso: str | None = None, **more: Any) -> bytes:
    """Return a request as the event that carries it. `now_iso`: when it is made, where that is known."""
    body: dict[str, Any] = {
        "type": kind,
        "accountId": account_id,
        "requestId": identity,
        "application": APPLICATION,
        "instanceIndex": instance,
        **({"timestamps": {"clientProcessingStarted": now_iso}} if now_iso else {}),
        **more,
    }
    return b'42["request",' + orjson.dumps(body) + b"]"


def subscription(kind: str, intervals: Mapping[str, int | None]) -> dict[str, Any]:
    """Return a subscription as the venue has it; `kind` is `quotes`, `ticks`, `candles/1m`, `marketDepth`."""
    name, _, timeframe = kind.partition("/")
    interval = intervals.get(name)
    return {
        "type": name,
        **({"timeframe": timeframe} if timeframe else {}),
        **({} if interval is None else {"intervalInMilliseconds": interval}),
    }


def kind_of(told: Mapping[str, Any]) -> str:
    """Return our word for a subscription that the venue tells: `candles/1m` for candles of a period."""
    name, timeframe = told.get("type"), told.get("timeframe")
    return f"{name}/{timeframe}" if name == "candles" and timeframe else str(name)


def unsubscription(kind: str) -> dict[str, Any]:
    """Return what gives a subscription up."""
    return subscription(kind, {})


def targets(accounts: Mapping[str, Mapping[str, Any]]) -> Sequence[tuple[str, str]]:
    """List the symbols of a session by account id, in the order that requests' ids count."""
    return [(account_id, symbol) for account_id, described in accounts.items() for symbol in described["symbols"]]
