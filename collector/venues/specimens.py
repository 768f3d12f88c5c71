"""What an adapter's author gives the conformance kit to try the adapter on: what the venue sends, as it sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Frame:
    """A socket message."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A REST answer, with the channel and the params of the call that it answers."""

    channel: str
    body: bytes
    params: Mapping[str, str] = field(default_factory=dict)


# What a session may receive.
Specimen = Frame | Answered


@dataclass(frozen=True, slots=True)
class Specimens:
    """A settings section, what discovery is answered with it by channel, and what its sessions receive, in order.

    `sent` is what comes down a line of the plan; `past`, the same trades once more as the venue's history tells them.
    """

    settings: Mapping[str, Any]
    discovery: Mapping[str, bytes]
    sent: tuple[Specimen, ...]
    past: tuple[Specimen, ...] = ()
