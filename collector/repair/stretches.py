"""Joins gaps that follow each other closely: a connection that breaks again and again leaves many short ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from collector.model import Instrument
from collector.repair.ledger import Missing


class Stretch(NamedTuple):
    """Gaps of one stream of one instrument that are fetched together, the earliest first; at least one."""

    gaps: tuple[Missing, ...]

    @property
    def instrument(self) -> Instrument:
        """The instrument of all of them."""
        return self.gaps[0].instrument

    @property
    def stream(self) -> str:
        """The stream of all of them."""
        return self.gaps[0].stream

    @property
    def done_us(self) -> int:
        """The time up to which it is filled."""
        return self.gaps[0].done_us

    @property
    def to_us(self) -> int:
        """The latest end of its gaps."""
        return max(gap.to_us for gap in self.gaps)


def stretches(gaps: Iterable[Missing], *, apart_us: int, longest_us: int) -> list[Stretch]:
    """Join gaps of a stream that are at most `apart_us` apart, up to a length of `longest_us`.

    A gap that is longer, or partly filled already, is not joined.
    """
    joined: list[list[Missing]] = []
    end_us = 0
    for gap in sorted(gaps, key=lambda gap: (gap.instrument, gap.stream, gap.from_us, gap.gap_id)):
        first = joined[-1][0] if joined else None
        if (
            first is not None
            and (first.instrument, first.stream) == (gap.instrument, gap.stream)
            and first.done_us == first.from_us
            and gap.done_us == gap.from_us
            and gap.from_us - end_us <= apart_us
            and max(end_us, gap.to_us) - first.from_us <= longest_us
        ):
            joined[-1].append(gap)
            end_us = max(end_us, gap.to_us)
        else:
            joined.append([gap])
            end_us = gap.to_us
    return [Stretch(tuple(gaps)) for gaps in joined]
