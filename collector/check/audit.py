"""What the audit can prove, as things are configured: of which venues' trades, by which candles, of what nothing."""

from __future__ import annotations

from collections.abc import Iterator

from collector import venues
from collector.audit.subjects import NO_CANDLES
from collector.audit.terms import configured_terms
from collector.check.findings import Finding, Verdict
from collector.config import Config, VenueConfig
from collector.venues.audit import BookRows
from collector.venues.plan import Plan

# The candles that one call fetches for an instrument while the audit runs: the newest minute and its neighbours.
MINUTES_PER_CALL = 3
# If fetching the candles of all instruments once takes longer, a loss is found late: that is worth a warning.
TURN_WARNING_MINUTES = 5.0


def auditable(config: Config) -> Iterator[Finding]:
    """Tell for each venue what is audited, and what cannot be and why."""
    enabled = {name: venue for name, venue in config.venues.items() if venue.enabled}
    if not enabled:
        return
    if not config.audit.enabled:
        yield Finding(
            "audit",
            Verdict.WARNING,
            "audit.enabled is false: data that a venue leaves out while it is connected goes unnoticed",
            "enable it, or run `collector audit` from time to time",
        )
    elif not config.repair.enabled:
        yield Finding(
            "audit",
            Verdict.WARNING,
            "repair.enabled is false: what the audit finds missing is reported, but not fetched",
            "enable it, or run `collector backfill` for what the audit reports",
        )
    terms = configured_terms(config)
    for name, venue in enabled.items():
        streams = tuple(getattr(venue.settings, "streams", ()))
        agreed, subject = terms[name], f"venues.{name}.audit"
        others = _others(venue, streams)
        if "trades" not in streams:
            yield Finding(subject, Verdict.OK, f"no trades are recorded that could be compared with candles{others}")
        elif not agreed.sums.comparable:
            yield Finding(subject, Verdict.OK, f"its trades cannot be audited: {agreed.sums.reason}{others}")
        elif agreed.recorded:
            yield Finding(subject, Verdict.OK, f"trades are compared with the recorded one-minute candles{others}")
        elif agreed.fetched:
            text = f"trades are compared with one-minute candles that are fetched: {NO_CANDLES}{others}"
            yield Finding(subject, Verdict.OK, text)
        else:
            yield Finding(
                subject,
                Verdict.WARNING,
                f"its trades cannot be audited: {NO_CANDLES}, and {agreed.why_not_fetched}{others}",
                'record them (streams with "candles", candles with "1m"), or set audit.fetch_candles = true',
            )


def _others(venue: VenueConfig, streams: tuple[str, ...]) -> str:
    """Say what becomes of streams that no candle sums up."""
    told = ""
    rebuilt = venues.find(venue.adapter).book_rows is not BookRows.WHOLE
    if "books" in streams and rebuilt:
        told += "; only `collector audit` rebuilds books"
    unproved = [
        stream
        for stream in streams
        if stream not in ("trades", "candles", "news") and not (stream == "books" and rebuilt)
    ]
    return told + (f"; nothing is there to compare {', '.join(unproved)} with" if unproved else "")


def turn(name: str, config: Config, plan: Plan) -> Iterator[Finding]:
    """Tell how long it takes to fetch the candles of all of a venue's instruments, where that is long."""
    venue, agreed = config.venues[name], configured_terms(config)[name]
    if not config.audit.enabled or agreed.recorded or not agreed.fetched or not agreed.sums.comparable:
        return
    adapter = venues.find(venue.adapter)
    symbols = {
        symbol for line in plan.lines for one in line.subscriptions if one.stream == "trades" for symbol in one.symbols
    }
    calls = adapter.minute_calls
    quota = venue.begin().limits().quotas.get(calls.quota)
    per_minute = min(config.audit.fetch_per_minute, quota * 60 if quota else float("inf"))
    minutes = -(-len(symbols) // calls.at_once(MINUTES_PER_CALL)) / per_minute
    if minutes > TURN_WARNING_MINUTES:
        yield Finding(
            f"venues.{name}.audit",
            Verdict.WARNING,
            f"the candles of {len(symbols):,} instruments take {minutes:.0f} minutes to fetch, {per_minute:g} calls a "
            "minute: so much later a loss is found",
            "raise audit.fetch_per_minute and what the venue's section allows for the past, or record candles",
        )
