"""What the venue says about the conversation itself: greeting, pings, subscriptions, refusals."""

from __future__ import annotations

from typing import Any

from collector.venues.events import Acknowledged, Event, Refused
from collector.venues.fmex.topics import split
from collector.venues.kit.values import shorten

HELLO = "hello"
PING = "ping"
TOPICS = "topics"
# What stands in for the channel in events about the greeting, a ping, a command's topics and a `req`.
REQ = "req"

# No such symbol, level, period or topic: asking again changes nothing.
PERMANENT_CODES = frozenset({"40003", "41002"})

_NOBODY: frozenset[str] = frozenset()


def identity(message: dict[str, Any]) -> str | None:
    """Return the id of the command that a message answers."""
    found = message.get("id")
    return found if type(found) is str else None


def refusal(message: dict[str, Any]) -> Refused | None:
    """Return what an error says, None for a message that is no error. Errors have no type but a status."""
    if succeeded(message):
        return None
    code, text = error_of(message)
    return Refused(identity(message), code, text, code in PERMANENT_CODES)


def succeeded(message: dict[str, Any]) -> bool:
    """Tell whether a message is no error: it has no status, or `0`, or (not for market data) `ok`."""
    status = message.get("status")
    return status is None or (type(status) is str and status in ("0", "ok"))


def error_of(message: dict[str, Any]) -> tuple[str, str]:
    """Return the code and the text of an error; REST and socket write them alike."""
    text = message.get("msg")
    said = shorten(text)[1:-1] if type(text) is str and text else "no reason given"
    return shorten(message.get("status")).strip("'"), said


def subscribed(message: dict[str, Any]) -> list[Event] | None:
    """Return what is subscribed now: an event for each channel, and one with all topics in lower case.

    None when the message does not tell.
    """
    topics = message.get("topics")
    if type(topics) is not list or not all(type(topic) is str for topic in topics):
        return None
    request_id = identity(message)
    by_channel: dict[str, set[str]] = {}
    for text in topics:
        topic = split(text)
        if topic is not None:
            by_channel.setdefault(topic.channel, set()).add(topic.name)
    events: list[Event] = [
        Acknowledged(request_id, channel, frozenset(names)) for channel, names in sorted(by_channel.items())
    ]
    events.append(Acknowledged(request_id, TOPICS, frozenset(topic.lower() for topic in topics)))
    return events


def heard(message: dict[str, Any], channel: str) -> Event:
    """Return the event of a greeting or of the answer to a ping or a `req`."""
    return Acknowledged(identity(message), channel, _NOBODY)
