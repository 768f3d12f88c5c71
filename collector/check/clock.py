"""How far our clock is from a venue's, from the `Date` of its answers.

A date has whole seconds and the way takes its time, so an answer gives two bounds and no number: it was stamped after
we asked and before we had it. Several answers narrow them. Only what is certain is told: the least difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from collector.check.findings import Finding, Verdict

# An offset of our clock that makes times of receipt misleading.
OFFSET_WARNING_SECONDS = 1.0
# An offset with which venues refuse signed requests.
OFFSET_FAILURE_SECONDS = 30.0


class ClockBounds:
    """Between what the difference must lie, in seconds: ours less the venue's."""

    def __init__(self) -> None:
        self._low: float | None = None
        self._high: float | None = None

    def note(self, headers: Mapping[str, str], asked_ns: int, answered_ns: int) -> None:
        """Take an answer's headers into account; one that came out of a store on the way says nothing."""
        named = {name.lower(): value for name, value in headers.items()}
        if named.get("age", "0").strip() != "0" or "date" not in named:
            return
        try:
            moment = parsedate_to_datetime(named["date"])
        except (ValueError, OverflowError):
            return
        date = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        low, high = asked_ns / 1e9 - (date + 1), answered_ns / 1e9 - date
        if self._low is None or self._high is None:
            self._low, self._high = low, high
        elif max(self._low, low) <= min(self._high, high):  # else a clock was set in between: the newest counts
            self._low, self._high = max(self._low, low), min(self._high, high)
        else:
            self._low, self._high = low, high

    @property
    def least_seconds(self) -> float | None:
        """The least that our clock is ahead of the venue's; below zero behind it, zero where both may agree."""
        if self._low is None or self._high is None:
            return None
        return max(self._low, 0.0) if self._high >= 0 else self._high

    def findings(self, subject: str) -> Iterator[Finding]:
        """Judge the difference, where an answer told anything about it."""
        least = self.least_seconds
        if least is None or self._low is None or self._high is None:
            return
        if abs(least) <= OFFSET_WARNING_SECONDS:
            between = f"between {self._low:+.1f} and {self._high:+.1f} s"
            yield Finding(f"{subject}.clock", Verdict.OK, f"ours less the venue's is {between}")
            return
        side = "ahead of" if least > 0 else "behind"
        yield Finding(
            f"{subject}.clock",
            Verdict.FAILURE if abs(least) > OFFSET_FAILURE_SECONDS else Verdict.WARNING,
            f"our clock is at least {abs(least):.1f} s {side} the venue's",
            "set this machine's clock (`timedatectl`, chrony): received_at, gaps and closed candles depend on it",
        )
