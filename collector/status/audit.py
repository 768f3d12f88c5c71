"""What the status tells of the audit and of repairs."""

from __future__ import annotations

from collector.audit.auditing import Auditing
from collector.audit.losses import Alarm
from collector.audit.subjects import NO_CANDLES
from collector.audit.terms import VERDICTS
from collector.audit.unjudged import Unjudged, UnjudgedGroup, grouped
from collector.status.facts import AlarmFacts, AuditFacts, FetchFacts, RepairFacts, UnjudgedFacts

# Symbols that are named of those that are not judged for one reason.
SYMBOLS_SHOWN_MAX = 20


def audit_facts(auditing: Auditing) -> AuditFacts | None:
    """Return how the audit stands; None where it is switched off."""
    auditor = auditing.auditor
    if auditor is None:
        return None
    alarms = auditor.alarms
    by_venue: dict[str, dict[str, int]] = {}
    for (venue, verdict), count in sorted(auditor.counts.items()):
        by_venue.setdefault(venue, dict.fromkeys(VERDICTS, 0))[verdict] = count
    sums = {verdict: sum(one[verdict] for one in by_venue.values()) for verdict in VERDICTS}
    last = auditor.last_minute
    return AuditFacts(
        last_minute=None if last is None else f"{last:%Y-%m-%dT%H:%MZ}",
        checked=sum(sums.values()),
        complete=sums["complete"],
        explained=sums["explained"],
        unexplained=sums["unexplained"],
        not_comparable=sums["not comparable"],
        open_alarms=len(alarms.open),
        verdicts=by_venue,
        trouble=auditor.trouble,
        fetching=tuple(
            FetchFacts(name, one.instruments, one.refused, one.behind_minutes, one.trouble)
            for name, one in auditing.fetching.fetchers.items()
            if one.instruments
        ),
        unjudged=tuple(
            UnjudgedFacts(one.venue, one.stream, one.reason, len(one.symbols), one.symbols[:SYMBOLS_SHOWN_MAX])
            for one in (*auditor.unjudged, *_refused(auditing))
        ),
        alarms=tuple(map(_alarm, (*alarms.open[:20], *alarms.settled))),
    )


def _refused(auditing: Auditing) -> list[UnjudgedGroup]:
    refused = [
        Unjudged(name, symbol, "trades", f"{NO_CANDLES}, and the venue refuses them: {reason}")
        for name, fetcher in auditing.fetching.fetchers.items()
        for symbol, reason in fetcher.refusals
    ]
    return grouped(refused)


def repair_facts(auditing: Auditing, venue: str) -> RepairFacts | None:
    """Return what a venue's repairer does; None where it has none."""
    one = auditing.repairers.get(venue)
    if one is None:
        return None
    return RepairFacts(one.state, one.waiting, one.repaired, one.lost, one.rows, one.trouble)


def _alarm(alarm: Alarm) -> AlarmFacts:
    return AlarmFacts(
        venue=alarm.venue,
        symbol=alarm.symbol,
        minute=f"{alarm.time:%Y-%m-%dT%H:%MZ}",
        expected=None if alarm.candle_volume is None else f"{alarm.candle_volume:f}",
        stored=f"{alarm.volume or 0:f}",
        state=alarm.state,
    )
