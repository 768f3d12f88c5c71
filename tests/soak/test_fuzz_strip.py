"""What MetaAPI tells of the account never gets into the journal, however spoilt the message that carries it is."""

from __future__ import annotations

import json
import time
from random import Random

import pytest

from collector.simulator.metaapi.accounts import INFORMATION, MARGINS, ORDER, POSITION, SECRETS
from collector.venues.metaapi.strip import strip

from .conftest import Measured

HEAD = '"accountId":"a","instanceIndex":0,"host":"h","sequenceNumber":17,"sequenceTimestamp":1700000000456'
PRICES = '"prices":[{"symbol":"EURUSD","bid":1.07120,"ask":1e-05,"time":"t"}],"ticks":[],"books":[]'
MESSAGES = [
    f'42["synchronization",{{{members}}}]'.encode()
    for members in (
        f'"type":"accountInformation",{HEAD},"accountInformation":{INFORMATION}',
        f'"type":"positions",{HEAD},"positions":[{POSITION}]',
        f'"type":"orders",{HEAD},"orders":[{ORDER}]',
        f'"type":"deals",{HEAD},"deals":[{POSITION}]',
        f'"type":"update",{HEAD},"accountInformation":{INFORMATION},"updatedPositions":[{POSITION}],"deals":[{ORDER}]',
        f'"type":"prices",{HEAD},{MARGINS},{PRICES}',
        f'"type":"somethingNew",{HEAD},"content":{INFORMATION}',
    )
]
# What cannot stand in a message by chance.
NUMBERS = [secret.encode() for secret in SECRETS if "." in secret]
FRAME_SECONDS = 2.0


@pytest.mark.parametrize("messages", [4_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_spoilt_messages_keep_nothing_of_the_account(messages: int, measured: Measured) -> None:
    random, unreadable, stripped = Random(messages), 0, 0
    for _ in range(messages):
        message = spoilt(random.choice(MESSAGES), random)
        began = time.thread_time()
        kept = strip(message)
        assert time.thread_time() - began < FRAME_SECONDS, message[:500]
        if kept is None:
            continue
        leaked = [number for number in NUMBERS if number in kept]
        assert not leaked, (leaked, message)
        unreadable += b"unreadable" in kept[:20]
        stripped += any(number in message for number in NUMBERS)
    assert stripped > messages // 4
    assert unreadable > 0
    measured(messages=messages, unreadable=unreadable, with_account_data=stripped)


def spoilt(message: bytes, random: Random) -> bytes:
    """Cut, flip and add a few bytes; never so many that a number would come to stand behind another name."""
    begin, data = message.index(b"{"), bytearray(message)
    for _ in range(random.randrange(1, 3)):
        place = random.randrange(begin, len(data))
        way = random.randrange(4)
        if way == 0:
            del data[place : place + random.randrange(1, 4)]
        elif way == 1:
            data[place] = random.randrange(256)
        elif way == 2:
            data[place:place] = random.choice([b" ", b",", b"}", b"]", b"{", b'"', b"\\", b":", random.randbytes(3)])
        elif random.random() < 0.2:
            del data[place:]
        if len(data) <= begin + 1:
            break
    if random.random() < 0.3:  # the venue may send an object as a text that holds it
        inner = bytes(data[begin:-1]).decode(errors="replace")
        return message[:begin] + json.dumps(inner).encode() + b"]"
    return bytes(data)
