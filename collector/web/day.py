"""What the tables tell of the last 24 hours: which time of each stream is covered, and what waits in quarantine.

Asked for while somebody looks and not for each who does: the answer is kept for half a minute, for a few seconds where
gaps have changed since. The database may be away; then the newest answer stays, with the reason.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from collector.clock import Clock, iso
from collector.logs import KNOWN_SECRETS
from collector.status.facts import Day, QuarantinedFacts, QuarantineFacts, StreamDayFacts
from collector.store.errors import DatabaseError
from collector.store.named import queries

if TYPE_CHECKING:
    from collector.store.reading import Reader

DAY_SECONDS: Final = 86_400
# Characters of a stream's strip: one for each quarter of an hour.
STRIP_BINS: Final = 96
# How long an answer of the database is used.
ANSWER_MAX_AGE_SECONDS: Final = 30.0
# The same after gaps were opened, closed or repaired.
CHANGED_MAX_AGE_SECONDS: Final = 4.0
# After an answer that took t seconds, the database is left alone for this many times t, so that the page costs it at
# most one twentieth of its time.
REST_FACTOR: Final = 20.0
# How long after a failure the database is asked again.
AWAY_RETRY_SECONDS: Final = 5.0
# Entries of the quarantine that are shown.
QUARANTINED_SHOWN_MAX: Final = 8
# Entries that are counted; beyond, the page says "more than". Counting all would read the whole table.
QUARANTINED_COUNTED_MAX: Final = 10_000

UNRECORDED, COVERED = "-", "c"
_BADNESS_LETTERS: Final = (COVERED, "r", "m", "l")
_SQL = queries("page")
_EMPTY_QUARANTINE = QuarantineFacts(0, ())


class LastDay:
    """The newest answer; `number` grows with each."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked: float | None = None
        self._took = 0.0
        self._changed = False
        self.number = 0
        self.facts = Day("starting", "not asked yet", iso(0), iso(0), iso(0), (), _EMPTY_QUARANTINE)
        self.body = KNOWN_SECRETS.hide_in_json(orjson.dumps(self.facts))

    def changed(self) -> None:
        """Gaps have changed: the next answer may not be an old one."""
        self._changed = True

    @property
    def due(self) -> bool:
        """Whether the newest answer is too old to be given."""
        if self._asked is None:
            return True
        fresh = CHANGED_MAX_AGE_SECONDS if self._changed else ANSWER_MAX_AGE_SECONDS
        if self.facts.state != "known":
            fresh = AWAY_RETRY_SECONDS
        return self._clock.monotonic() - self._asked >= max(fresh, REST_FACTOR * self._took)

    async def refresh(self) -> None:
        """Ask again where that is due; who comes while it is being asked waits for the same answer."""
        async with self._lock:
            if self.due:
                self._changed = False
                began = self._clock.monotonic()
                self.facts = await self._ask()
                self.body = KNOWN_SECRETS.hide_in_json(orjson.dumps(self.facts))
                self.number += 1
                self._asked = self._clock.monotonic()
                self._took = self._asked - began if self.facts.state == "known" else 0.0

    async def _ask(self) -> Day:
        until_us = self._clock.now_ns() // 1000
        since_us = until_us - DAY_SECONDS * 1_000_000
        asked, since = iso(until_us * 1000), iso(since_us * 1000)
        try:
            streams = await self._reader.rows(_SQL["day"], since_us, until_us, STRIP_BINS)
            waiting = await self._reader.rows(_SQL["quarantine"], QUARANTINED_SHOWN_MAX, QUARANTINED_COUNTED_MAX)
        except DatabaseError as error:
            known = self.facts
            return Day("away", str(error), asked, known.from_time, known.to_time, known.streams, known.quarantine)
        return Day(
            "known",
            "",
            asked,
            since,
            asked,
            tuple(_stream(row, since_us, until_us) for row in streams),
            _quarantine(waiting),
        )


def _stream(row: Any, since_us: int, until_us: int) -> StreamDayFacts:
    width_us = (until_us - since_us) / STRIP_BINS
    strip = [UNRECORDED] * STRIP_BINS
    wanted_us = 0
    for begun_us, ended_us in zip(row["since_us"], row["until_us"], strict=True):
        first = min(int((begun_us - since_us) / width_us), STRIP_BINS - 1)
        after = max(first + 1, math.ceil((ended_us - since_us) / width_us))
        strip[first:after] = [COVERED] * (after - first)
        wanted_us += ended_us - begun_us
    for place, badness in zip(row["bins"] or (), row["badnesses"] or (), strict=True):
        strip[place] = _BADNESS_LETTERS[badness]
    share = 1 - row["absent_seconds"] * 1_000_000 / max(1, wanted_us)
    # Cut and not rounded: only what is whole is told as 1.
    covered = int(max(0.0, share) * 1_000_000) / 1_000_000
    return StreamDayFacts(row["venue"], row["symbol"], row["stream"], "".join(strip), covered, row["gaps"])


def _quarantine(rows: Sequence[Any]) -> QuarantineFacts:
    newest = tuple(
        QuarantinedFacts(
            iso(row["received_us"] * 1000), row["venue"], row["stream"], row["kind"], row["error"], row["items"]
        )
        for row in rows
    )
    return QuarantineFacts(rows[0]["waiting"] if rows else 0, newest)
