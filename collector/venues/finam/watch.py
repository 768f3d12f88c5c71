"""Notices when polled quotes or books were not answered for too long, which is a gap: they have no history.

Trades and bars need no watch, since their answers reach back. A closed market and the venue's maintenance are not gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from collector.model import Gap, Instrument, Records
from collector.venues.finam.hours import Hours, Maintenance

# The cause of the gap.
NOT_ANSWERED = "not answered in time"

_Key = tuple[str, str]


class Watch:
    """When each stream of each instrument was last answered.

    `patience_us`: the longest time between two answers that is not a gap, by stream; others are not watched.
    """

    __slots__ = ("_answered", "_maintenance", "_patience_us")

    def __init__(
        self, patience_us: Mapping[str, int], maintenance: Maintenance, answered: dict[_Key, int] | None = None
    ) -> None:
        self._patience_us = patience_us
        self._maintenance = maintenance
        self._answered = {} if answered is None else answered

    def fork(self) -> Self:
        return type(self)(self._patience_us, self._maintenance, self._answered.copy())

    def note_answer(
        self, instrument: Instrument, stream: str, hours: Hours | None, received_us: int, out: Records
    ) -> None:
        """Note an answer; where the one before it is too long ago, add a gap. Both of its ends are by our clock."""
        patience_us = self._patience_us.get(stream)
        if patience_us is None:
            return
        key = instrument.symbol, stream
        from_us = self._answered.get(key)
        self._answered[key] = received_us
        if from_us is None:
            return
        until_us = received_us if hours is None or not hours.known else min(received_us, hours.closing_us(from_us))
        # Where the answer was due during the maintenance, the gap begins only after that.
        maintenance_seconds = self._maintenance.seconds_left(from_us + patience_us)
        if maintenance_seconds:
            from_us += patience_us + int(maintenance_seconds * 1e6)
        if until_us - from_us > patience_us:
            out.gaps.append(Gap(instrument, stream, from_us, until_us, None, None, NOT_ANSWERED))
