"""The state of the recording: whether records go to the writer directly, or by way of the journal."""

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


# Catching up is no mode of its own: while the recorder reads the journal the mode stays `Behind`, and each commit moves
# its position on.
Mode = Live | Behind
