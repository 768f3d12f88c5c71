"""Minutes of trades, added up and compared with the venue's own one-minute candles: exact numbers, in the database.

What of a venue's candles is comparable is the adapter's fact (`collector.venues.adapter.CandleSums`); nothing here
knows a venue. A minute belongs to the venue's clock on both sides. Verdicts:

    complete        all that is comparable is equal; a minute with neither trades nor a candle was quiet
    explained       not equal, and a gap tells why: it is open, or nothing can be got back
    unexplained     not equal, and nothing tells why. A repaired gap does not: after it all should be equal
    not comparable  the candle was never closed
    waiting         the candle is not closed yet; such a minute is not written down
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from collector.store.named import queries
from collector.venues.audit import CandleSums

MINUTE = timedelta(minutes=1)
FULL = CandleSums(volume=True, trades=True, prices=True)
# For judging one piece; a busy database takes seconds.
STATEMENT_TIMEOUT_SECONDS = 120.0

_SQL = queries("audit")


class Span(NamedTuple):
    """Whole minutes of one instrument; `until` does not belong to it. Spans of an instrument must not overlap."""

    instrument_id: int
    since: datetime
    until: datetime
    sums: CandleSums


class Count(NamedTuple):
    """How many minutes of an instrument have a verdict; `fresh`: for how many of them it is new."""

    instrument_id: int
    verdict: str
    minutes: int
    fresh: int


class MinuteAudit:
    """Audits minutes over one connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def judge(self, spans: Sequence[Span], now: datetime) -> list[Count]:
        """Audit every minute of these, write the verdicts down, and count them."""
        if not spans:
            return []
        rows = await self._connection.fetch(
            _SQL["judge"],
            [span.instrument_id for span in spans],
            [span.since for span in spans],
            [span.until for span in spans],
            [span.sums.volume for span in spans],
            [span.sums.trades for span in spans],
            [span.sums.prices for span in spans],
            min(span.since for span in spans) - MINUTE,
            max(span.until for span in spans) + MINUTE,
            now,
            timeout=STATEMENT_TIMEOUT_SECONDS,
        )
        return [Count(*row) for row in rows]
