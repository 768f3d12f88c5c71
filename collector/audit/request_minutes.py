"""The minutes of an audit on request: what can be judged, with the candles that have to be fetched first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import asyncpg

from collector.audit.minutes import MINUTE, MinuteAudit
from collector.audit.past import MinutePast, Wanted
from collector.audit.subjects import NO_CANDLES, Piece, Subject, Terms, common, subjects, without
from collector.audit.terms import VERDICTS, configured_terms
from collector.clock import SystemClock
from collector.config import Config
from collector.errors import CollectorError
from collector.feed.network import AiohttpNetwork
from collector.model import Instrument
from collector.store.errors import DatabaseError
from collector.store.named import queries

# The longest span that one statement judges: after each, progress is reported.
PIECE_MAX = timedelta(hours=6)

_SQL = queries("audit")

# Told how much is done, and of how much.
Show = Callable[[int, int], object]


class Minutes(NamedTuple):
    """An instrument's minutes by verdict; `waiting`: the candle is open. `reason`: why none, or no more, are judged."""

    venue: str
    symbol: str
    complete: int
    explained: int
    unexplained: int
    not_comparable: int
    waiting: int
    reason: str

    @property
    def compared(self) -> int:
        """How many were looked at."""
        return self.complete + self.explained + self.unexplained


class MinuteChoice(NamedTuple):
    """What to audit; `venues` None: all, `symbols`: patterns of SQL, `fetch`: candles that are not recorded."""

    venues: Sequence[str] | None
    symbols: Sequence[str]
    since: datetime
    until: datetime
    fetch: bool


async def audit_minutes(
    config: Config, connection: asyncpg.Connection, dsn: str, choice: MinuteChoice, fetching: Show, judging: Show
) -> tuple[list[Minutes], bool]:
    """Judge the minutes of a choice; returns them by instrument, and whether candles could not be fetched.

    Raises `DatabaseError`.
    """
    terms = configured_terms(config)
    found = await subjects(connection, terms, choice.venues, choice.symbols)
    known, reasons, failed = await _candles(config, connection, dsn, choice, found, terms, fetching)
    counts = await _judge(connection, choice, found, known, judging)
    made = []
    for one in found:
        sums = [counts[one.instrument_id, verdict] for verdict in (*VERDICTS, "waiting")]
        reason = one.reason or reasons.get(one.instrument_id, "")
        made.append(Minutes._make((one.venue, one.symbol, *sums, reason)))
    return made, failed


async def _judge(
    connection: asyncpg.Connection,
    choice: MinuteChoice,
    found: Sequence[Subject],
    known: Mapping[int, Sequence[Piece]],
    show: Show,
) -> Counter[tuple[int, str]]:
    judge = MinuteAudit(connection)
    counts: Counter[tuple[int, str]] = Counter()
    start, end = _down(choice.since), _down(choice.until)
    spans = [span for one in found for span in one.spans(start, end, known.get(one.instrument_id, ()))]
    # Pieces of minutes that nobody recorded cost a question each; there is no need for them.
    first = min((span.since for span in spans), default=end)
    last = max((span.until for span in spans), default=start)
    pieces = [
        (first + number * PIECE_MAX, min(first + (number + 1) * PIECE_MAX, last))
        for number in range(-(-(last - first) // PIECE_MAX))
    ]
    now = datetime.now(UTC)
    for number, piece in enumerate(pieces):
        show(number, len(pieces))
        within = [
            span._replace(since=since, until=until)
            for span in spans
            for since, until in common([(span.since, span.until)], [piece])
        ]
        for count in await judge.judge(within, now):
            counts[count.instrument_id, count.verdict] += count.minutes
    show(len(pieces), len(pieces))
    return counts


async def _candles(
    config: Config,
    connection: asyncpg.Connection,
    dsn: str,
    choice: MinuteChoice,
    found: Sequence[Subject],
    terms: Mapping[str, Terms],
    show: Show,
) -> tuple[dict[int, list[Piece]], dict[int, str], bool]:
    """Return of which minutes candles were fetched that are not recorded, why not of others, whether that failed."""
    # The newest minute waits until its neighbour is known, too.
    end = min(_down(choice.until), _down(datetime.now(UTC) - timedelta(seconds=config.audit.delay_seconds)) - MINUTE)
    lacking = {
        one.instrument_id: pieces for one in found if (pieces := common(one.lacking, [(_down(choice.since), end)]))
    }
    known: dict[int, list[Piece]] = {}
    for number, since, until in await connection.fetch(_SQL["judged"], list(lacking), choice.since, end):
        known.setdefault(number, []).append((since, until))
    unknown = {
        one.instrument_id: (one, pieces)
        for one in found
        if (pieces := without(lacking.get(one.instrument_id, ()), known.get(one.instrument_id, ())))
    }
    if not choice.fetch:
        return known, dict.fromkeys(unknown, f"{NO_CANDLES}, and --no-fetch leaves them out"), False
    reasons: dict[int, str] = {}
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        show(done, len(unknown))

    for venue in sorted({one.venue for one, _ in unknown.values()}):
        wanted = {
            Instrument(venue, one.symbol): (one.instrument_id, pieces)
            for one, pieces in unknown.values()
            if one.venue == venue
        }
        refused = await _fetch(config, dsn, venue, {key: pieces for key, (_, pieces) in wanted.items()}, step)
        for instrument, (number, pieces) in wanted.items():
            if instrument in refused:
                reasons[number] = f"{NO_CANDLES}, and were not to be had: {refused[instrument]}"
            else:
                known.setdefault(number, []).extend(pieces)
    return known, reasons, bool(reasons)


async def _fetch(
    config: Config, dsn: str, venue: str, wanted: Mapping[Instrument, Sequence[Piece]], step: Callable[[], object]
) -> dict[Instrument, str]:
    folder: Path = config.data_dir / "backfill"
    try:
        async with AiohttpNetwork.open() as network:
            past = MinutePast(
                config.venues[venue].begin(),
                rate_share=config.repair.rate_share,
                dsn=dsn,
                folder=folder,
                network=network,
                clock=SystemClock(),
            )
            return await past.fetch([Wanted(one, pieces[0][0], pieces[-1][1]) for one, pieces in wanted.items()], step)
    except DatabaseError:
        raise
    except (CollectorError, OSError) as error:  # the answers cannot be kept
        return dict.fromkeys(wanted, str(error))


def _down(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)
