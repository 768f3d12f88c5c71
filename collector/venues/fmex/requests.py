"""The commands that we send, and the ids by which their answers are known.

An answer to `req` says neither what it is nor whose: only its id tells. So the id of a `req` is its topic with a number
behind it, and a parser needs nothing but the answer to read it, today and in a replay.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

TOPICS_PER_COMMAND = 20
_MARK = "#"


def ping(client_ms: int, number: int) -> bytes:
    """Ask the server whether it is there; `client_ms` is our clock, with which it answers how far its own is off."""
    return _command("ping", [client_ms], f"ping{_MARK}{number}")


def sub(topics: Sequence[str], request_id: str) -> bytes:
    """Subscribe topics, twenty at the most."""
    return _command("sub", topics, request_id)


def unsub(topics: Sequence[str], request_id: str) -> bytes:
    """Give topics up."""
    return _command("unsub", topics, request_id)


def req(topic: str, limit: int, number: int) -> bytes:
    """Ask for the newest trades or bars of a topic."""
    return _command("req", [topic, limit], past_id(topic, number))


def past_id(topic: str, number: int) -> str:
    """Return the id of a `req`."""
    return f"{topic}{_MARK}{number}"


def asked_topic(request_id: str) -> str | None:
    """Return the topic that a `req` of this id asked for, None for other ids."""
    topic, mark, _ = request_id.rpartition(_MARK)
    return topic if mark and "." in topic else None


def _command(name: str, arguments: Sequence[object], request_id: str) -> bytes:
    return orjson.dumps({"cmd": name, "args": list(arguments), "id": request_id})
