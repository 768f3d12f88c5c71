"""Takes account data out of what the socket brings, before the journal or a parser sees it.

Balance, equity, margin, positions, orders and deals come down the same line as prices. Only what is named here passes:
of a packet that this module does not know the envelope is left, so that its sequence number counts, and of a frame
that cannot be read nothing but its size, since nobody can say what it held. What passes is cut out of the text as it
came: no number goes through a float.

Packets of prices, which are nearly all that comes, mostly end with the account's numbers and hold nothing else to take
out. Such a packet is decoded once, cut off behind its last list, and goes on with what was read of it. Whatever is a
little different goes the long way.
"""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from typing import Any

from collector.venues.metaapi.values import decode_at

# The event under which frames arrive of which nothing could be kept.
UNREADABLE = "unreadable"

_ENVELOPE = frozenset(
    {"type", "accountId", "instanceIndex", "host", "sequenceNumber", "sequenceTimestamp", "synchronizationId"}
)
_CONTENT = {
    "prices": _ENVELOPE | {"prices", "ticks", "candles", "books"},
    "specifications": _ENVELOPE | {"specifications", "removedSymbols"},
    "authenticated": _ENVELOPE | {"replicas", "sessionId"},
    "status": _ENVELOPE | {"connected", "authenticated", "replicas"},
    "downgradeSubscription": _ENVELOPE | {"symbol", "updates", "unsubscriptions"},
}
_KEPT_OF = {
    "synchronization": _ENVELOPE,
    "response": frozenset({"type", "accountId", "requestId"}),
    "processingError": frozenset({"requestId", "id", "error", "message", "numericCode", "details", "metadata"}),
}
_OPENING = frozenset({"pingInterval", "pingTimeout"})
_LONGEST_SHORT_FRAME = 1000

_EVENT = re.compile(r'42\d{0,9}\["(\w{1,40})"\s*(,?)\s*')
_SCALAR_MEMBER = re.compile(
    r'\s*"([^"\\]{1,100})"\s*:\s*(-?[0-9][0-9.eE+-]*|true|false|null|"[^"\\\x00-\x1f]*")\s*([,}])'
)
_MEMBER = re.compile(r'\s*"([^"\\]{1,100})"\s*:\s*')
_DELIMITER = re.compile(r"\s*([,}])")
_TYPE = re.compile(r'"type"\s*:\s*"([A-Za-z]{1,40})"')
_end_of = json.JSONDecoder().raw_decode

_PRICES = b'42["synchronization",{"type":"prices",'
_JSON_AT = 2
_ACCOUNT_NUMBERS = re.compile(r'(?:,"[A-Za-z]{1,40}":-?[0-9][0-9.eE+-]{0,40})*\}\]')
_NAME = re.compile(r'"([A-Za-z]{1,40})":')
_KEPT_OF_PRICES = _CONTENT["prices"]


class Kept(bytes):
    """A packet on its way to the parser, which need not decode again what had to be decoded to strip it."""

    content: dict[str, Any] | None = None
    """What decoding these bytes would give, as `collector.venues.metaapi.values.loads` does, until it is taken."""

    def take(self) -> dict[str, Any] | None:
        """Return the content, once: the taker may change it, and the bytes may outlive it."""
        content, self.content = self.content, None
        return content


def strip(payload: bytes) -> bytes | None:
    """Return what may be kept of a socket message; None where that is nothing."""
    try:
        if payload.startswith(_PRICES):
            kept = _prices(payload)
            if kept is not None:
                return kept
        if payload[:2] == b"42":
            return _event(payload.decode()).encode()
        return _transport(payload)
    except (ValueError, RecursionError) as error:
        return _unreadable(payload, error).encode()


def _prices(payload: bytes) -> Kept | None:
    """Cut the account's numbers off the end of a packet; None where they may be anywhere else."""
    text = payload.decode()
    end = text.rfind("]", 0, -1) + 1
    tail = text[end:]
    # Without a backslash no name can be written in two ways, and no quote is part of a text.
    if _ACCOUNT_NUMBERS.fullmatch(tail) is None or "\\" in text:
        return None
    try:
        (_, content), length = decode_at(text, _JSON_AT)
    except (ValueError, RecursionError):
        return None
    if type(content) is not dict or length != len(text) or content["type"] != "prices":
        return None
    names = _NAME.findall(tail)
    kept = text[:end]
    for name in names:
        # Once at the end and nowhere else: what is cut off is all that there is of it.
        if name in _KEPT_OF_PRICES or f'"{name}"' in kept or content.pop(name, None) is None:
            return None
    if not content.keys() <= _KEPT_OF_PRICES:
        return None
    packet = Kept((kept + "}]").encode() if names else payload)
    packet.content = content
    return packet


def _transport(payload: bytes) -> bytes | None:
    if payload[:1] == b"0":
        members, _ = _members(payload.decode(), 1)
        return f"0{{{_join(members, _OPENING)}}}".encode()
    if payload[:1] == b"6":
        return None
    if payload[:1] in (b"1", b"2", b"3") or payload[:2] in (b"40", b"41", b"44"):
        return payload[:_LONGEST_SHORT_FRAME]
    raise ValueError("no packet of this protocol")


def _event(text: str) -> str:
    found = _EVENT.match(text)
    if found is None:
        raise ValueError("no event")
    name, comma = found.groups()
    kept = _KEPT_OF.get(name)
    if kept is None or not comma:
        return f'42["{name}"]'
    start = found.end()
    if text[start : start + 1] == '"':  # the venue may send an object as a text that holds it
        inner, end = _end_of(text, start)
        members, closed = _members(inner, 0)
        if inner[closed:].strip() or text[end:].strip() != "]":
            raise ValueError("more than one value")
    else:
        members, closed = _members(text, start)
        if text[closed:].strip() != "]":
            raise ValueError("more than one value")
    if name == "synchronization":
        kind = next((value for key, value in members if key == "type"), "")
        kept = _CONTENT.get(kind.strip('"'), _ENVELOPE)
    return f'42["{name}",{{{_join(members, kept)}}}]'


def _join(members: list[tuple[str, str]], kept: frozenset[str]) -> str:
    return ",".join([f'"{key}":{value}' for key, value in members if key in kept])


def _members(text: str, start: int) -> tuple[list[tuple[str, str]], int]:
    """Take an object apart into keys and the texts of their values; gives the place after it, too."""
    if text[start : start + 1] != "{":
        raise ValueError("not an object")
    members: list[tuple[str, str]] = []
    place = start + 1
    scalar, member, delimiter = _SCALAR_MEMBER.match, _MEMBER.match, _DELIMITER.match
    while True:
        found = scalar(text, place)
        if found is not None:
            key, value, after = found.groups()
            place = found.end()
        else:
            found = member(text, place)
            if found is None:
                if not members and text[place : place + 1] == "}":
                    return members, place + 1
                raise ValueError(f"no member of an object at character {place}")
            key, begin = found[1], found.end()
            _, place = _end_of(text, begin)
            value = text[begin:place]
            found = delimiter(text, place)
            if found is None:
                raise ValueError(f"neither comma nor brace at character {place}")
            after, place = found[1], found.end()
        members.append((key, value))
        if after == "}":
            return members, place


def _unreadable(payload: bytes, error: Exception) -> str:
    # The texts of JSON's errors tell a place and quote nothing.
    reason = error.msg if isinstance(error, JSONDecodeError) else type(error).__name__
    if type(error) is ValueError:
        reason = str(error)
    found = _TYPE.search(payload[:_LONGEST_SHORT_FRAME].decode(errors="replace"))
    facts = {"bytes": len(payload), "reason": reason, "type": found[1] if found else None}
    return f'42["{UNREADABLE}",{json.dumps(facts)}]'
