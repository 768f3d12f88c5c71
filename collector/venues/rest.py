"""Calls over REST, and the generators that make several of them.

A generator yields a `RestCall` and is sent its `RestAnswer`; an answer that means failure is thrown into it as a
`VenueError`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from collector.venues.plan import Plan


@dataclass(frozen=True, slots=True)
class RestCall:
    """A request to make. `channel` is the venue's word for what comes back; the parser is given it with the body."""

    channel: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    record: bool = True
    """Whether the answer is market data, so that it goes to the journal. Never for logins or account data."""
    quota: str = ""
    """What the venue counts the call under, where it counts several things apart: a 429 holds only that one back."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What the parser has to know beside `params` to read the answer; journalled with them, never sent."""

    @property
    def told(self) -> dict[str, str]:
        """What of the request is journalled with its answer, and given to the parser as its params."""
        return {**self.params, **self.notes}


class RestAnswer(NamedTuple):
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_ns: int


Discovery = Generator[RestCall, RestAnswer, Plan]


History = Generator[RestCall, RestAnswer, None]
