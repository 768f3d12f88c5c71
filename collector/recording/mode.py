"""Whether what is received goes to the writer directly, or by way of the journal: the one state of the recording."""

from __future__ import annotations

from dataclasses import dataclass

from collector.journal import Position
from collector.normalise.normaliser import Normaliser


@dataclass(frozen=True, slots=True)
class Live:
    """Batches that are cut go to the writer's queue."""


@dataclass(frozen=True, slots=True)
class Behind:
    """From `position` on the journal alone remembers, and is read from there until its end is reached.

    `parsers` are in the state that they had there; None where that is still to be found out.
    """

    position: Position
    parsers: Normaliser | None


# While the recorder reads the journal the mode stays `Behind`: it is one commit after another that catches up.
Mode = Live | Behind
