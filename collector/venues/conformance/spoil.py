"""Spoils messages in the ways in which lines, venues and other people's programs do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from random import Random
from typing import Any, Final

import orjson

# Values that stand where another was expected.
FOREIGN: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    -1,
    0,
    2**63,
    2**64 - 1,
    1.5,
    1e300,
    "",
    "x",
    "-1",
    "1e5",
    "\ud800",
    "\x00",
    [],
    {},
    [[]],
)
LONGEST_TEXT: Final = 100_000
DEEPEST: Final = 2_000


def spoilt(payload: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Return a message that was cut, garbled, mixed with another one, or that says something else."""
    match random.randrange(8):
        case 0:
            return payload[: random.randrange(len(payload) + 1)]
        case 1:
            return _flipped(payload, random)
        case 2:
            at = random.randrange(len(payload) + 1)
            return payload[:at] + random.randbytes(random.randrange(1, 9)) + payload[at:]
        case 3:
            other = random.choice(others)
            return payload[: random.randrange(len(payload) + 1)] + other[random.randrange(len(other) + 1) :]
        case 4 if random.random() < 0.1:
            return b"[" * DEEPEST + payload + b"]" * DEEPEST
    return _said_otherwise(payload, random)


def _flipped(payload: bytes, random: Random) -> bytes:
    data = bytearray(payload)
    for _ in range(random.randrange(1, 6) if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _said_otherwise(payload: bytes, random: Random) -> bytes:
    """Change values, leave some out, repeat items: JSON still, where it was."""
    begin = min((at for at in (payload.find(b"{"), payload.find(b"[")) if at >= 0), default=0)
    try:
        document = orjson.loads(payload[begin:])
    except orjson.JSONDecodeError:
        return payload[::-1]
    for _ in range(random.randrange(1, 4)):
        places = list(_places(document))
        if not places:
            break
        holder, key = random.choice(places)
        match random.randrange(4):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.append(holder[key])
            case 2 if isinstance(holder[key], str) and random.random() < 0.1:
                holder[key] = holder[key] * (LONGEST_TEXT // max(1, len(holder[key])))
            case _:
                holder[key] = deepcopy(random.choice(FOREIGN))
    try:
        return payload[:begin] + orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half of a surrogate pair: JSON can hold it by its number
        return payload[:begin] + _escaped(document)


def _escaped(document: Any) -> bytes:
    return json.dumps(document).encode()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a document, as its holder and the key or number there."""
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            waiting.append(holder[key])
