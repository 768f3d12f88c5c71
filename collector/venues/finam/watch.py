"""Whether what has no past was asked for in time: quotes and books that nobody asked for are gone.

Trades and bars need no watch: their answers reach back. A closed market and the venue's maintenance are no gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from collector.model import Gap, Instrument, Records
from collector.venues.finam.hours import Hours, Maintenance

NOT_ASKED = "not answered in time"

_Key = tuple[str, str]


class Watch:
    """When each stream of each instrument was last answered; `patience_us` is how long that may take, by stream."""

    __slots__ = ("_answered", "_maintenance", "_patience_us")

    def __init__(
        self, patience_us: Mapping[str, int], maintenance: Maintenance, answered: dict[_Key, int] | None = None
    ) -> None:
        self._patience_us = patience_us
        self._maintenance = maintenance
        self._answered = {} if answered is None else answered

    def fork(self) -> Self:
        return type(self)(self._patience_us, self._maintenance, self._answered.copy())

    def note(self, instrument: Instrument, stream: str, hours: Hours | None, received_us: int, out: Records) -> None:
        """An answer came; where the one before it is too long ago, tell a gap. Both ends are our clock's."""
        patience_us = self._patience_us.get(stream)
        if patience_us is None:
            return
        key = instrument.symbol, stream
        from_us = self._answered.get(key)
        self._answered[key] = received_us
        if from_us is None:
            return
        until_us = received_us if hours is None or not hours.known else min(received_us, hours.closes_us(from_us))
        left = self._maintenance.seconds_left(from_us + patience_us)
        if left:
            from_us += patience_us + int(left * 1e6)
        if until_us - from_us > patience_us:
            out.gaps.append(Gap(instrument, stream, from_us, until_us, None, None, NOT_ASKED))
