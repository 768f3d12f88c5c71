"""A frame's bytes for people: JSON laid out with its digits as they came, anything else as text or hexadecimal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collector.cli.output.screen import Screen
    from collector.proof.place import Where

# JSON that fits into a line of this length is written on one.
LINE_MAX_CHARACTERS = 110
# Lines of a frame that are shown without `--whole`.
LINES_SHOWN_MAX = 60
# Characters that are shown on either side of an error.
CONTEXT_CHARACTERS = 40

_OFFSET = re.compile(r"\(char (\d+)\)")
_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


class _Digits(str):
    """A number as it was written."""

    __slots__ = ()


def readable(payload: bytes) -> list[str]:
    """Return the lines that show a frame: a REST answer's request first, whatever stands before JSON as it is."""
    if not payload:
        return ["(no bytes: the line was known to be alive)"]
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return hexadecimal(payload)
    first, newline, rest = text.partition("\n")
    if newline and first.startswith("{") and (request := _json(first)) is not None and "channel" in request:
        return [*laid_out(request), *readable(rest.encode())] if rest else laid_out(request)
    begin = min((place for place in map(text.find, "{[") if place >= 0), default=-1)
    content = _json(text[begin:]) if begin >= 0 else None
    if content is None:
        return [ascii(line)[1:-1] for line in text.splitlines()]
    return [*([text[:begin]] if begin else []), *laid_out(content)]


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_Digits, parse_float=_Digits, parse_constant=_Digits)
    except (ValueError, RecursionError):
        return None


def laid_out(value: Any, indent: int = 0) -> list[str]:
    """Write JSON over several lines where it does not fit into one."""
    line = _compact(value)
    if len(line) + indent <= LINE_MAX_CHARACTERS or not isinstance(value, dict | list) or not value:
        return [" " * indent + line]
    pairs = value.items() if isinstance(value, dict) else ((None, one) for one in value)
    ends = "{}" if isinstance(value, dict) else "[]"
    lines = [" " * indent + ends[0]]
    for key, one in pairs:
        inner = laid_out(one, indent + 2)
        if key is not None:
            inner[0] = " " * (indent + 2) + f"{json.dumps(key, ensure_ascii=False)}: {inner[0].lstrip()}"
        inner[-1] += ","
        lines += inner
    lines[-1] = lines[-1][:-1]
    return [*lines, " " * indent + ends[1]]


def _compact(value: Any) -> str:
    match value:
        case _Digits():
            return str(value)
        case dict():
            return (
                "{"
                + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_compact(one)}" for key, one in value.items())
                + "}"
            )
        case list():
            return "[" + ", ".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def hexadecimal(payload: bytes) -> list[str]:
    """Write bytes that are no text, sixteen a line."""
    lines = []
    for start in range(0, min(len(payload), 16 * (LINES_SHOWN_MAX + 1)), 16):
        piece = payload[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{start:08x}  {piece.hex(' '):<47}  {text}")
    return lines


def pointed(payload: bytes, error: str) -> list[str]:
    """Show the place that an error speaks of, with a mark below it; nothing where it names none."""
    text = payload.decode("utf-8", "replace")
    offset = _OFFSET.search(error)
    place, length = (int(offset[1]), 1) if offset else (-1, 1)
    if place < 0:
        for match in _QUOTED.finditer(error):
            value = match[1] or match[2]
            place, length = text.find(value), len(value)
            if place >= 0:
                break
    if not 0 <= place <= len(text):
        return []
    begin = max(0, place - CONTEXT_CHARACTERS)
    shown = "".join(one if one.isprintable() else "." for one in text[begin : place + length + CONTEXT_CHARACTERS])
    return [shown, " " * (place - begin) + "^" * length + f" character {place}"]


def place_facts(place: Where) -> dict[str, str]:
    """Return what is told of a place, by its names."""
    told = {
        "frame": f"segment {place.segment}, offset {place.offset} of {place.journal} ({KIND_NAMES[place.kind]})",
        "received": f"{datetime.fromtimestamp(place.received_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"
        f".{place.received_ns % 10**9:09d} UTC",
    }
    session = place.session
    if session is not None:
        closed = "still open" if session.closed_at is None else f"closed {_second(session.closed_at)}: {session.reason}"
        told["session"] = (
            f"{session.session_id} of {session.worker}, {session.url or 'REST'}, opened {_second(session.opened_at)}, "
            + closed
        )
    return told


KIND_NAMES = {"frame": "socket message", "rest": "REST answer", "beat": "living line"}


def _second(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def tell(console: Screen, facts: Mapping[str, str]) -> None:
    """Print facts below each other, with their names before them."""
    width = max(map(len, facts))
    for name, fact in facts.items():
        console.print(f"{name:<{width}}  {fact}", soft_wrap=True)


def tell_bytes(console: Screen, payload: bytes, *, whole: bool = False) -> None:
    """Print a frame, indented; of a long one the beginning."""
    lines = readable(payload)
    shown = lines if whole else lines[:LINES_SHOWN_MAX]
    console.print(f"{len(payload):,} bytes")
    for line in shown:
        console.print("    " + line, soft_wrap=True)
    if len(shown) < len(lines):
        console.print(f"    .. {len(lines) - len(shown):,} lines more; --whole shows them")
