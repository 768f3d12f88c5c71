"""Removes account data from socket messages, before the journal or a parser sees them.

Balance, equity, margin, positions, orders and deals come over the same socket as prices. Only members that are named
here are kept. An unknown packet keeps its envelope, since its sequence number is needed; a frame that cannot be read is
replaced by its size and the reason, since nobody can say what it held. What is kept is cut out of the text as it came,
so that no number is changed by going through a float.

Nearly all messages are packets of prices that end with the account's numbers and hold nothing else to remove. There is
a fast path for these: the packet is decoded once, cut off behind its last list, and handed on together with what was
decoded. Anything that looks different takes the slow path, which takes the object apart member by member.
"""

from __future__ import annotations

import json
import re
from json import JSONDecodeError
from typing import Any

from collector.venues.metaapi.values import decode_at

# Our name of the event that replaces a message of which nothing could be kept.
UNREADABLE = "unreadable"

# The members of every packet's envelope.
_ENVELOPE = frozenset(
    {"type", "accountId", "instanceIndex", "host", "sequenceNumber", "sequenceTimestamp", "synchronizationId"}
)
# What is kept of each packet by its type; of any other only the envelope is.
_KEPT_MEMBERS_OF_PACKET = {
    "prices": _ENVELOPE | {"prices", "ticks", "candles", "books"},
    "specifications": _ENVELOPE | {"specifications", "removedSymbols"},
    "authenticated": _ENVELOPE | {"replicas", "sessionId"},
    "status": _ENVELOPE | {"connected", "authenticated", "replicas"},
    "downgradeSubscription": _ENVELOPE | {"symbol", "updates", "unsubscriptions"},
}
# What is kept of each event by its name; of a `synchronization` it depends on the packet's type.
_KEPT_MEMBERS_OF_EVENT = {
    "synchronization": _ENVELOPE,
    "response": frozenset({"type", "accountId", "requestId"}),
    "processingError": frozenset({"requestId", "id", "error", "message", "numericCode", "details", "metadata"}),
}
# What is kept of the transport's opening packet. It also holds a session id, which nobody else needs to know.
_KEPT_MEMBERS_OF_OPENING = frozenset({"pingInterval", "pingTimeout"})
# What is kept of a transport packet, and read of an unreadable frame to find its type. Transport packets have a few
# bytes, or the text of a refusal.
_CONTROL_FRAME_MAX_BYTES = 1000

# The slow path: the head of an event; a member with a scalar value and what follows it; the name of any other member;
# what follows its value; and the type of a packet that cannot be read.
_EVENT = re.compile(r'42\d{0,9}\["(\w{1,40})"\s*(,?)\s*')
_SCALAR_MEMBER = re.compile(
    r'\s*"([^"\\]{1,100})"\s*:\s*(-?[0-9][0-9.eE+-]*|true|false|null|"[^"\\\x00-\x1f]*")\s*([,}])'
)
_MEMBER = re.compile(r'\s*"([^"\\]{1,100})"\s*:\s*')
_DELIMITER = re.compile(r"\s*([,}])")
_TYPE = re.compile(r'"type"\s*:\s*"([A-Za-z]{1,40})"')
_end_of = json.JSONDecoder().raw_decode

# The fast path: how a packet of prices begins; where its JSON begins, behind `42`; the account's numbers, which are all
# that may follow its last list; and the name of each of them.
_PRICES_START = b'42["synchronization",{"type":"prices",'
_PRICES_JSON_OFFSET = 2
_ACCOUNT_NUMBERS = re.compile(r'(?:,"[A-Za-z]{1,40}":-?[0-9][0-9.eE+-]{0,40})*\}\]')
_NAME = re.compile(r'"([A-Za-z]{1,40})":')
_KEPT_MEMBERS_OF_PRICES = _KEPT_MEMBERS_OF_PACKET["prices"]


class StrippedPacket(bytes):
    """A stripped packet that carries its decoded content, so that the parser need not decode it again."""

    content: dict[str, Any] | None = None
    """What `collector.venues.metaapi.values.loads` would give for these bytes; None once it was taken."""

    def take(self) -> dict[str, Any] | None:
        """Return the content, once: the caller may change it, and the bytes may be kept for long."""
        content, self.content = self.content, None
        return content


def strip(payload: bytes) -> bytes | None:
    """Return what may be kept of a socket message; None where the message is to be dropped. Never raises."""
    try:
        if payload.startswith(_PRICES_START):
            kept = _prices(payload)
            if kept is not None:
                return kept
        if payload[:2] == b"42":
            return _event(payload.decode()).encode()
        return _transport(payload)
    except (ValueError, RecursionError) as error:
        return _unreadable(payload, error).encode()


def _prices(payload: bytes) -> StrippedPacket | None:
    """Cut the account's numbers off the end of a packet of prices; None where they could also be elsewhere in it."""
    text = payload.decode()
    end = text.rfind("]", 0, -1) + 1
    tail = text[end:]
    # A packet with a backslash takes the slow path: an escape could spell a member's name in a second way, or put a
    # quotation mark into a text.
    if _ACCOUNT_NUMBERS.fullmatch(tail) is None or "\\" in text:
        return None
    try:
        (_, content), length = decode_at(text, _PRICES_JSON_OFFSET)
    except (ValueError, RecursionError):
        return None
    if type(content) is not dict or length != len(text) or content["type"] != "prices":
        return None
    names = _NAME.findall(tail)
    kept = text[:end]
    for name in names:
        # The name occurs only in the part that is cut off, so that nothing of it remains.
        if name in _KEPT_MEMBERS_OF_PRICES or f'"{name}"' in kept or content.pop(name, None) is None:
            return None
    if not content.keys() <= _KEPT_MEMBERS_OF_PRICES:
        return None
    packet = StrippedPacket((kept + "}]").encode() if names else payload)
    packet.content = content
    return packet


def _transport(payload: bytes) -> bytes | None:
    if payload[:1] == b"0":
        members, _ = _members(payload.decode(), 1)
        return f"0{{{_join(members, _KEPT_MEMBERS_OF_OPENING)}}}".encode()
    if payload[:1] == b"6":  # Engine.IO's noop
        return None
    if payload[:1] in (b"1", b"2", b"3") or payload[:2] in (b"40", b"41", b"44"):
        return payload[:_CONTROL_FRAME_MAX_BYTES]
    raise ValueError("not a packet of this protocol")


def _event(text: str) -> str:
    head = _EVENT.match(text)
    if head is None:
        raise ValueError("not an event")
    name, comma = head.groups()
    kept = _KEPT_MEMBERS_OF_EVENT.get(name)
    if kept is None or not comma:
        return f'42["{name}"]'
    start = head.end()
    if text[start : start + 1] == '"':  # the venue may send an object as a string of JSON
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
        kept = _KEPT_MEMBERS_OF_PACKET.get(kind.strip('"'), _ENVELOPE)
    return f'42["{name}",{{{_join(members, kept)}}}]'


def _join(members: list[tuple[str, str]], kept: frozenset[str]) -> str:
    return ",".join([f'"{key}":{value}' for key, value in members if key in kept])


def _members(text: str, start: int) -> tuple[list[tuple[str, str]], int]:
    """Take the object at `start` apart into keys and the texts of their values; also return the position after it."""
    if text[start : start + 1] != "{":
        raise ValueError("not an object")
    members: list[tuple[str, str]] = []
    position = start + 1
    match_scalar, match_member, match_delimiter = _SCALAR_MEMBER.match, _MEMBER.match, _DELIMITER.match
    while True:
        match = match_scalar(text, position)
        if match is not None:
            key, value, after = match.groups()
            position = match.end()
        else:
            match = match_member(text, position)
            if match is None:
                if not members and text[position : position + 1] == "}":
                    return members, position + 1
                raise ValueError(f"no member of an object at character {position}")
            key, begin = match[1], match.end()
            _, position = _end_of(text, begin)
            value = text[begin:position]
            match = match_delimiter(text, position)
            if match is None:
                raise ValueError(f"neither comma nor brace at character {position}")
            after, position = match[1], match.end()
        members.append((key, value))
        if after == "}":
            return members, position


def _unreadable(payload: bytes, error: Exception) -> str:
    # The messages of JSONDecodeError and of our own ValueErrors name a position and quote nothing of the message; those
    # of other exceptions could.
    reason = error.msg if isinstance(error, JSONDecodeError) else type(error).__name__
    if type(error) is ValueError:
        reason = str(error)
    packet_type = _TYPE.search(payload[:_CONTROL_FRAME_MAX_BYTES].decode(errors="replace"))
    facts = {"bytes": len(payload), "reason": reason, "type": packet_type[1] if packet_type else None}
    return f'42["{UNREADABLE}",{json.dumps(facts)}]'
