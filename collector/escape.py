"""Text from outside, made fit to be shown: what venues, servers and files say is never an order to a terminal.

A symbol or an error may hold escape sequences that colour, clear or retitle a terminal, or marks that turn the reading
direction round, so that a line seems to say something else. Such characters are shown as what they are: `\\x1b`.
"""

from __future__ import annotations

__all__ = ["escaped", "escaped_json", "escaped_lines"]

import re
import unicodedata

_SPACE_CATEGORY = "Zs"
# Characters that may be more than printable text: all but printable ASCII and the line feed.
_NEEDS_CARE = re.compile(r"[^\n -~]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def escaped(text: str) -> str:
    """Return a text on one line in which every character that is no sign or space is written as its escape."""
    if text.isprintable():
        return text
    return "".join(sign if _shows(sign) else _SHORT.get(sign) or _escape(sign) for sign in text)


def escaped_lines(text: str) -> str:
    """Return a text of several lines, each escaped, and those after the first set in: none can pass for one of ours."""
    return "\n  ".join(map(escaped, text.split("\n")))


def escaped_json(document: str) -> str:
    """Return a JSON document that says the same, with nothing in it that a terminal obeys."""
    return _NEEDS_CARE.sub(lambda match: match[0] if _shows(match[0]) else _json_escape(match[0]), document)


def _shows(sign: str) -> bool:
    return sign.isprintable() or unicodedata.category(sign) == _SPACE_CATEGORY


def _escape(sign: str) -> str:
    number = ord(sign)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _json_escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
