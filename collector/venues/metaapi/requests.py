"""The messages that we send on the socket, and the ids by which their answers are recognised.

A request's id is 32 lower-case letters, as in the venue's own client. The last six encode the symbol that it is for, as
the symbol's number in the session (its target): so an answer in the journal says by itself what it acknowledges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import orjson

# The value of `application` in requests for streaming.
APPLICATION = "MetaApi"
# Engine.IO's ping packet.
PING = b"2"

# The stream in which each of the venue's kinds of data is stored. Ticks with a deal also become `trades`.
STREAM_OF_KIND = {"quotes": "ticks", "ticks": "ticks", "candles": "candles", "marketDepth": "books"}

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ID_LETTERS = 32
# Numbers symbols up to 26^6, about 300 million.
_TARGET_LETTERS = 6


def request_id(random: Random, target: int | None = None) -> str:
    """Return a new request's id; `target` is the number of the symbol that it is for, None where it is for none."""
    number = 0 if target is None else target + 1
    tail = ""
    for _ in range(_TARGET_LETTERS):
        number, letter = divmod(number, 26)
        tail = _LETTERS[letter] + tail
    return "".join(random.choices(_LETTERS, k=_ID_LETTERS - _TARGET_LETTERS)) + tail


def target_of(identity: str) -> int | None:
    """Return the number of the symbol that a request was for; None where it was for none."""
    tail = identity[-_TARGET_LETTERS:]
    if len(identity) != _ID_LETTERS or not tail.isascii() or not tail.isalpha() or not tail.islower():
        return None
    number = 0
    for letter in tail:
        number = number * 26 + ord(letter) - ord("a")
    return number - 1 if number else None


def random_session(random: Random) -> str:
    """Return a new id for `subscribe`'s `sessionId`, by which its `authenticated` is recognised."""
    return "".join(random.choices(_LETTERS, k=_ID_LETTERS))


def request(
    kind: str, account_id: str, identity: str, instance: int, now_iso: str | None = None, **members: Any
) -> bytes:
    """Return the socket message of a request. `kind` is its `type`, `members` are those that only this type has.

    `now_iso`: when it is made, in the venue's format; left out of the message where it is None.
    """
    body: dict[str, Any] = {
        "type": kind,
        "accountId": account_id,
        "requestId": identity,
        "application": APPLICATION,
        "instanceIndex": instance,
        **({"timestamps": {"clientProcessingStarted": now_iso}} if now_iso else {}),
        **members,
    }
    return b'42["request",' + orjson.dumps(body) + b"]"


def subscription(kind: str, intervals: Mapping[str, int | None]) -> dict[str, Any]:
    """Return a subscription in the venue's form.

    `kind` is our word for it: `quotes`, `ticks`, `candles/1m`, `marketDepth`. `intervals` are milliseconds between two
    packets, by the venue's type; None or a missing one leaves it to the account's own setting.
    """
    name, _, timeframe = kind.partition("/")
    interval = intervals.get(name)
    return {
        "type": name,
        **({"timeframe": timeframe} if timeframe else {}),
        **({} if interval is None else {"intervalInMilliseconds": interval}),
    }


def kind_of(venue_subscription: Mapping[str, Any]) -> str:
    """Return our word for a subscription in the venue's form: `candles/1m` for candles of a period."""
    name, timeframe = venue_subscription.get("type"), venue_subscription.get("timeframe")
    return f"{name}/{timeframe}" if name == "candles" and timeframe else str(name)


def unsubscription(kind: str) -> dict[str, Any]:
    """Return the entry of an `unsubscribeFromMarketData`, which has no interval."""
    return subscription(kind, {})


def targets(accounts: Mapping[str, Mapping[str, Any]]) -> Sequence[tuple[str, str]]:
    """Return (account id, symbol) of all symbols of a session; the index is the target in requests' ids."""
    return [(account_id, symbol) for account_id, description in accounts.items() for symbol in description["symbols"]]
