"""The venue's answers to our requests, as events: what is subscribed, and what was refused."""

from __future__ import annotations

from typing import Any

from collector.venues.events import Acknowledged, Refused

# No such symbol, no such currency, a parameter that is not valid: asking again changes nothing.
PERMANENT_CODES = frozenset({"2001", "2002", "10001"})


def is_control(message: dict[str, Any]) -> bool:
    """Tell whether a message answers a request."""
    return "error" in message or "result" in message


def control_event(message: dict[str, Any]) -> Acknowledged | Refused | None:
    """Return what an answer says; None for one that says nothing we asked for, such as a bare `true`."""
    request_id = message.get("id")
    if type(request_id) is not int and type(request_id) is not str:
        request_id = None
    if "error" in message:
        code, text = error_of(message)
        return Refused(request_id, code, text, code in PERMANENT_CODES)
    result = message["result"]
    if type(result) is not dict:
        return None
    channel, symbols = result.get("ch"), result.get("subscriptions")
    if type(channel) is not str or type(symbols) is not list:
        return None
    return Acknowledged(request_id, channel, frozenset(symbol for symbol in symbols if type(symbol) is str))


def error_of(message: dict[str, Any]) -> tuple[str, str]:
    """Return the code and the text of an error, as far as it has them; REST and socket write them alike."""
    error = message.get("error")
    if type(error) is not dict:
        return "", str(error)[:500]
    texts = [str(error[name]) for name in ("message", "description") if error.get(name)]
    return str(error.get("code", "")), ": ".join(texts)[:500] or "no reason given"
